//! A client that lost the answer to a review asks again: it hears what it would have heard, and nothing else is decided.

use serde_json::{Value, json};

use crate::repairs_are_reviewed::{by_operator, other_text, repair, review, world};

#[test]
fn a_review_without_a_number_that_is_asked_for_again_decides_no_other_repair() {
    let (server, _notes) = world("");
    repair(&server, other_text("a")).ok();
    repair(&server, other_text("b")).ok();
    let approve = json!({"action": "approve", "actor": "bob"});
    let first = review(&server, approve.clone()).ok();
    let again = review(&server, approve).ok();
    assert_eq!((&again["repeated"], &again["to_version"]), (&json!(true), &first["to_version"]), "{again}");
    let waiting = server.get("/v1/repairs?status=pending_review").ok()["repairs"].as_array().unwrap().len();
    assert_eq!(waiting, 1, "the other one waits for its own review");
}

#[test]
fn the_same_review_again_is_answered_as_the_first_time_and_another_one_is_refused() {
    let (server, _notes) = world("");
    let latest = || server.get("/v1/playbooks").ok()["playbooks"][0]["latest_version"].clone();
    let as_first = |mut again: Value, first: &Value| {
        assert_eq!((&again["repeated"], &first["repeated"]), (&json!(true), &json!(false)), "{again}");
        again["repeated"] = json!(false);
        assert_eq!(&again, first);
    };
    repair(&server, other_text("a")).ok();
    let by_bob = json!({"action": "approve", "actor": "bob", "note": "fine"});
    let first = review(&server, by_bob.clone()).ok();
    as_first(review(&server, by_bob.clone()).ok(), &first);
    as_first(review(&server, json!({"action": "approve", "actor": "bob", "note": "fine", "version": 2})).ok(), &first);
    let other = [
        json!({"action": "reject", "actor": "bob", "version": 2}),
        json!({"action": "approve", "actor": "eve", "version": 2}),
        json!({"action": "approve", "version": 2}),
        json!({"action": "approve", "actor": "eve"}),
    ];
    for other in other {
        review(&server, other).refused(409, "replay_repair_not_pending_review");
    }
    let as_shadow = json!({"action": "approve", "actor": "bob", "version": 2, "target_status_on_approve": "shadow"});
    by_operator(&server, "repair/review", as_shadow).refused(409, "replay_repair_not_pending_review");
    assert_eq!(latest(), 3);

    // What a review brought with it is told too, and is not done again, whatever came since.
    repair(&server, other_text("b")).ok();
    let gate = json!({"max_unknown_steps": 9, "min_success_ratio": 0});
    let promoting = json!({"action": "approve", "actor": "bob", "version": 4, "auto_promote_on_pass": true, "auto_promote_gate": gate});
    let first = by_operator(&server, "repair/review", promoting.clone()).ok();
    assert_eq!((&first["auto_promotion"]["promoted"], &first["to_version"]), (&json!(true), &json!(6)), "{first}");
    as_first(by_operator(&server, "repair/review", promoting.clone()).ok(), &first);
    by_operator(&server, "promote", json!({"target_status": "disabled"})).ok();
    as_first(by_operator(&server, "repair/review", promoting).ok(), &first);
    assert_eq!(latest(), 7);

    repair(&server, json!({"patch": other_text("c")["patch"], "from_version": 6})).ok();
    let first = review(&server, json!({"action": "reject", "note": "no"})).ok();
    as_first(review(&server, json!({"action": "reject", "note": "no"})).ok(), &first);
    assert_eq!(latest(), 9);
}
