//! The fold, held against a model that counts for itself, and what follows from a state.

use super::super::control::{Continued, Decision};
use super::super::samples::*;
use super::super::waits::Wake;
use super::*;
use crate::contract::ErrorKind;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_journal_that_a_worker_can_leave_folds_to_what_it_did((bodies, expected) in legal_journal()) {
        let entries = entries(bodies);
        let state = State::fold(&entries).unwrap();
        prop_assert_eq!(state.status(), expected.status);
        prop_assert_eq!(state.calls.len(), expected.calls);
        prop_assert_eq!(state.attempts, expected.attempts);
        prop_assert_eq!(state.next_seq(), entries.len() as u64 + 1);
        prop_assert_eq!(state.open_call().map(|row| row.call), expected.open);
        prop_assert_eq!((state.waits, state.signals.len(), state.children.len()), (expected.waits, expected.untaken, expected.children));
        let unanswered = state.calls.iter().filter(|row| matches!(row.state, CallState::Intended | CallState::Uncertain)).count();
        prop_assert!(unanswered <= 1, "at most the last call has no answer");
        prop_assert_eq!(state.output.is_some(), expected.status == Status::Completed);
        prop_assert_eq!(state.failure.is_some(), expected.status == Status::Failed);
        prop_assert_eq!(state.updated_at_ms, entries.last().unwrap().at_ms);
    }
}

#[test]
fn only_created_can_be_first_and_only_there() {
    for (name, body) in super::super::moves::tests::moves() {
        let folded = State::fold(&entries(vec![body]));
        assert_eq!(folded.is_ok(), name == "created", "{name}: {folded:?}");
    }
    assert!(State::fold([]).is_err());
    let late = &entries(vec![created(), created()])[1..];
    assert!(State::fold(late).is_err());
}

#[test]
fn an_entry_out_of_its_place_is_refused() {
    let all = entries(vec![created(), recorded(1), recorded(2)]);
    let mut state = State::begin(&all[0]).unwrap();
    assert!(state.apply(&all[2]).is_err());
    state.apply(&all[1]).unwrap();
    let again = state.apply(&all[1]).unwrap_err();
    assert_eq!(again.to_string(), "entry 2, recorded, cannot come as entry 3 of a job that is running");
}

#[test]
fn the_ledger_says_how_far_each_call_came() {
    let state =
        State::fold(&entries(vec![created(), called(1, Effect::Read), returned(1), called(2, Effect::Once), uncertain(2)])).unwrap();
    let rows: Vec<_> = state.calls.iter().map(|row| (row.call, row.seq, row.state, row.key.as_str())).collect();
    assert_eq!(rows, [(1, 2, CallState::Returned, "key-1"), (2, 4, CallState::Uncertain, "key-2")]);
    let uncertain = state.uncertain.unwrap();
    assert_eq!((uncertain.call, uncertain.seq), (2, 4));

    let state = State::fold(&entries(vec![created(), called(1, Effect::Once), failed()])).unwrap();
    assert_eq!(state.calls[0].state, CallState::Intended, "a job that failed in a call does not claim to know its outcome");
}

fn folded(bodies: Vec<Body>) -> State {
    State::fold(&entries([vec![created()], bodies].concat())).unwrap()
}

#[test]
fn c72_a_prefix_and_its_tail_fold_to_what_the_whole_folds_to() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let cases = (legal_journal(), any::<proptest::sample::Index>());
    runner
        .run(&cases, |((bodies, _), at)| {
            let entries = entries(bodies);
            let at = at.index(entries.len()) + 1;
            let mut state = State::fold(&entries[..at]).unwrap();
            for entry in &entries[at..] {
                state.apply(entry).unwrap();
            }
            prop_assert_eq!(state, State::fold(&entries).unwrap());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_call_that_is_to_be_made_again_is_no_longer_in_the_ledger() {
    let begun = || vec![called(1, Effect::Once), returned(1), called(2, Effect::Once)];
    let with = |more: Vec<Body>| folded([begun(), more].concat());
    for (what, state) in [
        ("tried again", with(vec![retrying(2, 3)])),
        ("settled so", with(vec![uncertain(2), resolved(2, Decision::Retry)])),
        ("begun again", with(vec![erred(2, ErrorKind::Failed), failed(), reattempted(2)])),
    ] {
        assert_eq!((state.calls.len(), state.next_call(), state.open_call()), (1, 2, None), "{what}");
        assert_eq!((state.status(), state.failure), (Status::Running, None), "{what}");
    }
    assert_eq!(with(vec![retrying(2, 3)]).tries, 3);
    assert_eq!(with(vec![retrying(2, 3), called(2, Effect::Once)]).tries, 3, "a call that is under way again still counts its tries");
    assert_eq!(with(vec![retrying(2, 3), called(2, Effect::Once), returned(2)]).tries, 0);
    assert_eq!(with(vec![retrying(2, 3), parked(), continued()]).tries, 0, "whoever lets it go on gives it all its tries");
}

#[test]
fn c52_a_job_begins_again_from_the_first_call_of_its_last_step_that_may_be_made_again() {
    let at = |call, effect, step: &str| match called(call, effect) {
        Body::Called { call, tool, effect, key, input, input_digest, .. } => {
            Body::Called { call, step: Some(step.to_owned()), tool, effect, key, input, input_digest }
        }
        other => other,
    };
    let erred = |call| erred(call, ErrorKind::Failed);
    let (once, read) = (Effect::Once, Effect::Read);
    let asleep = || vec![waiting(1, On::Sleep { ms: 1 }, None), woken(1, Wake::Elapsed)];
    for (what, bodies, from) in [
        ("nothing was called", vec![], None),
        ("what took effect stays", vec![at(1, once, "a"), returned(1)], None),
        ("what failed is made again", vec![at(1, once, "a"), erred(1)], Some(1)),
        ("with the look before it", vec![at(1, read, "a"), returned(1), at(2, once, "a"), erred(2)], Some(1)),
        ("but not beyond its step", vec![at(1, read, "a"), returned(1), at(2, once, "b"), erred(2)], Some(2)),
        ("nor beyond what took effect", vec![at(1, once, "a"), returned(1), at(2, read, "a"), returned(2)], Some(2)),
        ("nor beyond a wait", [vec![at(1, read, "a"), returned(1)], asleep(), vec![at(2, read, "a"), returned(2)]].concat(), Some(2)),
        ("nor beyond a child", vec![at(1, read, "a"), returned(1), child_started(1), at(2, once, "a"), erred(2)], Some(2)),
        ("not what nobody knows", vec![at(1, once, "a"), uncertain(1)], None),
        ("not what is under way", vec![at(1, once, "a")], None),
    ] {
        assert_eq!(folded(bodies).again_from(), from, "{what}");
    }
}

#[test]
fn a_signal_is_taken_once_and_in_its_order() {
    let two = || vec![signalled("go", Some("a")), signalled("stop", None), signalled("go", Some("b"))];
    let state = folded(two());
    assert_eq!((state.untaken("go").unwrap().seq, state.untaken("stop").unwrap().seq, state.untaken("other")), (2, 3, None));
    let state = folded([two(), vec![waiting(1, on_signal("go"), None), woken(1, Wake::Signal { seq: 2 })]].concat());
    assert_eq!((state.untaken("go").unwrap().seq, state.signals.len()), (4, 2));
    assert!(!state.takes(&signalled("go", Some("a"))), "a signal that was taken is still known by its name");
    assert!(state.takes(&signalled("go", None)));
}

#[test]
fn signals_that_nobody_takes_are_bounded() {
    let many: Vec<Body> = (0..limits::SIGNALS_UNTAKEN_MAX).map(|_| signalled("go", None)).collect();
    let state = folded(many[1..].to_vec());
    assert!(!state.is_full_of_signals() && state.takes(&signalled("go", None)));
    let state = folded(many);
    assert!(state.is_full_of_signals() && !state.takes(&signalled("go", None)));
}

#[test]
fn what_a_person_must_do_comes_before_what_time_will_bring() {
    let in_doubt = || vec![called(1, Effect::Once), uncertain(1)];
    for (bodies, status) in [
        (vec![signalled("go", None)], Status::Ready),
        (vec![paused(), continued()], Status::Ready),
        (vec![paused()], Status::Paused),
        (vec![waiting(1, On::Sleep { ms: 1 }, None), paused()], Status::Paused),
        (vec![waiting(1, On::Sleep { ms: 1 }, None), paused(), continued()], Status::Waiting),
        (in_doubt(), Status::Uncertain),
        ([in_doubt(), vec![paused()]].concat(), Status::Paused),
        ([in_doubt(), vec![paused(), continued()]].concat(), Status::Uncertain),
        ([in_doubt(), vec![paused(), happened(1)]].concat(), Status::Paused),
        (vec![parked(), paused()], Status::Paused),
        (vec![parked(), paused(), continued()], Status::Running),
        (vec![parked(), cancel_requested(), cancelled()], Status::Cancelled),
        ([in_doubt(), vec![cancel_requested(), cancelled()]].concat(), Status::Cancelled),
    ] {
        let kinds: Vec<_> = bodies.iter().map(Body::kind).collect();
        assert_eq!(folded(bodies).status(), status, "{kinds:?}");
    }
}

#[test]
fn a_budget_is_raised_only_where_it_is_named() {
    let raised = |fuel, calls| Body::Continued(Continued { by: "ada".to_owned(), budget: Budget { fuel, calls, ..Budget::default() } });
    let state = folded(vec![parked(), raised(None, Some(9))]);
    assert_eq!((state.fuel, state.budget.calls, state.budget.fuel), (2_000_000_000, Some(9), None));
    let state = folded(vec![parked(), raised(Some(5), Some(9)), parked(), raised(Some(7), None)]);
    assert_eq!((state.fuel, state.budget.calls, state.budget.fuel), (7, Some(9), Some(7)));
}

#[test]
fn the_first_of_several_children_is_the_one_that_ended_first() {
    let family = || vec![child_started(1), child_started(2), child_started(3)];
    let state = folded([family(), vec![child_ended(3), child_ended(1)]].concat());
    assert_eq!((state.first_ended(&[1, 2, 3]), state.first_ended(&[1, 2]), state.first_ended(&[2])), (Some(3), Some(1), None));
    assert!(state.child(2).unwrap().end.is_none() && state.child(4).is_none() && state.child(0).is_none());
}

#[test]
fn attempts_that_leave_nothing_behind_are_counted_until_the_job_moves_on() {
    let resumed = |n| Body::Resumed { attempt: n };
    let state = folded(vec![resumed(1), resumed(2), resumed(3)]);
    assert_eq!((state.attempts, state.fruitless), (3, 3));
    let state = folded(vec![resumed(1), resumed(2), recorded(1), resumed(3)]);
    assert_eq!((state.attempts, state.fruitless), (3, 1));
}
