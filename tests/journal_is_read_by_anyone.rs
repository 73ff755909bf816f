//! Entries, folds and lists, read while workers write and without asking them.

use reprise::error::Code;
use reprise::ids::{JobId, PlaybookId, Space};
use reprise::journal::{self, Filter, Log, Status, list, read, runnable};
use reprise::limits;

use crate::worker::{Place, called, completed, created_for, failed, place, returned, time, uncertain};

async fn job(place: &Place, space: &Space, playbook_id: &str, bodies: Vec<reprise::journal::Body>) -> JobId {
    let mut log = Log::create(&place.store, space, JobId::fresh(), created_for(playbook_id), None, 1).await.unwrap();
    for body in bodies {
        log.push(body).unwrap();
    }
    log.flush().await.unwrap();
    log.job_id()
}

#[tokio::test]
async fn entries_come_in_pages() {
    let place = place();
    let job_id = job(&place, &place.space, "p", (0..6).map(time).collect()).await;
    let seqs = |after, limit| -> Vec<u64> {
        read(&place.store, &place.space, &job_id, after, limit).unwrap().iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(seqs(None, 500), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seqs(Some(0), 2), [1, 2]);
    assert_eq!(seqs(Some(2), 2), [3, 4]);
    assert_eq!(seqs(Some(6), 2), [7]);
    assert_eq!(seqs(Some(7), 2), [0; 0]);
    assert_eq!(seqs(Some(u64::MAX), 2), [0; 0]);
    assert_eq!(seqs(Some(3), 0), [0; 0]);
}

#[tokio::test]
async fn an_id_alone_opens_nobody_elses_journal() {
    let place = place();
    let job_id = job(&place, &place.space, "p", vec![time(1)]).await;
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    assert_eq!(read(&place.store, &elsewhere, &job_id, None, 10).unwrap_err().code, Code::JobNotFound);
    assert_eq!(journal::fold(&place.store, &elsewhere, &job_id).unwrap_err().code, Code::JobNotFound);
    assert!(journal::head_of(&place.store, &elsewhere, &job_id).unwrap().is_none());
    assert!(list(&place.store, &elsewhere, &Filter::default(), None, 10).unwrap().jobs.is_empty());
}

#[tokio::test]
async fn jobs_are_listed_newest_first_by_status_and_playbook() {
    let place = place();
    let elsewhere = Space::parse(None, Some("other")).unwrap();
    let a = job(&place, &place.space, "a", vec![]).await;
    let b = job(&place, &place.space, "b", vec![time(1)]).await;
    job(&place, &elsewhere, "a", vec![time(1)]).await;
    let c = job(&place, &place.space, "a", vec![completed()]).await;
    let d = job(&place, &place.space, "a", vec![called(1), uncertain(1)]).await;
    let e = job(&place, &place.space, "b", vec![completed()]).await;
    let f = job(&place, &place.space, "a", vec![failed()]).await;

    // Walks a list page by page, so that every page size must give the same list.
    let all = |filter: &Filter, limit| {
        let (mut jobs, mut before) = (Vec::new(), None);
        loop {
            let page = list(&place.store, &place.space, filter, before, limit).unwrap();
            assert!(page.jobs.len() <= limit);
            jobs.extend(page.jobs.into_iter().map(|(job_id, _)| job_id));
            before = page.next;
            if before.is_none() {
                return jobs;
            }
        }
    };
    let status = |status| Filter { status: Some(status), playbook_id: None };
    let playbook = |id: &str| Filter { status: None, playbook_id: Some(PlaybookId::parse(id).unwrap()) };
    for limit in [1, 2, 3, 500] {
        assert_eq!(all(&Filter::default(), limit), [f, e, d, c, b, a], "pages of {limit}");
        assert_eq!(all(&status(Status::Completed), limit), [e, c]);
        assert_eq!(all(&status(Status::Uncertain), limit), [d]);
        assert_eq!(all(&status(Status::Waiting), limit), []);
        assert_eq!(all(&playbook("b"), limit), [e, b]);
        assert_eq!(all(&Filter { playbook_id: playbook("a").playbook_id, ..status(Status::Completed) }, limit), [c]);
    }
}

#[tokio::test]
async fn what_should_run_is_found_in_all_spaces_and_nothing_else_is() {
    let place = place();
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    let here = &place.space;
    let ready = job(&place, here, "p", vec![]).await;
    job(&place, here, "p", vec![completed()]).await;
    let running = job(&place, here, "p", vec![called(1), returned(1)]).await;
    job(&place, here, "p", vec![called(1), uncertain(1)]).await;
    let running_there = job(&place, &elsewhere, "p", vec![time(1)]).await;
    job(&place, &elsewhere, "p", vec![failed()]).await;
    let expected = [(here.clone(), running), (elsewhere, running_there), (here.clone(), ready)];
    let found: Vec<_> = runnable(&place.store).unwrap().into_iter().map(|(space, job_id, _)| (space, job_id)).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn more_jobs_than_one_page_are_all_found() {
    let place = place();
    let count = limits::PAGE_ROWS_MAX + 3;
    let jobs: Vec<_> = (0..count)
        .map(|_| {
            let (store, space) = (place.store.clone(), place.space.clone());
            tokio::spawn(async move { Log::create(&store, &space, JobId::fresh(), created_for("p"), None, 1).await.unwrap().job_id() })
        })
        .collect();
    let mut made = Vec::new();
    for job in jobs {
        made.push(job.await.unwrap());
    }
    made.sort();
    let found: Vec<_> = runnable(&place.store).unwrap().into_iter().map(|(_, job_id, _)| job_id).collect();
    assert_eq!(found, made);
}

#[tokio::test]
async fn a_journal_longer_than_one_read_is_folded_whole() {
    let place = place();
    let mut log = Log::create(&place.store, &place.space, JobId::fresh(), created_for("p"), None, 1).await.unwrap();
    for n in 0..limits::JOURNAL_READ_ROWS as u64 + 5 {
        log.push(time(n)).unwrap();
        if log.should_flush() {
            log.flush().await.unwrap();
        }
    }
    log.flush().await.unwrap();
    let state = journal::fold(&place.store, &place.space, &log.job_id()).unwrap();
    assert_eq!(state, *log.state());
    assert_eq!(state.next_seq(), limits::JOURNAL_READ_ROWS as u64 + 7);
}
