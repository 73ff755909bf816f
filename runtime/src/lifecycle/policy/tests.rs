//! The rules as tables, and what holds of them for any evidence.

use proptest::prelude::*;

use super::*;
use crate::config::{ActiveRule, DemoteRule, ShadowRule};
use crate::ids::{Digest, RunId};

fn policy() -> Policy {
    Policy {
        shadow: ShadowRule { proved: true, recordings: 2 },
        active: ActiveRule { successes: 3, distinct_inputs: 2, wilson_floor: 0.4, min_age_s: 60 },
        demote: DemoteRule { floor: 0.35, window: 4, min_failures: 2 },
        ..Policy::default()
    }
}

fn event(kind: EventKind, outcome: Outcome, at: u64, run: Option<&str>, input: u8) -> Event {
    let drift = (outcome == Outcome::Failure).then(|| Drift { step: Some("s2".to_owned()), why: "gone".to_owned(), cause: None });
    Event {
        kind,
        version: 1,
        outcome,
        counts: true,
        input_digest: Some(Digest::from_bytes([input; 32])),
        job_id: None,
        run_id: run.map(|run| RunId::parse(run).unwrap()),
        drift,
        calls: 1,
        ms: 1,
        at,
    }
}

/// Evidence in a word, oldest first: `p` and `q` prove runs a and b, `a` and `b` reproduce them, `A` does not reproduce a; `1` to
/// `9` are successes with that input, `x` is a failure, `o` is one that says nothing.
fn evidence(word: &str) -> Vec<Event> {
    use EventKind::{Job, Proof, Shadow};
    use Outcome::{Failure, Success};
    let one = |(at, c): (usize, char)| {
        let at = at as u64;
        match c {
            'p' => event(Proof, Success, at, Some("a"), 0),
            'q' => event(Proof, Success, at, Some("b"), 0),
            'a' => event(Shadow, Success, at, Some("a"), 0),
            'b' => event(Shadow, Success, at, Some("b"), 0),
            'A' => event(Shadow, Failure, at, Some("a"), 0),
            'x' => event(Job, Failure, at, None, 0),
            'o' => Event { counts: false, ..event(Job, Failure, at, None, 0) },
            digit => event(Job, Success, at, None, digit as u8),
        }
    };
    let mut events: Vec<Event> = word.chars().enumerate().map(one).collect();
    events.reverse();
    events
}

fn standing(status: Status) -> Standing {
    Standing { status, age_ms: 60_000, wider: false, lost: false }
}

#[test]
fn wilsons_lower_bound_is_what_the_tables_say() {
    for (s, f, bound) in [(0, 0, 0.0), (0, 3, 0.0), (1, 0, 0.2065), (5, 0, 0.5655), (5, 1, 0.4365), (10, 0, 0.7225), (95, 5, 0.8882)] {
        assert!((wilson(s, f) - bound).abs() < 0.0005, "{s} {f}: {}", wilson(s, f));
    }
}

#[test]
fn a_version_rises_by_what_was_shown_and_falls_by_what_failed() {
    use Status::{Active, Disabled, Draft, Shadow};
    for (status, word, promoted, missing, demoted) in [
        (Draft, "", None, &["a proof against", "0 of 2 recordings"][..], None),
        (Draft, "p", None, &["0 of 2 recordings"], None),
        (Draft, "pa", None, &["1 of 2 recordings"], None),
        (Draft, "paa", None, &["1 of 2 recordings"], None),
        (Draft, "pab", Some(Shadow), &[], None),
        (Draft, "pabA", None, &["1 of 2 recordings", "does not reproduce run a at step s2: gone"], None),
        (Draft, "pqAab", Some(Shadow), &[], None),
        (Draft, "ab", None, &["a proof"], None),
        (Draft, "pabxxxx", None, &["4 of its latest 4 jobs failed"], None),
        (Shadow, "", None, &["0 of 3 successful", "0 of 2 different", "certainty: 0 of 0"], None),
        (Shadow, "111", None, &["1 of 2 different"], None),
        (Shadow, "112", Some(Active), &[], None),
        (Shadow, "112x", None, &["certainty: 3 of 4"], None),
        (Shadow, "112xo1234", Some(Active), &[], None),
        (Shadow, "112xx", None, &[], Some("2 of its latest 4 jobs failed")),
        (Shadow, "xx", None, &[], Some("at step s2: gone")),
        (Active, "xx", None, &[], Some("2 of its latest 2 jobs failed")),
        (Active, "oooo", None, &[], None),
        (Active, "x", None, &[], None),
        (Active, "xx1111", None, &[], None),
        (Active, "1111xx", None, &[], Some("2 of its latest 4 jobs failed")),
        (Disabled, "pab1122", None, &[], None),
        (Draft, "xx", None, &["a proof", "0 of 2", "2 of its latest 2"], None),
    ] {
        let verdict = judge(&policy(), standing(status), &tally(&evidence(word), 0, &policy()));
        assert_eq!(verdict.promote_to, promoted, "{status:?} {word}: {verdict:?}");
        assert_eq!(verdict.missing.len(), missing.len(), "{status:?} {word}: {verdict:?}");
        assert!(missing.iter().zip(&verdict.missing).all(|(part, whole)| whole.contains(part)), "{status:?} {word}: {verdict:?}");
        assert_eq!(verdict.demote.is_some(), demoted.is_some(), "{status:?} {word}: {verdict:?}");
        assert!(demoted.is_none_or(|part| verdict.demote.unwrap().contains(part)), "{status:?} {word}");
    }
}

#[test]
fn age_and_wider_permissions_and_a_lost_status_stand_in_the_way() {
    let counted = tally(&evidence("pab112"), 0, &policy());
    let shadow = standing(Status::Shadow);
    let young = judge(&policy(), Standing { age_ms: 20_000, ..shadow }, &counted);
    assert_eq!((young.promote_to, young.in_ms), (None, Some(40_000)), "{young:?}");
    assert!(young.missing[0].contains("20 s of at least 60 s"), "{young:?}");
    let wider = judge(&policy(), Standing { wider: true, ..shadow }, &counted);
    assert!(wider.promote_to.is_none() && wider.in_ms.is_none() && wider.missing[0].contains("operator"), "{wider:?}");
    let lost = Standing { lost: true, ..standing(Status::Draft) };
    assert_eq!(judge(&policy(), lost, &counted).promote_to, Some(Status::Shadow), "what it did since brings it back");
    let since = tally(&evidence("pab112"), 4, &policy());
    assert_eq!((since.successes, since.recordings), (2, 2));
    assert_eq!(judge(&policy(), lost, &since).promote_to, None);
}

#[test]
fn what_is_missing_on_the_way_to_a_status_is_said_all_at_once() {
    use Status::{Active, Disabled, Draft, Shadow};
    let missing = |from, word: &str, to| missing(&policy(), standing(from), &tally(&evidence(word), 0, &policy()), to).len();
    for (from, word, to, count) in [
        (Draft, "", Draft, 0),
        (Draft, "", Shadow, 2),
        (Draft, "pab", Shadow, 0),
        (Draft, "pab", Active, 4),
        (Draft, "pab112", Active, 1),
        (Shadow, "112", Active, 0),
        (Shadow, "112", Disabled, 1),
        (Disabled, "pab112", Active, 1),
        (Active, "111", Draft, 1),
        (Active, "xx", Draft, 0),
        (Active, "xx", Shadow, 0),
    ] {
        assert_eq!(missing(from, word, to), count, "{from:?} {word} {to:?}");
    }
}

proptest! {
    #[test]
    fn the_bound_is_a_share_and_grows_with_successes_and_shrinks_with_failures(s in 0u64..2000, f in 0u64..2000) {
        let bound = wilson(s, f);
        prop_assert!((0.0..=1.0).contains(&bound));
        prop_assert!(wilson(s + 1, f) >= bound);
        prop_assert!(wilson(s, f + 1) <= bound);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let share = s as f64 / (s + f).max(1) as f64;
        prop_assert!(bound <= share + 1e-12, "it never promises more than was seen");
    }

    #[test]
    fn one_more_success_never_costs_a_status_and_one_more_failure_never_earns_one(word in "[pab12xo]{0,30}") {
        let counted = |word: &str| tally(&evidence(word), 0, &policy());
        for status in Status::ALL {
            let verdict = |word: &str| judge(&policy(), standing(status), &counted(word));
            let (now, better, worse) = (verdict(&word), verdict(&format!("{word}9")), verdict(&format!("{word}x")));
            prop_assert!(better.demote.is_none() || now.demote.is_some());
            prop_assert!(now.promote_to.is_none() || better.promote_to == now.promote_to);
            prop_assert!(worse.promote_to.is_none() || now.promote_to == worse.promote_to);
            prop_assert!(now.demote.is_none() || now.promote_to.is_none(), "never up and down at once");
            prop_assert!(now.promote_to.is_none() || now.missing.is_empty());
        }
    }
}
