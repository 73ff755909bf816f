//! What is learned from several runs, and what is not.

mod accidents;
mod generated;

use serde_json::{Value, json};

use super::*;
use crate::compiler::Options;
use crate::ids::Space;
use crate::runs::Recording;

/// A day in milliseconds.
const DAY: u64 = 86_400_000;

/// A run of these inputs and calls: tool, input, answer.
fn run(at: usize, inputs: &Value, calls: &[(&str, Value, Value)], output: Option<Value>) -> Run {
    let mut lines = vec![json!({"run": {"run_id": format!("run-{at}"), "goal": "a task", "inputs": inputs}}).to_string()];
    lines.extend(calls.iter().map(|(tool, input, answer)| json!({"tool": tool, "input": input, "output": answer}).to_string()));
    let mut end = json!({"status": "success"});
    if let Some(output) = output {
        end["output"] = output;
    }
    lines.push(json!({ "end": end }).to_string());
    let day = 20_000 + u64::try_from(at).unwrap();
    Recording::read(lines.join("\n").as_bytes()).unwrap().as_run(&Space::default_space(), day * DAY)
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: std::sync::OnceLock<Sandbox> = std::sync::OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(None).unwrap())
}

fn learned(runs: &[Run]) -> Result<Learned> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(compile_runs(sandbox(), &Registry::builtin(), runs, &Options::default()))
}

/// The inputs of the steps in words.
fn steps(learned: &Learned) -> Vec<String> {
    learned.compiled.plan.steps().map(|step| format!("{} {}", step.tool, step.input)).collect()
}

/// Runs that differ in one value each: what the single call was given, by the inputs and one earlier answer.
fn one_value(samples: &[(Value, Value, Value)]) -> Result<Learned> {
    let runs: Vec<Run> = samples
        .iter()
        .enumerate()
        .map(|(at, (inputs, answer, value))| {
            run(at, inputs, &[("look", json!({"what": "it"}), answer.clone()), ("use", json!({"value": value}), json!({"ok": true}))], None)
        })
        .collect();
    learned(&runs)
}

/// What a row shows, its samples, and the expression that explains them.
type Row = (&'static str, Vec<(Value, Value, Value)>, &'static str);

/// How the value of the last call is made.
fn expression(samples: &[(Value, Value, Value)]) -> String {
    match one_value(samples) {
        Ok(learned) => learned.compiled.plan.steps().last().unwrap().input.field("value").unwrap().to_string(),
        Err(e) => format!("refused: {}", e.message),
    }
}

#[test]
fn a_value_is_made_of_the_shortest_expression_that_explains_all_runs() {
    let none = || json!({});
    let table: Vec<Row> = vec![
        ("the same in all", vec![(none(), none(), json!("x")), (none(), none(), json!("x"))], "\"x\""),
        ("an input", vec![(json!({"v": "1.4.0"}), none(), json!("1.4.0")), (json!({"v": "2.0.0"}), none(), json!("2.0.0"))], "input.v"),
        (
            "an answer",
            vec![(none(), json!({"id": "inv-17"}), json!("inv-17")), (none(), json!({"id": "inv-204"}), json!("inv-204"))],
            "s1/id",
        ),
        (
            "versions that begin alike are not cut in two",
            vec![(json!({"v": "1.4.0"}), none(), json!("tag v1.4.0 now")), (json!({"v": "1.4.1"}), none(), json!("tag v1.4.1 now"))],
            "\"tag v\" + input.v + \" now\"",
        ),
        (
            "the next version",
            vec![(none(), json!({"v": "1.4.9"}), json!("1.4.10")), (none(), json!({"v": "2.0.3"}), json!("2.0.4"))],
            "s1/v (the next patch version)",
        ),
        (
            "the name of a file",
            vec![
                (json!({"p": "in/alpha.csv"}), none(), json!("out/alpha.json")),
                (json!({"p": "in/beta-2.csv"}), none(), json!("out/beta-2.json")),
            ],
            "\"out/\" + input.p (between \"in/\" and \".csv\") + \".json\"",
        ),
        (
            "a value behind a key",
            vec![
                (none(), json!({"text": "name = acme\nversion = 1.4.0\n"}), json!("1.4.0")),
                (none(), json!({"text": "name = other\nversion = 2.1.7\n"}), json!("2.1.7")),
            ],
            "s1/text (between \"\\nversion = \" and \"\\n\")",
        ),
        (
            "JSON in a text",
            vec![
                (none(), json!({"text": "{\"a\": {\"port\": 8080}}"}), json!(8080)),
                (none(), json!({"text": "{\"a\": {\"port\": 9191}}"}), json!(9191)),
            ],
            "s1/text (read as JSON; at /a/port)",
        ),
        (
            "the day after",
            vec![(json!({"d": "2026-02-28"}), none(), json!("2026-03-01")), (json!({"d": "2026-11-02"}), none(), json!("2026-11-03"))],
            "input.d (1 days later)",
        ),
    ];
    for (what, samples, expected) in table {
        assert_eq!(expression(&samples), expected, "{what}");
    }
}

#[test]
fn what_nothing_explains_is_refused_with_the_place_and_the_values() {
    let e = one_value(&[(json!({}), json!({}), json!("alpha")), (json!({}), json!({}), json!("beta"))]).unwrap_err();
    assert_eq!(e.code, Code::NotCompilable);
    for word in ["s2 at /value", "alpha", "beta", "run-0", "run-1"] {
        assert!(e.message.contains(word), "{word}: {e}");
    }
}

#[test]
fn short_values_that_happen_to_be_equal_are_no_evidence() {
    // 0 and 1 in two runs: any counter would fit.
    let found = expression(&[(json!({}), json!({"a": 0}), json!(0)), (json!({}), json!({"a": 1}), json!(1))]);
    assert!(found.starts_with("refused"), "{found}");
    let found =
        expression(&[(json!({"a": true, "b": true}), json!({}), json!(true)), (json!({"a": false, "b": false}), json!({}), json!(false))]);
    assert!(found.starts_with("refused"), "{found}");
    // The same name is evidence.
    let found = expression(&[(json!({"value": true}), json!({}), json!(true)), (json!({"value": false}), json!({}), json!(false))]);
    assert_eq!(found, "input.value");
}

#[test]
fn two_inputs_that_were_always_equal_are_told_apart_by_name_or_not_at_all() {
    let inputs = |name: &str| json!({"author": name, "value": name});
    let found = expression(&[(inputs("anabel"), json!({}), json!("anabel")), (inputs("robert"), json!({}), json!("robert"))]);
    assert_eq!(found, "input.value");
    let inputs = |name: &str| json!({"author": name, "reviewer": name});
    let found = expression(&[(inputs("anabel"), json!({}), json!("anabel")), (inputs("robert"), json!({}), json!("robert"))]);
    assert!(found.contains("input.author and input.reviewer"), "{found}");
    let inside = |name: &str| json!(format!("written by {name}, once more"));
    let found = expression(&[(inputs("anabel"), json!({}), inside("anabel")), (inputs("robert"), json!({}), inside("robert"))]);
    assert!(found.contains("input.author or input.reviewer"), "{found}");
}

#[test]
fn calls_for_each_element_of_a_list_become_a_loop() {
    let sample = |at: usize, names: &[&str]| {
        let mut calls =
            vec![("dir", json!({"path": "in"}), json!({"entries": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()}))];
        for name in names {
            calls.push(("get", json!({"path": format!("in/{name}")}), json!({"text": format!("text of {name}")})));
            calls.push(("put", json!({"path": format!("out/{name}.bak"), "text": format!("text of {name}")}), json!({"ok": true})));
        }
        calls.push(("done", json!({"what": "in"}), json!({"ok": true})));
        run(at, &json!({}), &calls, None)
    };
    let learned = learned(&[sample(0, &["alpha", "beta"]), sample(1, &["gamma", "delta", "epsilon"]), sample(2, &[])]).unwrap();
    assert_eq!(
        steps(&learned),
        [
            "agent/dir {\"path\":\"in\"}",
            "agent/get {path: \"in/\" + item of each1/name}",
            "agent/put {path: \"out/\" + item of each1/name + \".bak\", text: s2/text}",
            "agent/done {\"what\":\"in\"}",
        ]
    );
    assert_eq!(learned.compiled.proof.calls, 5 * 2 + 3 + 3);
}

#[test]
fn a_step_that_a_flag_asks_for_becomes_a_branch() {
    let sample = |at: usize, version: &str, notify: bool| {
        let mut calls = vec![("build", json!({"version": version}), json!({"ok": true}))];
        if notify {
            calls.push(("send", json!({"text": format!("released {version}")}), json!({"ok": true})));
        }
        calls.push(("tidy", json!({"what": version}), json!({"ok": true})));
        run(at, &json!({"version": version, "notify": notify}), &calls, None)
    };
    let learned = learned(&[sample(0, "1.4.0", true), sample(1, "2.0.0", false), sample(2, "2.7.1", true)]).unwrap();
    let words: Vec<String> = crate::compiler::words::outline(&learned.compiled.plan).into_iter().map(|line| line.text).collect();
    assert!(words.contains(&"if1 if input.notify is true:".to_owned()), "{words:?}");
    assert_eq!(steps(&learned)[1], "agent/send {text: \"released \" + input.version}");
}

#[test]
fn steps_that_nothing_tells_apart_are_refused() {
    let sample = |at: usize, version: &str, more: bool| {
        let mut calls = vec![("build", json!({"version": version}), json!({"ok": true}))];
        if more {
            calls.push(("send", json!({"text": "hello"}), json!({"ok": true})));
        }
        run(at, &json!({"version": version}), &calls, None)
    };
    // Versions differ in each run anyway; that the last one was not followed by a message says nothing about versions.
    let e = learned(&[sample(0, "1.4.0", true), sample(1, "2.0.0", true), sample(2, "2.7.1", false)]).unwrap_err();
    assert!(e.message.contains("different ways"), "{e}");
}

#[test]
fn what_the_turns_of_a_loop_made_is_gathered() {
    let sample = |at: usize, host: &str, names: &[&str]| {
        let entries: Vec<Value> = names.iter().map(|name| json!({"path": format!("logs/{name}"), "kind": "file"})).collect();
        let mut calls = vec![("dir", json!({"path": "logs"}), json!({ "entries": entries }))];
        for name in names {
            calls.push(("get", json!({"path": format!("logs/{name}")}), json!({"text": format!("text of {name}")})));
            let to = format!("old/{host}-{name}");
            calls.push(("put", json!({"path": to, "text": format!("text of {name}")}), json!({"ok": true})));
        }
        let moved: Vec<String> = names.iter().map(|name| format!("{host}-{name}")).collect();
        calls.push(("put", json!({"path": "INDEX", "text": moved.join("\n") + "\n"}), json!({"ok": true})));
        run(at, &json!({ "host": host }), &calls, Some(json!({"moved": moved, "count": names.len()})))
    };
    let learned = learned(&[
        sample(0, "web-3", &["alpha-1.log", "beta-22.log"]),
        sample(1, "db-17", &["gamma-5.log", "delta-7.log", "eps-8.log"]),
        sample(2, "mail-2", &["zeta-9.log", "eta-4.log"]),
    ])
    .unwrap();
    let steps = steps(&learned);
    assert!(steps[3].contains("each1 (joined with"), "{steps:?}");
    let output = learned.compiled.plan.output.to_string();
    assert!(output.starts_with("{count: ") && output.ends_with("moved: each1}"), "{output}");
    let checks: Vec<String> = learned.compiled.plan.steps().flat_map(|step| step.checks.iter().map(|check| check.is.to_string())).collect();
    assert!(checks[0].contains("minItems") && checks[0].contains("const"), "what all lists had in common is held: {checks:?}");
}

#[test]
fn what_held_in_all_runs_is_held_of_every_job() {
    let sample = |at: usize, id: &str| {
        let calls = [
            ("ask", json!({"what": "export"}), json!({"state": "done", "id": id, "next": null, "bytes": 17, "left": 0})),
            ("get", json!({"id": id}), json!({"ok": true})),
        ];
        run(at, &json!({}), &calls, None)
    };
    let learned = learned(&[sample(0, "e-1001"), sample(1, "e-2002")]).unwrap();
    let plan = &learned.compiled.plan;
    let checks: Vec<String> = plan.steps().next().unwrap().checks.iter().map(|check| check.is.to_string()).collect();
    assert_eq!(
        checks,
        [
            r#"{"kind":"equals","pointer":"/left","value":0}"#,
            r#"{"kind":"equals","pointer":"/next","value":null}"#,
            r#"{"kind":"equals","pointer":"/state","value":"done"}"#,
        ]
    );
}

#[test]
fn an_input_that_never_differed_is_kept_as_it_was() {
    let sample = |at: usize, version: &str| {
        let inputs = json!({"version": version, "branch": "main", "dry": false});
        run(at, &inputs, &[("tag", json!({"text": format!("{version} of main")}), json!({}))], None)
    };
    let learned = learned(&[sample(0, "1.4.0"), sample(1, "2.0.7")]).unwrap();
    let schema = learned.compiled.plan.input_schema();
    assert_eq!(schema["required"], json!(["version"]));
    assert_eq!((&schema["properties"]["branch"]["enum"], &schema["properties"]["dry"]["enum"]), (&json!(["main"]), &json!([false])));
    assert!(learned.open_questions.iter().any(|open| open.at == "/branch"), "{:?}", learned.open_questions);
}

#[test]
fn an_input_that_some_runs_went_without_has_a_default() {
    let sample = |at: usize, inputs: Value, port: u64| {
        let name = inputs["name"].as_str().unwrap().to_owned();
        run(at, &inputs, &[("serve", json!({"name": name, "port": port}), json!({}))], None)
    };
    let runs = [
        sample(0, json!({"name": "alpha", "port": 9_191}), 9_191),
        sample(1, json!({"name": "beta-2"}), 8_080),
        sample(2, json!({"name": "gamma"}), 8_080),
    ];
    let schema = learned(&runs).unwrap().compiled.plan.input_schema();
    assert_eq!((&schema["required"], &schema["properties"]["port"]["default"]), (&json!(["name"]), &json!(8_080)));
}

#[test]
fn a_secret_of_the_recording_is_in_no_byte_of_what_is_made() {
    let sample = |at: usize, key: &str, name: &str| {
        let inputs = json!({"name": name, "api_key": key});
        let calls = [
            (
                "call",
                json!({"headers": {"authorization": format!("Bearer {key}")}, "name": name}),
                json!({"session": format!("s-{name}-77")}),
            ),
            ("next", json!({"session": format!("s-{name}-77"), "password": "Hunter2!Hunter2"}), json!({"echo": key})),
        ];
        run(at, &inputs, &calls, None)
    };
    let made = learned(&[sample(0, "sk-AAAAbbbb1111cccc2222", "alpha"), sample(1, "sk-DDDDeeee3333ffff4444", "beta-2")]).unwrap();
    let bytes = String::from_utf8_lossy(&made.compiled.component).into_owned();
    for secret in ["sk-AAAA", "sk-DDDD", "Hunter2"] {
        assert!(!bytes.contains(secret), "{secret}");
        assert!(!made.compiled.summary.as_str().contains(secret), "{secret}");
    }
    assert!(bytes.contains("Bearer {{secret:api_key}}") && bytes.contains("{{secret:password}}"));
    assert_eq!(made.secrets_needed, ["api_key", "password"]);
    // A key that a step answered, be it the same in every run, is taken from there and stands in no constant and in no check.
    let sample = |at: usize, name: &str| {
        let calls = [
            (
                "look",
                json!({"path": "env"}),
                json!({"text": "MODE=a\nAPI_KEY=sk-QQQQwwww5555eeee6666\n", "key": "sk-QQQQwwww5555eeee6666"}),
            ),
            ("call", json!({"headers": {"authorization": "Bearer sk-QQQQwwww5555eeee6666"}, "name": name}), json!({"ok": true})),
        ];
        run(at, &json!({ "name": name }), &calls, None)
    };
    let answered = learned(&[sample(0, "alpha"), sample(1, "beta-2")]).unwrap();
    assert!(!String::from_utf8_lossy(&answered.compiled.component).contains("sk-QQQQ"), "{:?}", steps(&answered));
    assert!(steps(&answered)[1].contains("\"Bearer \" + s1/key"), "{:?}", steps(&answered));
    // A session that a step answered is no secret of the recording: it is asked for anew in each job.
    assert_eq!(steps(&made)[1], "agent/next {password: \"{{secret:password}}\", session: s1/session}");
}

#[test]
fn each_run_is_held_against_what_the_others_teach() {
    let sample = |at: usize, version: &str| run(at, &json!({ "version": version }), &[("tag", json!({"v": version}), json!({}))], None);
    let learned = learned(&[sample(0, "1.4.0"), sample(1, "2.0.7"), sample(2, "3.1.1"), sample(3, "0.9.4")]).unwrap();
    assert_eq!(learned.held_out.iter().map(|run| run.came_to).collect::<Vec<_>>(), [CameTo::Same; 4]);
}

#[test]
fn the_same_runs_give_the_same_bytes() {
    let sample = |at: usize, version: &str| {
        run(at, &json!({ "version": version }), &[("tag", json!({"v": format!("v{version}")}), json!({}))], None)
    };
    let runs = [sample(0, "1.4.0"), sample(1, "2.0.7"), sample(2, "3.1.1")];
    assert_eq!(learned(&runs).unwrap().compiled.digest, learned(&runs).unwrap().compiled.digest);
}

#[test]
fn a_loop_over_lists_that_were_all_of_one_length_takes_the_whole_list_and_never_an_empty_one() {
    let sample = |at: usize, names: [&str; 2]| {
        let entries: Vec<Value> = names.iter().map(|name| json!({"path": format!("in/{name}")})).collect();
        let mut calls = vec![("dir", json!({"path": "in"}), json!({ "entries": entries }))];
        for name in names {
            calls.push(("get", json!({"path": format!("in/{name}")}), json!({"text": format!("<{name}>\n")})));
        }
        let all: String = names.iter().map(|name| format!("<{name}>\n")).collect();
        calls.push(("put", json!({"path": "all", "text": format!("all:\n{all}")}), json!({"ok": true})));
        run(at, &json!({}), &calls, Some(json!({"count": 2})))
    };
    let learned = learned(&[sample(0, ["alpha", "beta"]), sample(1, ["gamma", "delta"])]).unwrap();
    assert_eq!(steps(&learned)[2], "agent/put {path: \"all\", text: \"all:\\n\" + each1 (joined with \"\")}");
    assert_eq!(learned.compiled.plan.output.to_string(), "{count: each1 (how many)}");
    let listing = learned.compiled.plan.steps().next().unwrap();
    assert!(listing.checks.iter().any(|check| check.is.to_string().contains("\"minItems\":1")), "{:?}", listing.checks);
}

/// Five runs of so many steps each.
fn long_runs(steps: usize) -> Vec<Run> {
    let sample = |at: usize| {
        let name = format!("name-{}", at * 7_919 + 13);
        let calls: Vec<(&str, Value, Value)> = (0..steps)
            .map(|n| {
                let input = json!({"path": format!("project/{name}/file-{n}.txt"), "text": format!("{n}: {name} and more text\n")});
                (
                    ["fs/write", "put", "say"][n % 3],
                    input,
                    json!({"path": format!("project/{name}/file-{n}.txt"), "id": format!("{name}-{n}"), "bytes": n}),
                )
            })
            .collect();
        run(at, &json!({ "name": name }), &calls, None)
    };
    (0..5).map(sample).collect()
}

#[test]
fn a_long_run_is_learned_in_time() {
    let runs = long_runs(200);
    let begun = std::time::Instant::now();
    let learned = learned(&runs).unwrap();
    eprintln!("200 steps, 5 runs: {:?}", begun.elapsed());
    assert_eq!(learned.compiled.proof.calls, 1_000);
}

#[test]
fn long_runs_are_not_held_out_and_that_is_said() {
    let most = limits::LEARN_HELD_OUT_CALLS_MAX / 5;
    let short = learned(&long_runs(most)).unwrap();
    assert_eq!((short.held_out.len(), &short.not_held_out), (5, &None));
    let in_order: Vec<&str> = short.held_out.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!(in_order, ["run-0", "run-1", "run-2", "run-3", "run-4"]);
    let long = learned(&long_runs(most + 1)).unwrap();
    let why = long.not_held_out.unwrap();
    assert!(long.held_out.is_empty() && why.contains("405 calls") && why.contains("400"), "{why}");
    assert_eq!(long.compiled.summary.value()["not_held_out"], json!(why));
}
