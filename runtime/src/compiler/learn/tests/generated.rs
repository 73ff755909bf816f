//! Tasks whose data flow is known because it was generated: three runs teach a plan that does a fourth one exactly.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::*;
use super::{learned, run};
use crate::compiler::Options;

/// How one field of a step's input is made.
#[derive(Debug, Clone)]
enum Made {
    Constant(String),
    Input(usize),
    Around(String, usize, String),
    /// The file's name of a path that is an input.
    NameOf(usize),
    Answer(usize),
    Between(usize, usize),
    NextVersion,
}

const INPUTS: usize = 3;

fn made() -> impl Strategy<Value = Made> {
    let word = || "[a-z]{3,9}";
    prop_oneof![
        word().prop_map(Made::Constant),
        (0..INPUTS).prop_map(Made::Input),
        (word(), 0..INPUTS, word()).prop_map(|(before, input, after)| Made::Around(format!("{before}/"), input, format!(".{after}"))),
        (0..INPUTS).prop_map(Made::NameOf),
        (0..6_usize).prop_map(Made::Answer),
        (0..6_usize, 0..INPUTS).prop_map(|(step, input)| Made::Between(step, input)),
        Just(Made::NextVersion),
    ]
}

/// One sample of the task: everything in it follows from `seed`.
fn sample(at: usize, seed: u64, task: &[Vec<Made>], looped: bool) -> Run {
    let number = |n: u64| {
        (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n.wrapping_mul(1_442_695_040_888_963_407)) >> 33) % 90_000 + 10_000
    };
    let word = |n: u64| format!("w{}-{}", number(n), number(n + 50));
    let inputs: Vec<String> = (0..INPUTS as u64).map(|n| format!("dir-{}/{}.txt", number(n + 7), word(n + 11))).collect();
    let version = (number(90) % 30, number(91) % 30, number(92) % 30);
    let answer = |step: usize| format!("id-{}", word(step as u64 + 200));
    let items: Vec<String> = (0..2 + seed % 3).map(|n| word(n + 300)).collect();
    let mut calls =
        vec![("begin", json!({"what": "all"}), json!({"version": format!("{}.{}.{}", version.0, version.1, version.2), "items": items}))];
    for (n, fields) in task.iter().enumerate() {
        let field = |made: &Made| -> String {
            let of = |step: &usize| if n == 0 { inputs[0].clone() } else { answer(step % n) };
            match made {
                Made::Constant(text) => text.clone(),
                Made::Input(input) => inputs[*input].clone(),
                Made::Around(before, input, after) => format!("{before}{}{after}", inputs[*input]),
                Made::NameOf(input) => inputs[*input].rsplit_once('/').unwrap().1.to_owned(),
                Made::Answer(step) => of(step),
                Made::Between(step, input) => format!("{} of {}", of(step), inputs[*input]),
                Made::NextVersion => format!("{}.{}.{}", version.0, version.1, version.2 + 1),
            }
        };
        let input: Map<String, Value> = fields.iter().enumerate().map(|(f, made)| (format!("f{f}"), json!(field(made)))).collect();
        calls.push((["get", "put", "say"][n % 3], Value::Object(input), json!({"id": answer(n), "ok": true})));
    }
    if looped {
        for item in &items {
            calls.push(("each", json!({"path": format!("{}/{item}.log", inputs[1])}), json!({"ok": true})));
        }
        calls.push(("end", json!({"text": format!("{}\n", items.join("\n"))}), json!({"ok": true})));
    }
    let named: Map<String, Value> = inputs.iter().enumerate().map(|(n, input)| (format!("input{n}"), json!(input))).collect();
    run(at, &Value::Object(named), &calls, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_generated_task_is_learned_exactly(task in prop::collection::vec(prop::collection::vec(made(), 1..4), 1..6), looped: bool, seed in 1_u64..1_000_000) {
        let runs: Vec<Run> = (0..3).map(|n| sample(n, seed + n as u64 * 7_919, &task, looped)).collect();
        let found = learned(&runs).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let fourth = sample(3, seed + 99_991, &task, looped);
        let bindings = Bindings::builtin(&Registry::builtin()).extended(&Options::default().bindings, &Options::default().roots).unwrap();
        let trace = Trace::of(&fourth, &bindings);
        let (kept, _) = lift::sift(&trace);
        let pass = pass(&trace, &kept, &fourth);
        match follow::follow(&found.compiled.plan, &pass) {
            Followed::Right(..) => {}
            other => prop_assert!(false, "{other:?} with {:?}", found.compiled.plan.steps().map(|s| s.input.to_string()).collect::<Vec<_>>()),
        }
    }
}

/// Whatever a text may be: quotes, NUL, braces, other scripts.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("\u{0}\"\\{{secret:x}}{{".to_owned()),
        Just("🦀\u{202e}'; rm -rf / #".to_owned()),
        Just("0".to_owned()),
        Just("true".to_owned()),
        Just(String::new()),
        "[a-z0-9./ =:\n-]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Hostile texts are learned and proved, or refused; nothing else.
    #[test]
    fn hostile_runs_are_learned_or_refused(texts in prop::collection::vec((hostile(), hostile(), hostile()), 2..4), list in prop::collection::vec(hostile(), 0..4)) {
        let runs: Vec<Run> = texts
            .iter()
            .enumerate()
            .map(|(at, (a, b, c))| {
                let mut calls = vec![("begin", json!({"a": a, "both": format!("{a}{b}")}), json!({"text": c, "list": list, a.as_str(): b}))];
                calls.extend(list.iter().map(|item| ("each", json!({"item": format!("{b}/{item}")}), json!({"echo": item, "c": c}))));
                calls.push(("end", json!({"text": format!("{c}{a}\n{b}"), "list": list}), json!({})));
                run(at, &json!({"a": a, "b": b}), &calls, None)
            })
            .collect();
        if let Err(e) = learned(&runs) {
            prop_assert_eq!(e.code, Code::NotCompilable, "{}", e);
        }
    }
}
