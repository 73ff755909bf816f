//! Durable steps: one job alone, many at once, and the replay of a long one.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::contract::{Effect, ErrorKind, ToolError, ToolId};
use reprise::engine::{Engine, JobRequest, Settings, Upload};
use reprise::ids::{Digest, JobId, PlaybookId, Space};
use reprise::jobs::Manner;
use reprise::journal::{Answer, Body, Log, Options, Status};
use reprise::json::Json;
use reprise::store::{Payload, Store};
use reprise::{limits, sandbox};

use super::guest;
use super::machine::Written;
use super::report::{Report, median};

pub(super) async fn with_caller(data: &Path) -> (Engine, PlaybookId) {
    let engine = Engine::open(&Settings::of(data)).expect("the directory opens");
    let upload = Upload { playbook_id: Some(PlaybookId::parse("caller").expect("an id")), name: None, bytes: guest::caller() };
    let uploaded = engine.upload(&Space::default_space(), upload).await.expect("it is a playbook");
    (engine, uploaded.version.playbook_id)
}

pub(super) fn request(playbook_id: &PlaybookId, calls: usize) -> JobRequest {
    let input = Json::parse(guest::calls(calls).as_bytes()).expect("it is JSON");
    JobRequest {
        playbook_id: playbook_id.clone(),
        version: None,
        input,
        idempotency_key: None,
        grants: Vec::new(),
        options: Options::default(),
    }
}

pub(super) async fn run(engine: &Engine, playbook: &PlaybookId, calls: usize) {
    let status = end(engine, playbook, calls).await;
    assert_eq!(status, Status::Completed);
}

/// Starts a job and waits until nothing happens in it any more.
pub(super) async fn end(engine: &Engine, playbook: &PlaybookId, calls: usize) -> Status {
    let space = Space::default_space();
    let job = engine.start_job(&space, request(playbook, calls), Manner::default()).await.expect("the job starts");
    loop {
        match engine.wait(&space, &job, Duration::from_secs(50)).await.expect("the job is there") {
            Status::Ready | Status::Running => {}
            status => return status,
        }
    }
}

/// One job alone: what one step adds, from jobs of two lengths.
pub(super) async fn alone(home: &Path, fdatasync: Duration, report: &mut Report) {
    let (engine, playbook) = with_caller(&home.join("alone")).await;
    let (short, long): (u32, u32) = (10, 210);
    let mut steps = Vec::new();
    let written_before = Written::now();
    let rounds = report.rounds(15);
    for _ in 0..rounds {
        let start = Instant::now();
        run(&engine, &playbook, short as usize).await;
        let middle = Instant::now();
        run(&engine, &playbook, long as usize).await;
        let (short_time, long_time) = (middle - start, middle.elapsed());
        steps.push(long_time.saturating_sub(short_time) / (long - short));
    }
    let step = median(steps);
    report.fact("one durable step, one job alone", format!("{step:.1?}"));
    report.ratio_at_most("  the same against the bare fdatasync", step.as_secs_f64() / fdatasync.as_secs_f64(), 1.5, "x");
    let steps = f64::from(u32::try_from(rounds).expect("a few")) * f64::from(short + long);
    report.written("durable step, one job alone", &written_before, &Written::now(), steps);
}

pub(super) async fn together(home: &Path, report: &mut Report) {
    let (engine, playbook) = with_caller(&home.join("together")).await;
    let (jobs, calls) = (64, if report.quick { 5 } else { 1_000 });
    run(&engine, &playbook, calls).await;
    let before = Written::now();
    let start = Instant::now();
    let all: Vec<_> = (0..jobs)
        .map(|_| {
            let (engine, playbook) = (engine.clone(), playbook.clone());
            tokio::spawn(async move { run(&engine, &playbook, calls).await })
        })
        .collect();
    for job in all {
        job.await.expect("the job completes");
    }
    let steps = f64::from(jobs) * f64::from(u32::try_from(calls).expect("a thousand"));
    report.rate_at_least("durable steps, 64 jobs at once", steps / start.elapsed().as_secs_f64(), 30_000.0, "/s");
    report.written("durable step, 64 jobs at once", &before, &Written::now(), steps);
}

/// A job of 10,000 steps whose process died before the end: from opening it to its end.
pub(super) async fn replay(home: &Path, report: &mut Report) {
    let data = home.join("replay");
    let calls: u64 = if report.quick { 10 } else { 10_000 };
    let rounds = report.rounds(5);
    let (engine, playbook) = with_caller(&data).await;
    let version = engine.playbook(&Space::default_space(), &playbook, None).expect("it was uploaded");
    drop(engine);
    let mut jobs = Vec::new();
    for _ in 0..rounds {
        jobs.push(half_done(&data, &playbook, version.component, calls).await);
    }
    let engine = Engine::open(&Settings::of(&data)).expect("the directory opens");
    let space = Space::default_space();
    let mut times = Vec::new();
    for job in jobs {
        let start = Instant::now();
        engine.resume_job(&space, &job, Manner::default()).await.expect("it is taken up");
        let status = engine.follow(&space, &job, |_| Ok(())).await.expect("it is there");
        times.push(start.elapsed());
        assert_eq!(status, Status::Completed);
    }
    let time = median(times);
    let entries = f64::from(u32::try_from(2 * calls).expect("thousands"));
    report.at_most(&format!("resume a job of {calls} steps and come to its end"), time, Duration::from_millis(100));
    report.rate_at_least("  journal entries read, checked and replayed", entries / time.as_secs_f64(), 300_000.0, "/s");
}

/// Writes the journal that a process leaves behind which died after `calls` calls.
async fn half_done(data: &Path, playbook: &PlaybookId, component: Digest, calls: u64) -> JobId {
    let store = Store::open(data).expect("the directory opens");
    let job = JobId::fresh();
    let input = Json::parse(guest::calls(usize::try_from(calls).expect("thousands")).as_bytes()).expect("it is JSON");
    let created = Body::Created {
        playbook_id: playbook.clone(),
        version: 1,
        component,
        input_digest: input.digest(),
        input: store.save(&input).expect("the disk takes it"),
        grants: Vec::new(),
        engine: sandbox::ENGINE_VERSION.to_owned(),
        fuel: limits::JOB_FUEL,
        options: Box::default(),
        parent: None,
        origin: None,
    };
    let mut log = Log::create(&store, &Space::default_space(), job, created, None, 1).await.expect("the job is created");
    let tool = ToolId::parse("http/put").expect("a tool id");
    let input = Json::parse(br#"{"url":"http://127.0.0.1:9/a-small-to"}"#).expect("it is JSON");
    for call in 1..=calls {
        let (input, input_digest) = (Payload::Inline(input.clone()), input.digest());
        let called = Body::Called {
            call,
            step: None,
            tool: tool.clone(),
            effect: Effect::Idempotent,
            key: format!("{call:032x}"),
            input,
            input_digest,
        };
        log.push(called).expect("there is room");
        let error = ToolError::new(ErrorKind::Denied, "no grant covers it");
        log.push(Body::Returned { call, answer: Answer::Error(error) }).expect("there is room");
        if log.should_flush() {
            log.flush().await.expect("the disk takes it");
        }
    }
    log.flush().await.expect("the disk takes it");
    job
}
