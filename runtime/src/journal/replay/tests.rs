//! A resumed guest beside its journal, by family of what can differ.

mod waits;

use super::super::samples::*;
use super::*;

/// What a guest asks.
enum Ask {
    Call(&'static str, &'static str),
    Time,
    Random,
    End,
}
use Ask::{Call, End, Random, Time};

fn answered(text: &str) -> String {
    format!("answer {text}")
}

/// Lets a guest ask `asks` against a journal of `bodies`; says in words what became of each.
fn ask(bodies: Vec<Body>, asks: &[Ask]) -> Vec<String> {
    let all = entries([vec![created()], bodies].concat());
    super::super::State::fold(&all).expect("a cursor gets only journals that fold");
    let mut cursor = Cursor::new(all);
    let mut became = Vec::new();
    for ask in asks {
        let live_before = cursor.is_live();
        became.push(match ask {
            Call(tool, input) => match cursor.next_call(Some("s"), &ToolId::parse(tool).unwrap(), parsed(input).digest()) {
                Next::Answer { answer: Answer::Output(output), .. } => answered(&format!("{output:?}")),
                Next::Answer { answer: Answer::Error(e), .. } => answered(&e.to_string()),
                Next::UnderWay { call, key, effect } => format!("under way {call} {key} {effect}"),
                Next::Live { call } => format!("live {call}"),
                Next::Diverged(d) => format!("diverged at {}", d.seq),
            },
            Time | Random => {
                let kind = if matches!(ask, Time) { RecordedKind::Now } else { RecordedKind::Random };
                match cursor.next_recorded(None, kind) {
                    NextRecorded::Answer(value) => answered(&value.number().to_string()),
                    NextRecorded::Live => "live".to_owned(),
                    NextRecorded::Diverged(d) => format!("diverged at {}", d.seq),
                }
            }
            End => match cursor.end() {
                Ok(()) => "ended".to_owned(),
                Err(d) => format!("diverged at {}", d.seq),
            },
        });
        let is_new = became.last().is_some_and(|b| b.starts_with("live"));
        if !matches!(ask, End) {
            assert_eq!(is_new, live_before, "what is new and what is on record do not mix: {became:?}");
        }
    }
    became
}

fn write(call: u64, effect: Effect) -> Body {
    called_with(call, effect, "fs/write", r#"{"n":1}"#)
}
const WRITE: Ask = Call("fs/write", r#"{"n":1}"#);

#[test]
fn replay_by_failure_family() {
    let one = || vec![write(1, Effect::Once), returned(1)];
    let output = |n: u64| answered(&format!("{:?}", inline(&format!(r#"{{"bytes":{n}}}"#))));
    /// The family, the journal, what the guest asks, and what must become of each question.
    type Family = (&'static str, Vec<Body>, Vec<Ask>, Vec<String>);
    let families: Vec<Family> = vec![
        (
            "nothing on record: all is live",
            vec![],
            vec![WRITE, Time, WRITE, End],
            ["live 1", "live", "live 2", "ended"].map(str::to_owned).to_vec(),
        ),
        (
            "completes from the record alone",
            [one(), vec![recorded(9), write(2, Effect::Read), returned(2)]].concat(),
            vec![WRITE, Time, WRITE, End],
            vec![output(1), answered("9"), output(2), "ended".into()],
        ),
        ("goes live where the record ends", one(), vec![WRITE, WRITE, Random], vec![output(1), "live 2".into(), "live".into()]),
        (
            "resumed entries are invisible",
            [one(), vec![Body::Resumed { attempt: 2 }, write(2, Effect::Once), Body::Resumed { attempt: 3 }, returned(2)]].concat(),
            vec![WRITE, WRITE, End],
            vec![output(1), output(2), "ended".into()],
        ),
        (
            "under way when the process died",
            [one(), vec![write(2, Effect::Once)]].concat(),
            vec![WRITE, WRITE, WRITE],
            vec![output(1), "under way 2 key-2 once".into(), "live 3".into()],
        ),
        (
            "under way through two deaths",
            vec![write(1, Effect::Idempotent), Body::Resumed { attempt: 2 }],
            vec![WRITE, End],
            vec!["under way 1 key-1 idempotent".into(), "ended".into()],
        ),
        ("diverged tool", one(), vec![Call("fs/remove", r#"{"n":1}"#)], vec!["diverged at 2".into()]),
        ("diverged input", one(), vec![Call("fs/write", r#"{"n":2}"#)], vec!["diverged at 2".into()]),
        (
            "diverged input of the call under way",
            vec![write(1, Effect::Once)],
            vec![Call("fs/write", "null")],
            vec!["diverged at 2".into()],
        ),
        (
            "diverged order",
            vec![called_with(1, Effect::Read, "fs/read", "1"), returned(1), called_with(2, Effect::Read, "fs/read", "2"), returned(2)],
            vec![Call("fs/read", "2"), Call("fs/read", "1")],
            // The question that met the wrong answer is asked no further; the second one is where the journal still stands.
            vec!["diverged at 2".into(), output(1)],
        ),
        (
            "extra call on record",
            [one(), vec![write(2, Effect::Once), returned(2)]].concat(),
            vec![WRITE, End],
            vec![output(1), "diverged at 4".into()],
        ),
        ("extra recorded value on record", vec![recorded(9), write(1, Effect::Once)], vec![WRITE], vec!["diverged at 2".into()]),
        ("recorded value not on record", one(), vec![Time], vec!["diverged at 2".into()]),
        ("another recorded value than on record", vec![recorded(9)], vec![Random, Time], vec!["diverged at 2".into(), answered("9")]),
        ("ends before its record does", one(), vec![End], vec!["diverged at 2".into()]),
    ];
    for (family, bodies, asks, expected) in families {
        assert_eq!(ask(bodies, &asks), expected, "{family}");
    }
}

#[test]
fn a_divergence_names_both_sides() {
    let mut cursor = Cursor::new(entries(vec![created(), write(1, Effect::Once), returned(1)]));
    assert_eq!((cursor.remaining(), cursor.is_live()), (1, false));
    let Next::Diverged(diverged) = cursor.next_call(Some("s9"), &ToolId::parse("fs/remove").unwrap(), parsed("1").digest()) else {
        panic!("another tool must not be answered")
    };
    let text = diverged.to_string();
    for part in ["entry 2", "fs/write", r#"at step "s1""#, "fs/remove", r#"at step "s9""#, &parsed("1").digest().to_string()] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(cursor.remaining(), 1, "a question that was not repeated stays on record");
}

#[test]
fn a_step_name_is_a_label_and_does_not_decide() {
    let mut cursor = Cursor::new(entries(vec![created(), write(1, Effect::Once), returned(1)]));
    let next = cursor.next_call(None, &ToolId::parse("fs/write").unwrap(), parsed(r#"{"n":1}"#).digest());
    assert!(matches!(next, Next::Answer { call: 1, .. }), "{next:?}");
}
