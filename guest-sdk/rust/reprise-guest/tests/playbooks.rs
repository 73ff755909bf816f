//! Playbooks as a user writes them, against a script of what they are to ask for.

#![cfg(feature = "playbook")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use reprise_guest::prelude::*;
use reprise_guest::testing::Script;

#[derive(Deserialize)]
struct Order {
    id: u64,
}

#[derive(Deserialize, Serialize)]
struct Parcel {
    number: String,
}

/// Everything that a playbook can do, once.
#[playbook(tools = ["shop/pack", "shop/use"], branches = [ship])]
fn deliver(order: Order) -> Result<Value, Failure> {
    step("pack");
    let started = now();
    let packed: Parcel = call("shop/pack", &json!({"order": order.id, "by": random_u64()}))?;
    step_with("ship", &StepOptions { tries: Some(2), call_timeout: Some(Duration::from_secs(1)), ..StepOptions::default() });
    let ways = [start_branch("ship", &packed)?, start_playbook("courier", &packed)?];
    let fastest = first(&ways.each_ref()).ok_or_else(|| Failure::new("there is no way"))?;
    ways[1 - fastest].cancel();
    let arrived: Value = ways[fastest].join()?;
    log(Level::Info, format_args!("arrived: {arrived}"));
    step("ask");
    sleep(Duration::from_secs(60))?;
    let signed = wait_signal("signed", Some(Duration::from_secs(5)));
    if signed == Err(Interruption::Expired) {
        compensate();
        let _: Value = call("shop/use", &json!(null))?;
    }
    Ok(json!({"waited": now() - started, "arrived": arrived, "signed": signed.is_ok(), "agreed": approve("Good?", &json!({}), None)?}))
}

fn ship(parcel: Parcel) -> Result<String, ToolError> {
    step("carry");
    call("shop/use", &parcel)
}

fn packed() -> Script {
    Script::new().now(1_000).random([9]).call("shop/pack", json!({"order": 7, "by": 9}), Ok(json!({"number": "p-7"})))
}

fn shipped() -> Script {
    packed().branch("ship", json!({"number": "p-7"}), Ok(json!("by train"))).playbook(
        "courier",
        json!({"number": "p-7"}),
        Ok(json!("by bike")),
    )
}

#[test]
fn a_script_answers_all_that_a_playbook_asks() {
    let played = shipped()
        .first(1)
        .sleep(Duration::from_secs(60), Ok(()))
        .signal("signed", Err(Interruption::Expired))
        .call("shop/use", json!(null), Ok(json!(null)))
        .approve("Good?", json!({}), Ok(json!("yes")))
        .play::<deliver>(json!({"id": 7}));
    assert_eq!(played.result, Ok(json!({"waited": 60_000, "arrived": "by bike", "signed": false, "agreed": "yes"})));
    assert_eq!(played.steps, ["pack", "ship", "ask"]);
    assert_eq!(played.logs, [(Level::Info, "arrived: \"by bike\"".to_owned())]);
    assert!(played.compensated);
    assert_eq!(played.cancelled_children, [0]);
}

#[test]
fn a_branch_is_played_by_its_name() {
    let played = Script::new()
        .call("shop/use", json!({"number": "p-7"}), Ok(json!("by train")))
        .play_branch::<deliver>("ship", json!({"number": "p-7"}));
    assert_eq!((played.result, played.steps), (Ok(json!("by train")), vec!["carry".to_owned()]));
    let unknown = Script::new().play_branch::<deliver>("fly", json!({}));
    assert!(unknown.result.unwrap_err().message.contains("no branch \"fly\""));
}

#[test]
fn what_goes_wrong_becomes_a_failure_at_its_step() {
    let failed = |script: Script| {
        let failure = script.play::<deliver>(json!({"id": 7})).result.unwrap_err();
        (failure.step.unwrap_or_default(), failure.message)
    };
    let begun = || Script::new().random([9]);
    let packs = |answer| begun().call("shop/pack", json!({"order": 7, "by": 9}), answer);
    assert_eq!(
        failed(packs(Err(ToolError::new(ErrorKind::Conflict, "the box is full")))),
        ("pack".to_owned(), "conflict: the box is full".to_owned())
    );
    let (step, message) = failed(packs(Ok(json!({"nummer": 1}))));
    assert_eq!(step, "pack");
    assert!(message.contains("the answer of shop/pack does not fit: missing field `number`"), "{message}");
    assert_eq!(
        failed(shipped().sleep(Duration::from_secs(60), Err(Interruption::Cancelled))),
        ("ask".to_owned(), "the job is to be cancelled".to_owned())
    );
    let child = Failure { step: Some("carry".to_owned()), ..Failure::new("lost") };
    let lost = packed().branch("ship", json!({"number": "p-7"}), Err(child)).playbook("courier", json!({"number": "p-7"}), Ok(json!(null)));
    assert_eq!(failed(lost), ("carry".to_owned(), "lost".to_owned()));
    let rejected = shipped()
        .sleep(Duration::from_secs(60), Ok(()))
        .signal("signed", Ok(json!({})))
        .approve("Good?", json!({}), Err(Interruption::Rejected(json!("no"))))
        .play::<deliver>(json!({"id": 7}));
    assert_eq!(rejected.result.unwrap_err().detail, Some(json!("no")));
    let misfit = Script::new().play::<deliver>(json!({"number": 7})).result.unwrap_err();
    assert!(misfit.step.is_none() && misfit.message.contains("the input does not fit: missing field `id`"), "{misfit}");
}

/// Calls what its list does not have.
#[playbook(tools = ["shop/pack"])]
fn greedy(_: Value) -> Result<Value, ToolError> {
    call("shop/use", &json!(null))
}

#[test]
fn a_tool_that_is_not_in_the_list_is_not_there() {
    let failure = Script::new().play::<greedy>(json!(null)).result.unwrap_err();
    assert!(failure.message.contains("denied: shop/use does not stand in the playbook's list"), "{failure}");
}

#[test]
fn what_the_script_does_not_say_is_a_panic_that_shows_both() {
    let said = |script: Script| {
        let panic = catch_unwind(AssertUnwindSafe(|| script.play::<deliver>(json!({"id": 7})))).unwrap_err();
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    };
    let other_input = Script::new().random([9]).call("shop/pack", json!({"order": 8, "by": 9}), Ok(json!(null)));
    for (script, words) in [
        (Script::new().random([9]), "more than the script has: call shop/pack with {\"by\":9,\"order\":7}"),
        (other_input, "call shop/pack with {\"by\":9,\"order\":7}"),
        (Script::new().random([9]).signal("signed", Ok(json!(null))), "asks otherwise than the script says"),
        (Script::new(), "a random number that the script does not have"),
        (shipped().first(2), "child 2 is first, of 2"),
        (
            Script::new()
                .random([9])
                .call("shop/pack", json!({"order": 7, "by": 9}), Err(ToolError::new(ErrorKind::Failed, "x")))
                .signal("signed", Ok(json!(null))),
            "the script expects more",
        ),
    ] {
        let said = said(script);
        assert!(said.contains(words), "{words}: {said}");
    }
    // A panic leaves nothing behind.
    assert!(Script::new().play::<greedy>(json!(null)).result.is_err());
}
