//! Waits, children and what is made again: a resumed guest is told the same once more, whatever the clock says by then.

use super::super::super::control::Decision;
use super::super::super::samples::*;
use super::super::super::waits::{On, Wake};
use super::super::*;

/// What a guest asks.
#[derive(Debug)]
enum Ask {
    Write(u64),
    Time,
    Wait(On),
    Branch(&'static str, &'static str),
    Playbook(&'static str, &'static str),
    CancelChild(u32),
    End,
}
use Ask::*;

fn nap() -> On {
    On::Sleep { ms: 5 }
}

fn children(children: &[u32]) -> On {
    On::Children { children: children.to_vec() }
}

const GIVEN: &str = r#"{"n":7}"#;

/// Lets a guest ask `asks` against a journal of `bodies`; says in words what became of each.
fn ask(bodies: Vec<Body>, asks: &[Ask]) -> Vec<String> {
    let all = entries([vec![created()], bodies].concat());
    super::super::super::State::fold(&all).expect("a cursor gets only journals that fold");
    let mut cursor = Cursor::new(all);
    asks.iter().map(|ask| became(&mut cursor, ask)).collect()
}

fn became(cursor: &mut Cursor, ask: &Ask) -> String {
    let diverged = |d: Diverged| format!("diverged at {}", d.seq);
    match ask {
        Write(n) => {
            let input = parsed(&format!(r#"{{"path":"file-{n}"}}"#)).digest();
            match cursor.next_call(Some("s"), &ToolId::parse("fs/write").unwrap(), input) {
                Next::Answer { call, answer: Answer::Output(output), .. } => format!("call {call} gave {output:?}"),
                Next::Answer { call, answer: Answer::Error(e), .. } => format!("call {call} erred {}", e.message),
                Next::UnderWay { call, key, effect } => format!("under way {call} {key} {effect}"),
                Next::Live { call } => format!("live {call}"),
                Next::Diverged(d) => diverged(d),
            }
        }
        Time => match cursor.next_recorded(None, RecordedKind::Now) {
            NextRecorded::Answer(value) => value.number().to_string(),
            NextRecorded::Live => "live".to_owned(),
            NextRecorded::Diverged(d) => diverged(d),
        },
        Wait(on) => match cursor.next_wait(None, on) {
            NextWait::Answer(Ended::Signal(payload)) => format!("signal {payload:?}"),
            NextWait::Answer(Ended::Approved(answer)) => format!("yes {answer}"),
            NextWait::Answer(Ended::Rejected(answer)) => format!("no {answer}"),
            NextWait::Answer(ended) => format!("{ended:?}").to_lowercase(),
            NextWait::Live => "live".to_owned(),
            NextWait::Standing => "standing".to_owned(),
            NextWait::Diverged(d) => diverged(d),
        },
        Branch(name, input) => child(cursor.next_child(None, AskedChild::Branch(name), parsed(input).digest())),
        Playbook(id, input) => child(cursor.next_child(None, AskedChild::Playbook(id), parsed(input).digest())),
        CancelChild(n) => child(cursor.next_cancel(*n)),
        End => cursor.end().map_or_else(diverged, |()| "ended".to_owned()),
    }
}

fn child(next: NextChild) -> String {
    match next {
        NextChild::Answer(child) => format!("child {child}"),
        NextChild::Live => "live".to_owned(),
        NextChild::Diverged(d) => format!("diverged at {}", d.seq),
    }
}

/// The family, the journal, what the guest asks, and what must become of each question.
type Family = (&'static str, Vec<Body>, Vec<Ask>, Vec<String>);

fn check(families: Vec<Family>) {
    for (family, bodies, asks, expected) in families {
        assert_eq!(ask(bodies, &asks), expected, "{family}");
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn gave(n: u64) -> String {
    format!("call {n} gave {:?}", inline(&format!(r#"{{"bytes":{n}}}"#)))
}

#[test]
fn a_wait_ends_again_as_it_ended() {
    let signal = format!("signal {:?}", inline(GIVEN));
    check(vec![
        ("nothing on record", vec![], vec![Wait(nap()), End], words(["live", "ended"])),
        ("slept", vec![waiting(1, nap(), Some(1)), woken(1, Wake::Elapsed)], vec![Wait(nap()), End], words(["elapsed", "ended"])),
        ("still asleep", vec![waiting(1, nap(), Some(1))], vec![Wait(nap())], words(["standing"])),
        ("still asleep, asked twice", vec![waiting(1, nap(), Some(1))], vec![Wait(nap()), Write(1)], words(["standing", "live 1"])),
        (
            "c35 a signal that came before it was waited for",
            vec![signalled("go", None), waiting(1, on_signal("go"), None), woken(1, Wake::Signal { seq: 2 })],
            vec![Wait(on_signal("go")), End],
            vec![signal.clone(), "ended".to_owned()],
        ),
        (
            "a signal that came while it was waited for",
            vec![waiting(1, on_signal("go"), None), signalled("go", None), woken(1, Wake::Signal { seq: 3 })],
            vec![Wait(on_signal("go")), Write(1)],
            vec![signal.clone(), "live 1".to_owned()],
        ),
        (
            "c36 one signal for two waits leaves the second standing",
            vec![
                signalled("go", None),
                waiting(1, on_signal("go"), None),
                woken(1, Wake::Signal { seq: 2 }),
                waiting(2, on_signal("go"), None),
            ],
            vec![Wait(on_signal("go")), Wait(on_signal("go"))],
            vec![signal, "standing".to_owned()],
        ),
        (
            "a signal that came too late",
            vec![waiting(1, on_signal("go"), Some(1)), woken(1, Wake::Expired), signalled("go", None)],
            vec![Wait(on_signal("go")), End],
            words(["expired", "ended"]),
        ),
        (
            "c38 yes, no and expired are three",
            vec![
                waiting(1, on_approval(), None),
                woken(1, Wake::Approved(verdict(b"shown"))),
                waiting(2, on_approval(), None),
                woken(2, Wake::Rejected(verdict(b"shown"))),
                waiting(3, on_approval(), Some(1)),
                woken(3, Wake::Expired),
            ],
            vec![Wait(on_approval()), Wait(on_approval()), Wait(on_approval()), End],
            words([r#"yes {"ok":1}"#, r#"no {"ok":1}"#, "expired", "ended"]),
        ),
        (
            "cancelled while it waited",
            vec![waiting(1, nap(), Some(1)), cancel_requested(), woken(1, Wake::Cancelled)],
            vec![Wait(nap()), Write(1)],
            words(["cancelled", "live 1"]),
        ),
        (
            "what people and workers did meanwhile is invisible",
            vec![
                waiting(1, nap(), Some(1)),
                paused(),
                continued(),
                woken(1, Wake::Elapsed),
                parked(),
                continued(),
                drifted(1),
                recorded(9),
            ],
            vec![Wait(nap()), Time, End],
            words(["elapsed", "9", "ended"]),
        ),
    ]);
}

#[test]
fn a_wait_for_something_else_is_a_divergence() {
    let on_record = [nap(), on_signal("go"), on_approval()];
    let mut asked = vec![nap(), On::Sleep { ms: 6 }, on_signal("go"), on_signal("stop"), on_approval(), children(&[1])];
    asked.push(On::Approval { title: "refund".to_owned(), request: inline("1"), digest: Digest::of(b"shown") });
    for on in &on_record {
        for other in &asked {
            let became = ask(vec![waiting(1, on.clone(), None)], &[Wait(other.clone())]);
            let expected = if on == other { "standing" } else { "diverged at 2" };
            assert_eq!(became, [expected], "{on:?} on record, {other:?} asked");
        }
    }
    let bodies = || vec![waiting(1, nap(), Some(1)), woken(1, Wake::Elapsed), child_started(1), child_cancelled(1)];
    check(vec![
        ("a call instead of a wait", bodies(), vec![Write(1)], words(["diverged at 2"])),
        ("a child instead of a wait", bodies(), vec![Branch("left", "1")], words(["diverged at 2"])),
        ("a wait instead of a child", bodies(), vec![Wait(nap()), Wait(nap())], words(["elapsed", "diverged at 4"])),
        ("an end instead of a wait", bodies(), vec![End], words(["diverged at 2"])),
        ("an end that is too early", bodies(), vec![Wait(nap()), End], words(["elapsed", "diverged at 4"])),
    ]);
}

#[test]
fn a_divergence_names_the_wait_or_the_child_on_both_sides() {
    for (bodies, asked, parts) in [
        (vec![waiting(1, on_signal("go"), None)], Wait(nap()), [r#"a wait for signal "go" at step "w""#, "a wait for 5 ms to pass"]),
        (vec![waiting(1, on_approval(), None)], Write(1), [r#"the approval of "refund""#, "a call of fs/write"]),
        (vec![child_started(1)], Playbook("other", "1"), [r#"a child that does branch "left""#, r#"a child that does playbook "other""#]),
        (vec![child_started(1), child_cancelled(1)], CancelChild(2), [r#"branch "left""#, "the wish to cancel child 2"]),
    ] {
        let mut cursor = Cursor::new(entries([vec![created()], bodies].concat()));
        let diverged = match &asked {
            Wait(on) => match cursor.next_wait(None, on) {
                NextWait::Diverged(d) => d,
                other => panic!("{other:?}"),
            },
            Write(_) => match cursor.next_call(None, &ToolId::parse("fs/write").unwrap(), parsed("1").digest()) {
                Next::Diverged(d) => d,
                other => panic!("{other:?}"),
            },
            Playbook(id, input) => match cursor.next_child(None, AskedChild::Playbook(id), parsed(input).digest()) {
                NextChild::Diverged(d) => d,
                other => panic!("{other:?}"),
            },
            CancelChild(n) => match cursor.next_cancel(*n) {
                NextChild::Diverged(d) => d,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        for part in parts {
            assert!(diverged.to_string().contains(part), "{part} is not in: {diverged}");
        }
    }
}

#[test]
fn children_are_the_same_again() {
    const INPUT: &str = r#"{"part":1}"#;
    let family = || {
        vec![child_started(1), child_started(2), child_ended(2), waiting(1, children(&[1, 2]), None), woken(1, Wake::Child { child: 2 })]
    };
    check(vec![
        (
            "started, and the first of them",
            family(),
            vec![Branch("left", INPUT), Branch("left", INPUT), Wait(children(&[1, 2])), End],
            words(["child 1", "child 2", "child(2)", "ended"]),
        ),
        (
            "one more goes on from there",
            family(),
            vec![Branch("left", INPUT), Branch("left", INPUT), Wait(children(&[1, 2])), Branch("left", INPUT)],
            words(["child 1", "child 2", "child(2)", "live"]),
        ),
        ("another branch", family(), vec![Branch("right", INPUT)], words(["diverged at 2"])),
        ("another input", family(), vec![Branch("left", "1")], words(["diverged at 2"])),
        ("a playbook instead of a branch", family(), vec![Playbook("prepare-release", INPUT)], words(["diverged at 2"])),
        (
            "others waited for",
            family(),
            vec![Branch("left", INPUT), Branch("left", INPUT), Wait(children(&[2]))],
            words(["child 1", "child 2", "diverged at 5"]),
        ),
        (
            "asked to be cancelled",
            vec![child_started(1), child_cancelled(1), child_ended(1)],
            vec![Branch("left", INPUT), CancelChild(1), CancelChild(1)],
            words(["child 1", "child 1", "live"]),
        ),
    ]);
}

#[test]
fn a_call_that_is_made_again_has_its_number_again_and_no_answer() {
    let begun = || vec![called(1, Effect::Once), returned(1), recorded(9), called(2, Effect::Once)];
    let with = |more: Vec<Body>| [begun(), more].concat();
    let no = |n: u64| format!("call {n} erred it never happened");
    check(vec![
        (
            "tried again",
            with(vec![retrying(2, 1)]),
            vec![Write(1), Time, Write(2), Write(3)],
            vec![gave(1), "9".into(), "live 2".into(), "live 3".into()],
        ),
        (
            "tried again after a pause",
            with(vec![
                retrying(2, 1),
                waiting(1, On::Pause { call: 2 }, Some(1)),
                woken(1, Wake::Elapsed),
                called(2, Effect::Once),
                returned(2),
            ]),
            vec![Write(1), Time, Write(2), End],
            vec![gave(1), "9".into(), gave(2), "ended".into()],
        ),
        (
            "pausing",
            with(vec![retrying(2, 1), waiting(1, On::Pause { call: 2 }, Some(1))]),
            vec![Write(1), Time, Write(2)],
            vec![gave(1), "9".into(), "live 2".into()],
        ),
        (
            "settled: it happened",
            with(vec![uncertain(2), happened(2)]),
            vec![Write(1), Time, Write(2), End],
            vec![gave(1), "9".into(), gave(2), "ended".into()],
        ),
        (
            "settled: it failed",
            with(vec![uncertain(2), resolved(2, not_done())]),
            vec![Write(1), Time, Write(2), End],
            vec![gave(1), "9".into(), no(2), "ended".into()],
        ),
        (
            "settled: make it again",
            with(vec![uncertain(2), resolved(2, Decision::Retry)]),
            vec![Write(1), Time, Write(2), End],
            vec![gave(1), "9".into(), "live 2".into(), "ended".into()],
        ),
        (
            "handed out and done",
            with(vec![waiting(1, On::External { call: 2 }, None), returned(2)]),
            vec![Write(1), Time, Write(2), End],
            vec![gave(1), "9".into(), gave(2), "ended".into()],
        ),
        (
            "handed out, and nobody came",
            with(vec![waiting(1, On::External { call: 2 }, Some(1)), woken(1, Wake::Expired)]),
            vec![Write(1), Time, Write(2)],
            vec![gave(1), "9".into(), "under way 2 key-2 once".into()],
        ),
        (
            "begun again from a read, with what was asked after it",
            vec![called(1, Effect::Once), returned(1), called(2, Effect::Read), returned(2), recorded(9), failed(), reattempted(2)],
            vec![Write(1), Write(2), Time, End],
            vec![gave(1), "live 2".into(), "live".into(), "ended".into()],
        ),
    ]);
}
