//! The fold, held against a model that counts for itself, and what follows from a state.

use super::super::samples::*;
use super::*;
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
