//! The rows by which a job is found, held against its journal after every flush.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::entry::Body;
use super::super::log::Log;
use super::super::samples::*;
use super::super::waits::{On, Wake};
use super::*;
use crate::contract::Effect;
use crate::store::Store;

/// Every row in the store by which the jobs of this space are found; the tests keep one job in each.
fn found(store: &Store, space: &Space) -> Vec<Row> {
    let mut rows = Vec::new();
    for status in Status::ALL {
        let there = store.scan(&StatusKey::of_status_and_space(status.number(), space), None, 100).unwrap();
        rows.extend(there.into_iter().map(|(key, _)| Row::Status(key)));
    }
    let timers = store.scan(&TimerKey::all(), None, 10_000).unwrap().into_iter();
    rows.extend(timers.filter(|(key, _)| key.space == *space).map(|(key, _)| Row::Timer(key)));
    let approvals = store.scan(&ApprovalKey::of_space(space), None, 100).unwrap();
    rows.extend(approvals.into_iter().map(|(key, row)| Row::Approval(key, row)));
    let external = store.scan(&ExternalKey::of_space(space), None, 100).unwrap();
    rows.extend(external.into_iter().map(|(key, row)| Row::External(key, row)));
    rows
}

fn fresh_space() -> Space {
    Space::parse(Some(&format!("t{}", crate::ids::random_u64())), None).unwrap()
}

#[test]
fn what_lies_in_the_store_is_what_follows_from_the_journal_after_every_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = std::cell::RefCell::new([0; 4]);
    let cases = (legal_journal(), prop::collection::vec(any::<bool>(), 70));
    TestRunner::new(Config::with_cases(48))
        .run(&cases, |((bodies, _), flushes)| {
            let (space, mut bodies) = (fresh_space(), bodies.into_iter());
            runtime.block_on(async {
                let created = bodies.next().unwrap();
                let mut log = Log::create(&store, &space, JobId::fresh(), created, None, 1).await.unwrap();
                for (body, flush) in bodies.zip(flushes) {
                    log.push(body).unwrap();
                    if !flush {
                        continue;
                    }
                    log.flush().await.unwrap();
                    let there = found(&store, &space);
                    prop_assert_eq!(&there, &rows(log.state(), &space, log.job_id()));
                    for row in there {
                        seen.borrow_mut()[match row {
                            Row::Status(_) => 0,
                            Row::Timer(_) => 1,
                            Row::Approval(..) => 2,
                            Row::External(..) => 3,
                        }] += 1;
                    }
                }
                Ok(())
            })
        })
        .unwrap();
    let seen = seen.into_inner();
    assert!(seen.iter().all(|seen| *seen > 0), "all four sorts of rows were there at some time: {seen:?}");
}

#[tokio::test]
async fn each_sort_of_row_comes_with_what_it_is_for_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let space = fresh_space();
    let mut log = Log::create(&store, &space, JobId::fresh(), created(), None, 1).await.unwrap();
    /// What is written, the statuses, due times, approvals and calls that are then to be found.
    type Step = (Vec<Body>, Status, Vec<u64>, usize, Vec<&'static str>);
    let steps: Vec<Step> = vec![
        (vec![waiting(1, On::Sleep { ms: 5 }, Some(77))], Status::Waiting, vec![77], 0, vec![]),
        (vec![paused()], Status::Paused, vec![], 0, vec![]),
        (vec![continued(), woken(1, Wake::Elapsed)], Status::Running, vec![], 0, vec![]),
        (vec![waiting(2, on_approval(), Some(99))], Status::Waiting, vec![99], 1, vec![]),
        (vec![paused()], Status::Paused, vec![], 0, vec![]),
        (vec![continued()], Status::Waiting, vec![99], 1, vec![]),
        (vec![woken(2, Wake::Approved(verdict(b"shown")))], Status::Running, vec![], 0, vec![]),
        (
            vec![called_with(1, Effect::Once, "agent/call-customer", "1"), waiting(3, On::External { call: 1 }, None)],
            Status::Waiting,
            vec![],
            0,
            vec!["agent/call-customer"],
        ),
        (vec![returned(1)], Status::Running, vec![], 0, vec![]),
        (vec![waiting(4, on_approval(), None), cancel_requested()], Status::Waiting, vec![], 1, vec![]),
        (vec![woken(4, Wake::Cancelled), cancelled()], Status::Cancelled, vec![], 0, vec![]),
    ];
    for (bodies, status, due, approvals, calls) in steps {
        for body in bodies {
            log.push(body).unwrap();
        }
        log.flush().await.unwrap();
        let there = found(&store, &space);
        let of = |of: fn(&Row) -> Option<String>| -> Vec<String> { there.iter().filter_map(of).collect() };
        let statuses = of(|row| if let Row::Status(key) = row { Some(key.status.to_string()) } else { None });
        assert_eq!(statuses, [status.number().to_string()]);
        let times = of(|row| if let Row::Timer(key) = row { Some(key.due_ms.to_string()) } else { None });
        assert_eq!(times, due.iter().map(u64::to_string).collect::<Vec<_>>(), "{status}");
        assert_eq!(of(|row| if let Row::Approval(..) = row { Some(String::new()) } else { None }).len(), approvals, "{status}");
        assert_eq!(of(|row| if let Row::External(key, _) = row { Some(key.tool.clone()) } else { None }), calls, "{status}");
    }
}

#[test]
fn a_row_says_what_a_person_or_a_performer_must_know() {
    let of = |bodies: Vec<Body>| {
        let state = State::fold(&entries([vec![created()], bodies].concat())).unwrap();
        rows(&state, &Space::default_space(), job()).pop().unwrap()
    };
    let Row::Approval(key, row) = of(vec![waiting(1, on_approval(), Some(99))]) else { panic!("an approval") };
    let open: OpenApproval = serde_json::from_slice(&row).unwrap();
    assert_eq!((key.wait, open.title.as_str(), open.digest, open.until_ms), (1, "refund", Digest::of(b"shown"), Some(99)));
    assert_eq!((open.request, open.step.as_deref()), (inline(r#"{"euros":20}"#), Some("w")));

    let Row::External(key, row) = of(vec![called(1, Effect::Once), waiting(1, On::External { call: 1 }, None)]) else { panic!("a call") };
    let open: OpenCall = serde_json::from_slice(&row).unwrap();
    assert_eq!((key.call, open.seq, open.key.as_str(), open.step.as_deref()), (1, 2, "key-1", Some("s1")));
}

#[test]
fn a_job_with_a_deadline_is_due_until_it_has_ended() {
    let mut body = created();
    let Body::Created { options, .. } = &mut body else { panic!("created") };
    options.timeout_ms = Some(1_000);
    let due = |bodies: Vec<Body>| State::fold(&entries([vec![body.clone()], bodies].concat())).unwrap().due_ms();
    let deadline = Some(1_763_632_000_007 + 1_000);
    assert_eq!(due(vec![]), deadline);
    assert_eq!(due(vec![waiting(1, On::Sleep { ms: 5 }, Some(77))]), Some(77), "the earlier of the two");
    assert_eq!(due(vec![waiting(1, On::Sleep { ms: 5 }, Some(u64::MAX))]), deadline);
    assert_eq!(due(vec![called(1, Effect::Once), uncertain(1)]), deadline);
    assert_eq!(due(vec![parked()]), deadline);
    assert_eq!(due(vec![completed()]), None);
    assert_eq!(due(vec![failed()]), None);
}
