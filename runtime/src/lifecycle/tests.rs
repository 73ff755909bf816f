//! Versions in a real store.

use super::evidence::EventKind;
use super::*;
use crate::ids::{Digest, RunId};
use crate::tools::asks::Ask;

fn playbooks() -> (tempfile::TempDir, Playbooks) {
    let dir = tempfile::tempdir().unwrap();
    let playbooks = Playbooks::new(Store::open(dir.path()).unwrap());
    (dir, playbooks)
}

/// A version of playbook `id` whose component is `component`.
fn new(id: &str, component: &str, wanted: Option<u32>) -> NewVersion {
    NewVersion {
        playbook_id: PlaybookId::parse(id).unwrap(),
        wanted,
        name: "n".to_owned(),
        component: Digest::of(component.as_bytes()),
        component_bytes: 1,
        origin: Origin::Uploaded,
        asks: Asks::default(),
        provenance: Provenance::default(),
        by: None,
    }
}

#[tokio::test]
async fn the_same_content_answers_with_its_version_and_other_content_makes_the_next() {
    let (_dir, playbooks) = playbooks();
    let space = Space::default_space();
    for (id, content, wanted, number, repeated) in [
        ("p", "a", None, 1, false),
        ("p", "b", None, 2, false),
        ("q", "b", None, 1, false),
        ("p", "c", Some(3), 3, false),
        ("p", "a", None, 1, true),
        ("p", "b", None, 2, true),
        ("p", "c", None, 3, true),
        ("p", "b", Some(2), 2, true),
        // A number that is asked for is given, even to content that there is already; the newest then answers.
        ("p", "a", Some(4), 4, false),
        ("p", "a", None, 4, true),
        ("p", "a", Some(1), 1, true),
        ("p", "d", None, 5, false),
    ] {
        let added = playbooks.add(&space, new(id, content, wanted)).await.unwrap();
        assert_eq!((added.version.version, added.repeated), (number, repeated), "{id} {content} {wanted:?}");
        assert_eq!(playbooks.get(&space, &added.version.playbook_id, Some(number)).unwrap(), added.version);
    }
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    assert!(!playbooks.add(&elsewhere, new("p", "a", None)).await.unwrap().repeated);
    for (content, wanted) in [("a", 2), ("a", 0), ("a", 7), ("x", 5), ("x", 7)] {
        let e = playbooks.add(&space, new("p", content, Some(wanted))).await.unwrap_err();
        assert_eq!(e.code, Code::IdConflict, "{content} {wanted}: {e}");
    }
    assert_eq!(playbooks.get(&space, &PlaybookId::parse("p").unwrap(), None).unwrap().version, 5);
}

/// The earlier versions are taken away, so that whoever looks at one says so.
#[tokio::test]
async fn adding_a_version_reads_none_of_the_earlier_ones() {
    let (_dir, playbooks) = playbooks();
    let space = Space::default_space();
    let mut batch = Batch::new();
    for number in 1..=9 {
        playbooks.add(&space, new("p", &number.to_string(), None)).await.unwrap();
        if number != 5 {
            batch.delete(&VersionKey { space: space.clone(), playbook_id: PlaybookId::parse("p").unwrap(), version: number });
        }
    }
    playbooks.store.commit(batch).await.unwrap();
    let added = playbooks.add(&space, new("p", "10", None)).await.unwrap();
    assert_eq!((added.version.version, added.repeated), (10, false));
    let again = playbooks.add(&space, new("p", "5", None)).await.unwrap();
    assert_eq!((again.version.version, again.repeated), (5, true));
}

fn asking(content: &str, tools: &[&str]) -> NewVersion {
    let asks = tools.iter().map(|tool| Ask::parse(&format!("tool:{tool}")).unwrap()).collect();
    NewVersion { asks, ..new("p", content, None) }
}

#[tokio::test]
async fn a_version_that_asks_for_more_is_kept_and_does_not_run_by_itself() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    for (content, tools, made, active) in [
        ("first", &["fs/read", "fs/list"][..], 1, 1),
        ("same", &["fs/list", "fs/read"], 2, 2),
        ("less", &["fs/read"], 3, 3),
        ("as much as there was", &["fs/list", "fs/read"], 4, 3),
        ("another", &["fs/list"], 5, 3),
        ("nothing", &[], 6, 6),
    ] {
        let added = playbooks.add(&space, asking(content, tools)).await.unwrap();
        assert_eq!((added.version.version, playbooks.get(&space, &id, None).unwrap().version), (made, active), "{content}");
        assert_eq!(playbooks.summary(&space, &id).unwrap().latest_version, made);
    }
    let fourth = playbooks.get(&space, &id, Some(4)).unwrap();
    promoted(&playbooks, 4, Status::Shadow, ChangeKind::Promoted, Authority::Operator).await.unwrap();
    assert_eq!(playbooks.get(&space, &id, None).unwrap().component, fourth.component);
    // It is held against the one that runs now.
    playbooks.add(&space, asking("less again", &["fs/list"])).await.unwrap();
    promoted(&playbooks, 8, Status::Shadow, ChangeKind::Promoted, Authority::Evidence).await.unwrap();
    assert_eq!(playbooks.get(&space, &id, None).unwrap().version, 9);
    // The same bytes again change nothing.
    assert!(playbooks.add(&space, asking("first", &["fs/read", "fs/list"])).await.unwrap().repeated);
    assert_eq!(playbooks.get(&space, &id, None).unwrap().version, 9);
    assert_eq!(playbooks.list(&space, None, 9).unwrap()[0].active_version, 9);
}

#[tokio::test]
async fn what_a_version_from_before_asks_for_is_read_from_its_component() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    let first = playbooks.add(&space, asking("first", &["fs/read"])).await.unwrap().version;
    let mut batch = Batch::new();
    let row = br#"{"v":1,"name":"n","latest":1,"updated_at":1}"#.to_vec();
    batch.put(&PlaybookKey { space: space.clone(), playbook_id: id.clone() }, row);
    playbooks.store.commit(batch).await.unwrap();
    // Whatever is not known to be the same is more.
    playbooks.add(&space, asking("same", &["fs/read"])).await.unwrap();
    let active = playbooks.active_of_unknown_asks(&space, &id).unwrap().unwrap();
    assert_eq!(active, first);
    playbooks.remember_asks(&space, &active, first.asks.clone().unwrap()).await.unwrap();
    assert_eq!(playbooks.active_of_unknown_asks(&space, &id).unwrap(), None);
    for (content, tools, active) in [("more", &["fs/read", "fs/write"][..], 1), ("same again", &["fs/read"], 4)] {
        playbooks.add(&space, asking(content, tools)).await.unwrap();
        assert_eq!(playbooks.get(&space, &id, None).unwrap().version, active, "{content}");
    }
    // It is not the active one any more.
    playbooks.remember_asks(&space, &first, Asks::default()).await.unwrap();
    assert_eq!(playbooks.summary(&space, &id).unwrap().active_asks.unwrap(), first.asks.unwrap());
}

/// Makes version `from` the next one, with this status.
async fn promoted(playbooks: &Playbooks, from: u32, status: Status, kind: ChangeKind, authority: Authority) -> Result<u32> {
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    let next = |_: &Summary| {
        let from = playbooks.get(&space, &id, Some(from))?;
        let asks = from.asks.clone().unwrap();
        Ok(Some(Next::of(from, asks, status, kind, authority)))
    };
    Ok(playbooks.add_status_version(&space, &id, next, |_| Batch::new()).await?.unwrap().version)
}

/// The number and the status of what runs, and the shadow.
fn runs(playbooks: &Playbooks) -> (u32, Status, Option<u32>) {
    let summary = playbooks.summary(&Space::default_space(), &PlaybookId::parse("p").unwrap()).unwrap();
    (summary.active_version, summary.active_status, summary.shadow_version)
}

#[tokio::test]
async fn what_runs_follows_from_the_versions_in_their_order() {
    use Authority::{Evidence, Operator};
    use Status::{Active, Disabled, Draft, Shadow};
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    playbooks.add(&space, asking("a", &["fs/read"])).await.unwrap();
    // From, to, on whose word, and what then runs. `0` uploads a draft of its own.
    for (from, status, authority, now) in [
        (1, Shadow, Evidence, (2, Shadow, Some(2))),
        (0, Draft, Evidence, (2, Shadow, Some(2))),
        (2, Active, Evidence, (4, Active, None)),
        (0, Draft, Evidence, (4, Active, None)),
        (5, Shadow, Evidence, (4, Active, Some(6))),
        (6, Shadow, Operator, (4, Active, Some(7))),
        (7, Active, Evidence, (8, Active, None)),
        (4, Active, Operator, (9, Active, None)),
        (8, Draft, Operator, (9, Active, None)),
        (9, Draft, Evidence, (11, Draft, None)),
        (0, Draft, Evidence, (12, Draft, None)),
        (12, Disabled, Operator, (13, Disabled, None)),
        (0, Draft, Evidence, (13, Disabled, None)),
        (14, Shadow, Evidence, (13, Disabled, Some(15))),
        (14, Active, Evidence, (13, Disabled, None)),
        (14, Draft, Operator, (17, Draft, None)),
        (17, Active, Operator, (18, Active, None)),
    ] {
        match from {
            0 => drop(playbooks.add(&space, asking(&format!("{now:?}"), &["fs/read"])).await.unwrap()),
            from => drop(promoted(&playbooks, from, status, ChangeKind::Promoted, authority).await.unwrap()),
        }
        assert_eq!(runs(&playbooks), now, "{from} to {status:?} on the word of {authority:?}");
        assert_eq!(playbooks.to_start(&space, &id, None).is_err(), now.1 == Disabled);
        assert_eq!(playbooks.to_start(&space, &id, Some(1)).is_err(), now.1 == Disabled, "what is disabled does not run by number either");
    }
    let listed = playbooks.versions(&space, &id, None, 99).unwrap();
    assert_eq!(listed.iter().map(|v| v.version).collect::<Vec<_>>(), (1..=18).rev().collect::<Vec<_>>());
    assert_eq!(playbooks.versions(&space, &id, Some(3), 1).unwrap()[0].version, 2);
    assert_eq!((listed[0].made_by.from_version, listed[0].component), (Some(17), listed[1].component));
}

/// Where nothing rises by itself.
fn lifecycle(playbooks: &Playbooks) -> Lifecycle {
    let store = playbooks.store.clone();
    let policy = crate::config::Policy { auto_promote: false, ..Default::default() };
    let policies = Policies::new(store.clone(), playbooks.clone(), policy);
    let sources = Sources::new(crate::runs::Runs::new(store.clone()), crate::secrets::Secrets::none());
    let (sandbox, tools) = (crate::sandbox::Sandbox::new(None).unwrap(), crate::tools::Registry::builtin());
    Lifecycle::new(store, playbooks.clone(), policies, sources, sandbox, tools)
}

#[tokio::test]
async fn a_playbook_that_cannot_be_looked_at_keeps_no_other_from_it() {
    use crate::store::ConsiderKey;

    let (_dir, playbooks) = playbooks();
    let (space, store) = (Space::default_space(), playbooks.store.clone());
    let mut batch = Batch::new();
    for id in ["a", "b"] {
        let version = playbooks.add(&space, new(id, id, None)).await.unwrap().version;
        evidence::mark(&mut batch, &space, &version.playbook_id);
    }
    let marked = |id: &str| {
        let key = ConsiderKey { space: space.clone(), playbook_id: PlaybookId::parse(id).unwrap() };
        store.get(&key).unwrap().is_some()
    };
    let broken = VersionKey { space: space.clone(), playbook_id: PlaybookId::parse("a").unwrap(), version: 1 };
    batch.put(&broken, b"{".to_vec());
    store.commit(batch).await.unwrap();
    let lifecycle = lifecycle(&playbooks);
    assert_eq!(lifecycle.look().await.unwrap(), 1);
    assert_eq!((marked("a"), marked("b")), (true, false), "the one that is not done is looked at again");
}

#[tokio::test]
async fn what_asks_for_more_becomes_active_on_the_word_of_an_operator_alone() {
    let (_dir, playbooks) = playbooks();
    let space = Space::default_space();
    playbooks.add(&space, asking("narrow", &["fs/read"])).await.unwrap();
    playbooks.add(&space, asking("wide", &["fs/read", "fs/write"])).await.unwrap();
    for authority in [Authority::Evidence, Authority::Anybody] {
        let e = promoted(&playbooks, 2, Status::Active, ChangeKind::Promoted, authority).await.unwrap_err();
        assert_eq!(e.code, Code::PromotionNotEarned);
    }
    // A shadow may be wide, and does not run by itself.
    promoted(&playbooks, 2, Status::Shadow, ChangeKind::AutoPromoted, Authority::Evidence).await.unwrap();
    assert_eq!(runs(&playbooks), (1, Status::Draft, Some(3)));
    promoted(&playbooks, 3, Status::Active, ChangeKind::Promoted, Authority::Operator).await.unwrap();
    assert_eq!(runs(&playbooks), (4, Status::Active, None));
}

#[tokio::test]
async fn what_a_review_holds_back_never_runs_by_itself_and_is_reviewed_once() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    playbooks.add(&space, asking("a", &["fs/read"])).await.unwrap();
    let content = |text: &str| Content {
        component: Digest::of(text.as_bytes()),
        component_bytes: 1,
        origin: Origin::Uploaded,
        asks: asking(text, &["fs/read"]).asks,
        provenance: Provenance::default(),
    };
    let reviewed = |state| Some(Review { state, author: Some("ann".to_owned()), reviewer: None, note: None });
    let add = async |from: u32, status, kind, text: Option<&str>, state: Option<ReviewState>| {
        let next = |_: &Summary| {
            let from = playbooks.get(&space, &id, Some(from))?;
            let asks = from.asks.clone().unwrap();
            let next = Next::of(from, asks, status, kind, Authority::Operator);
            Ok(Some(Next { content: text.map(content), review: state.and_then(reviewed), ..next }))
        };
        playbooks.add_status_version(&space, &id, next, |_| Batch::new()).await
    };
    let (repaired, by_review) = (ChangeKind::Repaired, ChangeKind::Reviewed);
    add(1, Status::Draft, repaired, Some("b"), Some(ReviewState::PendingReview)).await.unwrap();
    add(1, Status::Draft, repaired, Some("c"), Some(ReviewState::PendingReview)).await.unwrap();
    assert_eq!((runs(&playbooks).0, playbooks.summary(&space, &id).unwrap().pending), (1, vec![2, 3]));
    let third = playbooks.get(&space, &id, Some(3)).unwrap();
    assert_eq!(playbooks.may_activate(&space, &third).unwrap_err().code, Code::PromotionNotEarned);
    assert_eq!(add(3, Status::Active, ChangeKind::Promoted, None, None).await.unwrap_err().code, Code::PromotionNotEarned);

    add(2, Status::Draft, by_review, None, Some(ReviewState::Rejected)).await.unwrap();
    assert_eq!((runs(&playbooks).0, playbooks.summary(&space, &id).unwrap().pending), (1, vec![3]));
    for again in [2, 1, 4] {
        let e = add(again, Status::Draft, by_review, None, Some(ReviewState::Approved)).await.unwrap_err();
        assert_eq!(e.code, Code::ReplayRepairNotPendingReview, "{again}");
    }
    let one = add(3, Status::Shadow, by_review, None, Some(ReviewState::Approved));
    let other = add(3, Status::Draft, by_review, None, Some(ReviewState::Rejected));
    let (one, other) = tokio::join!(one, other);
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "of two reviews at once one wins: {one:?} {other:?}");
    let lost = one.err().or(other.err()).unwrap();
    assert_eq!(lost.code, Code::ReplayRepairNotPendingReview);
}

#[tokio::test]
async fn of_two_promotions_at_once_each_sees_what_the_other_did() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    playbooks.add(&space, asking("a", &["fs/read"])).await.unwrap();
    // Each promotes only what is the latest still, and is no shadow yet.
    let next = |before: &Summary| {
        let from = playbooks.get(&space, &id, Some(before.latest_version))?;
        let asks = from.asks.clone().unwrap();
        let next = Next::of(from, asks, Status::Shadow, ChangeKind::Promoted, Authority::Operator);
        Ok(Some(next).filter(|next| next.from.status != Status::Shadow))
    };
    let race = || playbooks.add_status_version(&space, &id, next, |_| Batch::new());
    let (a, b, c) = tokio::join!(race(), race(), race());
    let made: Vec<Version> = [a, b, c].into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(playbooks.summary(&space, &id).unwrap().latest_version, 2);
}

#[tokio::test]
async fn what_lost_its_status_begins_anew_with_its_evidence() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    playbooks.add(&space, asking("a", &["fs/read"])).await.unwrap();
    let since = |version: u32| {
        let version = playbooks.get(&space, &id, Some(version)).unwrap();
        (version.trusted_since_ms, version.created_at_ms)
    };
    for (number, status) in [(2, Status::Active), (3, Status::Draft), (4, Status::Shadow)] {
        promoted(&playbooks, number - 1, status, ChangeKind::Promoted, Authority::Operator).await.unwrap();
    }
    assert_eq!((since(1).0, since(2).0), (None, None));
    assert_eq!(since(3).0, Some(since(3).1));
    assert_eq!(since(4).0, since(3).0, "and that is not forgotten when it rises again");
}

/// However many jobs there are, what was shown on recordings is neither forgotten nor in their place.
#[tokio::test]
async fn what_was_shown_on_recordings_is_not_pushed_out_by_jobs() {
    let (_dir, playbooks) = playbooks();
    let (space, store) = (Space::default_space(), playbooks.store.clone());
    let version = playbooks.add(&space, new("p", "p", None)).await.unwrap().version;
    let put = |batch: &mut Batch, event| evidence::put(batch, &space, &version.playbook_id, &version.component, event);
    let mut batch = Batch::new();
    for run in ["a", "b", "c"] {
        let run = RunId::parse(run).unwrap();
        for kind in [EventKind::Proof, EventKind::Shadow] {
            put(&mut batch, evidence::of_run(kind, &version, &run, None, 1));
        }
    }
    let differs = evidence::Drift { step: None, why: "it did something else then".to_owned(), cause: None };
    put(&mut batch, evidence::of_run(EventKind::Shadow, &version, &RunId::parse("d").unwrap(), Some(differs), 0));
    let job = |outcome| evidence::Event {
        outcome,
        run_id: None,
        input_digest: Some(Digest::of(b"input")),
        ..evidence::of_run(EventKind::Job, &version, &RunId::parse("none").unwrap(), None, 1)
    };
    put(&mut batch, job(evidence::Outcome::Failure));
    (0..limits::EVIDENCE_LOOK_BACK).for_each(|_| put(&mut batch, job(evidence::Outcome::Success)));
    // What a run showed last is what it shows.
    put(&mut batch, evidence::of_run(EventKind::Shadow, &version, &RunId::parse("d").unwrap(), None, 1));
    store.commit(batch).await.unwrap();
    let events = evidence::for_decision(&store, &space, &version.playbook_id, &version.component).unwrap();
    let tally = policy::tally(&events, 0, &crate::config::Policy::default());
    assert_eq!((tally.proofs, tally.recordings, tally.differs), (3, 4, Vec::new()));
    let jobs = limits::EVIDENCE_LOOK_BACK as u64;
    assert!((jobs..jobs + 4).contains(&(tally.successes + tally.failures)) && tally.successes == jobs, "{}", tally.successes);
}

/// A filter that fits next to nothing makes no request walk over everything there is.
#[tokio::test]
async fn a_page_of_what_a_filter_takes_looks_at_a_bounded_number_of_rows() {
    use super::repairs::{RepairFilter, RepairRow, RepairSource, RepairState};
    let (_dir, playbooks) = playbooks();
    let (space, store) = (Space::default_space(), playbooks.store.clone());
    playbooks.add(&space, new("p", "p", None)).await.unwrap();
    let row = store.get(&playbook_key(&space, &PlaybookId::parse("p").unwrap())).unwrap().unwrap();
    let mut batch = Batch::new();
    let repair = |state| RepairRow {
        v: 1,
        from_version: 1,
        source: RepairSource::Patch,
        author: None,
        note: None,
        target_status: Status::Draft,
        state,
        made_at: 1,
        reviewed: None,
        details: Digest::of(b"details"),
    };
    let all = u32::try_from(limits::FILTERED_ROWS_MAX).unwrap() + 1;
    for n in 1..=all {
        let id = PlaybookId::parse(&format!("q{n:06}")).unwrap();
        batch.put(&playbook_key(&space, &id), row.clone());
        let state = if n == all { RepairState::Approved } else { RepairState::Rejected };
        batch.append(repairs::made(&space, &id, 1, &repair(state)));
    }
    store.commit(batch).await.unwrap();
    let last = format!("q{all:06}");
    let filter = PlaybookFilter { text: Some(last.clone()), status: None };
    let (found, next) = playbooks.list_where(&space, &filter, None, 1).unwrap();
    assert!(found.is_empty() && next.is_some(), "{found:?}");
    let (found, next) = playbooks.list_where(&space, &filter, next.as_ref(), 1).unwrap();
    assert_eq!((found[0].playbook_id.as_str(), next), (last.as_str(), None));
    let plain = PlaybookFilter::default();
    let (two, next) = playbooks.list_where(&space, &plain, None, 2).unwrap();
    assert_eq!((two.len(), next), (2, two.last().map(|last| last.playbook_id.clone())));

    let filter = RepairFilter { playbook_id: None, state: Some(RepairState::Approved) };
    let (found, next) = playbooks.repairs(&space, &filter, None, 1).unwrap();
    assert!(found.is_empty() && next.is_some(), "{found:?}");
    let (found, next) = playbooks.repairs(&space, &filter, next, 1).unwrap();
    assert_eq!((found[0].playbook_id.as_str(), next), (last.as_str(), None));
}

/// Nobody asks for what changed in a server in which nobody looks for playbooks.
#[test]
fn no_more_changes_are_noted_than_are_allowed() {
    let (_dir, playbooks) = playbooks();
    let (space, id) = (Space::default_space(), |n: usize| PlaybookId::parse(&format!("p{n}")).unwrap());
    let note = |n: usize| playbooks.changed.lock().unwrap().note(space.clone(), id(n));
    (0..limits::CHANGED_PLAYBOOKS_MAX).for_each(note);
    assert_eq!(playbooks.changed().map(|changed| changed.len()), Some(limits::CHANGED_PLAYBOOKS_MAX));
    (0..=limits::CHANGED_PLAYBOOKS_MAX).for_each(note);
    assert!(playbooks.changed().is_none(), "then everything has changed");
    note(1);
    assert_eq!(playbooks.changed().map(|changed| changed.len()), Some(1));
}

/// Begins it, and lets whoever waits for it go away before it is done.
async fn begun_and_left(work: impl Future<Output = ()>, store: &Store) {
    let mut work = Box::pin(work);
    std::future::poll_fn(|context| {
        let _ = work.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    drop(work);
    // Batches are written one after the other: what was handed over is on disk.
    store.commit(Batch::new()).await.unwrap();
}

#[tokio::test]
async fn what_is_written_is_noted_though_nobody_waits_for_it() {
    let (_dir, playbooks) = playbooks();
    let (space, store) = (Space::default_space(), playbooks.store.clone());
    let only = Some(vec![(space.clone(), PlaybookId::parse("p").unwrap())]);
    begun_and_left(async { drop(playbooks.add(&space, new("p", "a", None)).await) }, &store).await;
    assert_eq!((runs(&playbooks).0, playbooks.changed()), (1, only.clone()));
    let promotes = async { drop(promoted(&playbooks, 1, Status::Active, ChangeKind::Promoted, Authority::Operator).await) };
    begun_and_left(promotes, &store).await;
    assert_eq!((runs(&playbooks).0, playbooks.changed()), (2, only));
    let again = new("p", "a", None);
    assert!(playbooks.add(&space, again).await.unwrap().repeated);
    assert_eq!(playbooks.changed(), Some(Vec::new()), "nothing was written");
}

#[tokio::test]
async fn a_policy_of_a_space_whose_request_went_away_is_looked_at_all_the_same() {
    use crate::config::PolicyChange;
    use crate::store::{ConsiderKey, PolicyKey};

    let (_dir, playbooks) = playbooks();
    let (space, store) = (Space::default_space(), playbooks.store.clone());
    playbooks.add(&space, new("p", "a", None)).await.unwrap();
    let lifecycle = lifecycle(&playbooks);
    assert_eq!(lifecycle.look().await.unwrap(), 0, "what an earlier process left is done");
    let change = PolicyChange::read(&serde_json::json!({"canary_share": 0.5})).unwrap();
    begun_and_left(async { drop(lifecycle.policies().put(&space, None, &change).await) }, &store).await;
    assert_eq!(lifecycle.policies().change(&space, None).unwrap(), change);
    assert_eq!(lifecycle.look().await.unwrap(), 1);
    assert_eq!(lifecycle.look().await.unwrap(), 0, "once");

    // Neither a policy nor a playbook that does not read back keeps the others from it.
    let mut batch = Batch::new();
    batch.put(&PolicyKey { space: Space::parse(Some("a"), None).unwrap(), playbook_id: None }, b"{".to_vec());
    batch.put(&PlaybookKey { space: space.clone(), playbook_id: PlaybookId::parse("a").unwrap() }, b"{".to_vec());
    store.commit(batch).await.unwrap();
    begun_and_left(async { drop(lifecycle.policies().put(&space, None, &PolicyChange::default()).await) }, &store).await;
    assert_eq!(lifecycle.look().await.unwrap(), 1);
    let marked =
        |id: &str| store.get(&ConsiderKey { space: space.clone(), playbook_id: PlaybookId::parse(id).unwrap() }).unwrap().is_some();
    assert_eq!((marked("a"), marked("p")), (true, false));
}
