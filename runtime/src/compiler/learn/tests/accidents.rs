//! What fits the recorded runs by accident is not taken for what was meant.

use serde_json::{Value, json};

use super::{expression, learned, one_value, run, steps};
use crate::compiler::Learned;
use crate::error::{Code, Result};
use crate::limits;
use crate::runs::Run;

#[test]
fn a_free_step_between_numbers_is_paid_for() {
    let none = || json!({});
    // Any two numbers of two digits that are as far apart as two others have some step in common.
    let found = expression(&[(json!({"a": 17}), none(), json!(40)), (json!({"a": 52}), none(), json!(75))]);
    assert!(found.starts_with("refused"), "{found}");
    let longer = [(json!({"a": 1_717}), none(), json!(1_740)), (json!({"a": 5_240}), none(), json!(5_263))];
    let found = expression(&longer);
    assert!(found.starts_with("input.a (") && found.contains("23"), "{found}");
}

#[test]
fn of_two_numbers_that_explain_a_third_alike_the_first_is_not_just_taken() {
    let inputs = |n: u64| json!({"a": n, "b": n + 100});
    let found = expression(&[(inputs(1_717), json!({}), json!(1_740)), (inputs(5_240), json!({}), json!(5_263))]);
    assert!(found.starts_with("refused") && found.contains("input.a") && found.contains("input.b"), "{found}");
    let next = |n: u64| (json!({"a": n, "b": n}), json!({}), json!(n + 1));
    let found = expression(&[next(1_717), next(5_240)]);
    assert!(found.starts_with("refused") && found.contains("input.a") && found.contains("input.b"), "{found}");
    // The name of the field says which of them is meant.
    let named = |n: u64| (json!({"a": n, "value": n + 100}), json!({}), json!(n + 23));
    let found = expression(&[named(1_717), named(5_240)]);
    assert!(found.starts_with("input.value ("), "{found}");
    // Of answers one is taken, and the other is said.
    let answered = |n: u64| (json!({}), json!({"a": n, "b": n + 100}), json!(n + 23));
    let learned = one_value(&[answered(1_717), answered(5_240)]).unwrap();
    let open: Vec<&String> = learned.open_questions.iter().map(|open| &open.question).filter(|open| open.contains("s1/b")).collect();
    assert_eq!(open.len(), 1, "{:?}", learned.open_questions);
}

/// Runs that sent a message or not, and what the step before them answered.
fn ways(answers: &[(Value, bool)]) -> Result<Learned> {
    let sample = |(at, (answer, more)): (usize, &(Value, bool))| {
        let mut calls = vec![("look", json!({"what": "it"}), answer.clone())];
        if *more {
            calls.push(("send", json!({"text": "hello"}), json!({"ok": true})));
        }
        calls.push(("tidy", json!({"what": "it"}), json!({"ok": true})));
        run(at, &json!({}), &calls, None)
    };
    let runs: Vec<Run> = answers.iter().enumerate().map(sample).collect();
    learned(&runs)
}

#[test]
fn a_flag_that_a_step_answered_is_believed_from_two_runs_each_way_on() {
    let flag = |holds: bool| (json!({"fresh": holds}), holds);
    for few in [vec![flag(true), flag(false)], vec![flag(true), flag(true), flag(false)], vec![flag(true), flag(false), flag(false)]] {
        let e = ways(&few).unwrap_err();
        assert_eq!(e.code, Code::NotCompilable);
        assert!(e.message.contains("s1/fresh") && e.message.contains("a further run each way"), "{e}");
    }
    ways(&[flag(true), flag(false), flag(true), flag(false)]).unwrap();
}

/// An exit code of zero says that all was well, and says so by accident as easily as a flag.
#[test]
fn a_zero_that_a_step_answered_is_believed_from_two_runs_each_way_on() {
    let code = |code: i64| (json!({"code": code}), code == 0);
    for few in [vec![code(0), code(1)], vec![code(0), code(0), code(1)], vec![code(0), code(1), code(2)]] {
        let e = ways(&few).unwrap_err();
        assert_eq!(e.code, Code::NotCompilable);
        assert!(e.message.contains("s1/code") && e.message.contains("a further run each way"), "{e}");
    }
    ways(&[code(0), code(1), code(0), code(2)]).unwrap();
}

/// Runs that write a file for a name; those with `purge` remove what was there under it.
fn purging(runs: &[(&str, bool)]) -> Learned {
    let sample = |(at, (name, purge)): (usize, &(&str, bool))| {
        let mut calls = vec![("put", json!({"path": format!("project/{name}.md")}), json!({"ok": true}))];
        if *purge {
            calls.push(("remove", json!({"path": format!("project/data/{name}")}), json!({"ok": true})));
        }
        run(at, &json!({"name": name, "purge": purge}), &calls, None)
    };
    let runs: Vec<Run> = runs.iter().enumerate().map(sample).collect();
    learned(&runs).unwrap()
}

#[test]
fn a_way_that_one_run_went_keeps_no_value_of_that_run_where_an_input_says_it() {
    for runs in [vec![("item-00", true), ("item-11", false)], vec![("item-00", true), ("item-11", false), ("item-22", false)]] {
        let learned = purging(&runs);
        assert!(steps(&learned)[1].contains(r#""project/data/" + input.name"#), "{:?}", steps(&learned));
    }
    // What is too short to tell by itself stays, and is said.
    let learned = purging(&[("ab", true), ("cd", false), ("ef", false)]);
    assert!(steps(&learned)[1].contains("project/data/ab"), "{:?}", steps(&learned));
    let open: Vec<&String> = learned.open_questions.iter().map(|open| &open.question).collect();
    assert!(open.iter().any(|open| open.contains("input.name") && open.contains("goes this way with another")), "{open:?}");
}

#[test]
fn where_more_values_could_tell_the_ways_apart_than_are_tried_none_is_taken() {
    // One of them tells; the others are true in the first two runs, or in the first and the third.
    let answers = |others: usize| -> Vec<(Value, bool)> {
        let of = |at: usize| {
            let told = at == 0 || at == 3;
            let mut answer = json!({ "told": told });
            (0..others).for_each(|n| answer[format!("other{n}")] = json!(at < 2));
            (answer, told)
        };
        (0..4).map(of).collect()
    };
    ways(&answers(limits::LEARN_PARTINGS_MAX - 1)).unwrap();
    let e = ways(&answers(limits::LEARN_PARTINGS_MAX)).unwrap_err();
    assert!(e.message.contains("65 values could tell them apart"), "{e}");
}
