//! Every situation against every move: what is not listed is refused and changes nothing.

use super::super::samples::*;
use super::super::waits::{On, Wake};
use super::*;
use crate::checks::{self, At};
use crate::contract::ErrorKind;

const SOON: Option<u64> = Some(1_763_632_009_000);

/// A signal that lies in the journal, and the place that it has in those of [`situations`].
const STORED_AT: u64 = 2;

/// Journals that stand in every situation there is, and the moves that each of them takes.
///
/// The moves are in groups of words: `OPEN` whatever has not ended takes, `RUNS` what a worker may drive.
fn situations() -> Vec<(&'static str, Vec<Body>, String)> {
    const OPEN: &str = "signalled-b paused cancel_requested failed";
    const RUNS: &str = "signalled-b paused cancel_requested failed parked drifted";
    const WAITS: &str = "waiting-1-sleep waiting-1-signal waiting-1-approval child_started-1 recorded checked completed";
    let with = |more: Vec<Body>| [vec![created()], more].concat();
    let words = |parts: &[&str]| parts.join(" ");
    let stored = || signalled("go", Some("a"));
    let waits_for = |on, until| with(vec![stored(), waiting(1, on, until)]);
    let children = || vec![child_started(1), child_started(2), child_ended(2)];
    let in_call = |effect| with(vec![called(1, Effect::Once), returned(1), called(2, effect)]);
    let handed_out = |until| with(vec![called(1, Effect::Once), waiting(1, On::External { call: 1 }, until)]);
    let asleep = || waiting(1, On::Sleep { ms: 5 }, SOON);
    vec![
        ("ready", with(vec![]), words(&[RUNS, WAITS, "called-1 waiting-1-pause-1 resumed-1 signalled-a"])),
        (
            "between calls",
            with(vec![called(1, Effect::Once), returned(1)]),
            words(&[RUNS, WAITS, "called-2 waiting-1-pause-2 resumed-2 signalled-a"]),
        ),
        (
            "in a once call",
            in_call(Effect::Once),
            words(&[RUNS, "waiting-1-external-2 returned-2 resumed-2 uncertain-2 retrying-2 signalled-a"]),
        ),
        (
            "in an idempotent call",
            in_call(Effect::Idempotent),
            words(&[RUNS, "waiting-1-external-2 returned-2 resumed-2 uncertain-2 retrying-2 signalled-a"]),
        ),
        (
            "in a read call",
            in_call(Effect::Read),
            words(&[RUNS, "waiting-1-external-2 returned-2 resumed-2 retrying-2 reattempted-2 signalled-a"]),
        ),
        (
            "in a call that is handed out",
            with(vec![called(1, Effect::Once), returned(1), called(2, Effect::Idempotent), waiting(1, On::External { call: 2 }, SOON)]),
            words(&[OPEN, "returned-2 woken-1-expired signalled-a"]),
        ),
        ("in a call that is handed out for good", handed_out(None), words(&[OPEN, "returned-1 signalled-a"])),
        (
            "after an error",
            with(vec![called(1, Effect::Once), erred(1, ErrorKind::Failed)]),
            words(&[RUNS, WAITS, "called-2 waiting-1-pause-2 resumed-2 reattempted-1 signalled-a handed_over-1"]),
        ),
        (
            "refused before a call",
            with(vec![checked("s1", At::Before, checks::Verdict::Fail)]),
            words(&[RUNS, WAITS, "called-1 waiting-1-pause-1 resumed-2 reattempted-1 signalled-a handed_over-1-before"]),
        ),
        (
            "refused after a call",
            with(vec![called(1, Effect::Once), returned(1), checked("s1", At::After, checks::Verdict::Fail)]),
            words(&[RUNS, WAITS, "called-2 waiting-1-pause-2 resumed-2 reattempted-2 signalled-a handed_over-1-after"]),
        ),
        (
            "not refused after a call",
            with(vec![called(1, Effect::Once), returned(1), checked("s1", At::After, checks::Verdict::Unknown)]),
            words(&[RUNS, WAITS, "called-2 waiting-1-pause-2 resumed-2 signalled-a"]),
        ),
        (
            "handed over after an error",
            with(vec![called(1, Effect::Once), erred(1, ErrorKind::Failed), handed_over(1, None)]),
            words(&[OPEN, "resolved-1-happened resolved-1-retry resolved-1-fail signalled-a"]),
        ),
        (
            "handed over before a call",
            with(vec![checked("s1", At::Before, checks::Verdict::Fail), handed_over(1, Some(At::Before))]),
            words(&[OPEN, "resolved-1-happened resolved-1-retry resolved-1-fail signalled-a"]),
        ),
        (
            "handed over and paused",
            with(vec![checked("s1", At::Before, checks::Verdict::Fail), handed_over(1, Some(At::Before)), paused()]),
            words(&["signalled-a signalled-b cancel_requested failed continued", "resolved-1-happened resolved-1-retry resolved-1-fail"]),
        ),
        (
            "told what became of it",
            with(vec![called(1, Effect::Once), erred(1, ErrorKind::Failed), handed_over(1, None), happened(1)]),
            words(&[RUNS, WAITS, "called-2 waiting-1-pause-2 resumed-2 signalled-a"]),
        ),
        (
            "before another try",
            with(vec![called(1, Effect::Once), retrying(1, 1)]),
            words(&[RUNS, WAITS, "called-1 waiting-1-pause-1 resumed-2 signalled-a"]),
        ),
        (
            "pausing before another try",
            with(vec![called(1, Effect::Once), retrying(1, 1), waiting(1, On::Pause { call: 1 }, SOON)]),
            words(&[OPEN, "woken-1-elapsed signalled-a"]),
        ),
        (
            "uncertain",
            with(vec![called(1, Effect::Once), uncertain(1)]),
            words(&[OPEN, "resolved-1-happened resolved-1-retry resolved-1-fail signalled-a"]),
        ),
        (
            "uncertain and paused",
            with(vec![called(1, Effect::Once), uncertain(1), paused()]),
            words(&["signalled-a signalled-b cancel_requested failed continued", "resolved-1-happened resolved-1-retry resolved-1-fail"]),
        ),
        ("asleep", waits_for(On::Sleep { ms: 5 }, SOON), words(&[OPEN, "woken-1-elapsed"])),
        ("waiting for a signal that lies there", waits_for(on_signal("go"), None), words(&[OPEN, "woken-1-signal-2"])),
        ("waiting for a signal that does not, until", waits_for(on_signal("no"), SOON), words(&[OPEN, "woken-1-expired"])),
        ("waiting for a signal that does not", waits_for(on_signal("no"), None), words(&[OPEN])),
        ("waiting for a yes", waits_for(on_approval(), None), words(&[OPEN, "woken-1-approved woken-1-rejected"])),
        ("waiting for a yes, until", waits_for(on_approval(), SOON), words(&[OPEN, "woken-1-approved woken-1-rejected woken-1-expired"])),
        (
            "with two children, one of which has ended",
            with([children(), vec![stored()]].concat()),
            words(&[
                RUNS,
                "waiting-1-sleep waiting-1-signal waiting-1-approval recorded checked completed called-1 waiting-1-pause-1 resumed-2",
            ]) + " waiting-1-child-1 waiting-1-children child_started-3 child_cancelled-1 child_ended-1",
        ),
        (
            "waiting for the child that has not ended",
            with([children(), vec![stored(), waiting(1, On::Children { children: vec![1] }, None)]].concat()),
            words(&[OPEN, "child_ended-1"]),
        ),
        (
            "waiting for the first of both",
            with([children(), vec![stored(), waiting(1, On::Children { children: vec![1, 2] }, None)]].concat()),
            words(&[OPEN, "child_ended-1 woken-1-child-2"]),
        ),
        (
            "paused",
            with(vec![called(1, Effect::Once), returned(1), paused()]),
            "signalled-a signalled-b cancel_requested failed continued".to_owned(),
        ),
        (
            "paused while asleep",
            with(vec![asleep(), paused()]),
            "signalled-a signalled-b cancel_requested failed continued woken-1-elapsed".to_owned(),
        ),
        ("set aside", with(vec![parked()]), words(&[OPEN, "continued signalled-a"])),
        (
            "set aside after an error",
            with(vec![called(1, Effect::Once), erred(1, ErrorKind::Failed), parked()]),
            words(&[OPEN, "continued reattempted-1 signalled-a"]),
        ),
        (
            "to be cancelled",
            with(vec![cancel_requested()]),
            words(&["signalled-a signalled-b paused failed parked drifted cancelled", WAITS, "called-1 waiting-1-pause-1 resumed-1"]),
        ),
        (
            "to be cancelled while asleep",
            with(vec![asleep(), cancel_requested()]),
            "signalled-a signalled-b paused failed cancelled woken-1-elapsed woken-1-cancelled".to_owned(),
        ),
        ("failed", with(vec![called(1, Effect::Once), returned(1), failed()]), String::new()),
        (
            "failed by a check",
            with(vec![called(1, Effect::Once), returned(1), checked("s1", At::After, checks::Verdict::Fail), failed()]),
            "reattempted-2".to_owned(),
        ),
        ("failed in a once call", with(vec![called(1, Effect::Once), failed()]), String::new()),
        ("failed after a read", with(vec![called(1, Effect::Read), returned(1), failed()]), "reattempted-1".to_owned()),
        ("failed after an error", with(vec![called(1, Effect::Once), erred(1, ErrorKind::Failed), failed()]), "reattempted-1".to_owned()),
        (
            "failed after a wait",
            with(vec![called(1, Effect::Read), returned(1), asleep(), woken(1, Wake::Elapsed), failed()]),
            String::new(),
        ),
        ("failed after a child", with(vec![called(1, Effect::Read), returned(1), child_started(1), failed()]), String::new()),
        ("completed", with(vec![completed()]), String::new()),
        ("cancelled", with(vec![cancel_requested(), cancelled()]), String::new()),
        ("cancelled after an error", with(vec![called(1, Effect::Read), returned(1), cancel_requested(), cancelled()]), String::new()),
    ]
}

/// Moves by the name under which the table lists them; a number is the call, attempt, wait or child.
pub(in super::super) fn moves() -> Vec<(&'static str, Body)> {
    let children = |children: &[u32]| On::Children { children: children.to_vec() };
    vec![
        ("created", created()),
        ("called-1", called(1, Effect::Once)),
        ("called-2", called(2, Effect::Pure)),
        ("called-3", called(3, Effect::Once)),
        ("returned-1", returned(1)),
        ("returned-2", returned(2)),
        ("recorded", recorded(5)),
        ("resumed-1", Body::Resumed { attempt: 1 }),
        ("resumed-2", Body::Resumed { attempt: 2 }),
        ("resumed-3", Body::Resumed { attempt: 3 }),
        ("uncertain-1", uncertain(1)),
        ("uncertain-2", uncertain(2)),
        ("resolved-1-happened", happened(1)),
        ("resolved-1-retry", resolved(1, Decision::Retry)),
        ("resolved-1-fail", resolved(1, not_done())),
        ("resolved-2", happened(2)),
        ("retrying-1", retrying(1, 1)),
        ("retrying-2", retrying(2, 1)),
        ("reattempted-1", reattempted(1)),
        ("reattempted-2", reattempted(2)),
        ("reattempted-3", reattempted(3)),
        ("waiting-1-sleep", waiting(1, On::Sleep { ms: 5 }, SOON)),
        ("waiting-1-signal", waiting(1, on_signal("go"), None)),
        ("waiting-1-approval", waiting(1, on_approval(), None)),
        ("waiting-1-external-1", waiting(1, On::External { call: 1 }, None)),
        ("waiting-1-external-2", waiting(1, On::External { call: 2 }, None)),
        ("waiting-1-external-3", waiting(1, On::External { call: 3 }, None)),
        ("waiting-1-child-1", waiting(1, children(&[1]), None)),
        ("waiting-1-children", waiting(1, children(&[2, 1]), None)),
        ("waiting-1-no-children", waiting(1, children(&[]), None)),
        ("waiting-1-child-3", waiting(1, children(&[1, 3]), None)),
        ("waiting-1-pause-1", waiting(1, On::Pause { call: 1 }, SOON)),
        ("waiting-1-pause-2", waiting(1, On::Pause { call: 2 }, SOON)),
        ("waiting-2-sleep", waiting(2, On::Sleep { ms: 5 }, SOON)),
        ("woken-1-elapsed", woken(1, Wake::Elapsed)),
        ("woken-1-expired", woken(1, Wake::Expired)),
        ("woken-1-signal-2", woken(1, Wake::Signal { seq: STORED_AT })),
        ("woken-1-signal-3", woken(1, Wake::Signal { seq: STORED_AT + 1 })),
        ("woken-1-approved", woken(1, Wake::Approved(verdict(b"shown")))),
        ("woken-1-approved-unseen", woken(1, Wake::Approved(verdict(b"something else")))),
        ("woken-1-rejected", woken(1, Wake::Rejected(verdict(b"shown")))),
        ("woken-1-rejected-unseen", woken(1, Wake::Rejected(verdict(b"something else")))),
        ("woken-1-child-1", woken(1, Wake::Child { child: 1 })),
        ("woken-1-child-2", woken(1, Wake::Child { child: 2 })),
        ("woken-1-cancelled", woken(1, Wake::Cancelled)),
        ("woken-2-elapsed", woken(2, Wake::Elapsed)),
        ("signalled-a", signalled("go", Some("a"))),
        ("signalled-b", signalled("go", Some("b"))),
        ("child_started-1", child_started(1)),
        ("child_started-2", child_started(2)),
        ("child_started-3", child_started(3)),
        ("child_cancelled-1", child_cancelled(1)),
        ("child_cancelled-3", child_cancelled(3)),
        ("child_ended-1", child_ended(1)),
        ("child_ended-2", child_ended(2)),
        ("child_ended-3", child_ended(3)),
        ("paused", paused()),
        ("parked", parked()),
        ("continued", continued()),
        ("drifted", drifted(1)),
        ("checked", checked("s1", At::After, checks::Verdict::Fail)),
        ("handed_over-1", handed_over(1, None)),
        ("handed_over-1-before", handed_over(1, Some(At::Before))),
        ("handed_over-1-after", handed_over(1, Some(At::After))),
        ("handed_over-2-before", handed_over(2, Some(At::Before))),
        ("cancel_requested", cancel_requested()),
        ("cancelled", cancelled()),
        ("completed", completed()),
        ("failed", failed()),
    ]
}

#[test]
fn a_move_that_is_not_listed_is_refused_and_changes_nothing() {
    let mut taken = Vec::new();
    for (situation, before, allowed) in situations() {
        let allowed: Vec<&str> = allowed.split_whitespace().collect();
        for name in &allowed {
            assert!(moves().iter().any(|(known, _)| known == name), "{name} is no move");
        }
        for (name, body) in moves() {
            let listed = allowed.contains(&name);
            let all = entries([before.clone(), vec![body]].concat());
            let (last, first) = all.split_last().unwrap();
            let mut state = State::fold(first).unwrap_or_else(|e| panic!("{situation}: {e}"));
            let untouched = state.clone();
            assert_eq!(state.takes(&last.body), listed, "{name} while {situation}");
            match state.apply(last) {
                Ok(()) => {
                    assert!(listed, "{name} was taken while {situation}");
                    taken.push(last.body.kind());
                }
                Err(illegal) => {
                    assert!(!listed, "{name} was refused while {situation}: {illegal}");
                    assert_eq!(state, untouched, "{name} while {situation}");
                    assert!(illegal.to_string().contains(untouched.status().as_str()), "{illegal}");
                    assert!(illegal.to_string().contains(last.body.kind()), "{illegal}");
                }
            }
        }
    }
    for kind in &Body::KINDS[1..] {
        assert!(taken.contains(kind), "{kind} was taken nowhere");
    }
    let statuses: std::collections::BTreeSet<String> =
        situations().into_iter().map(|(_, before, _)| State::fold(&entries(before)).unwrap().status().to_string()).collect();
    assert_eq!(statuses.len(), Status::ALL.len(), "every status is among the situations: {statuses:?}");
}
