//! Jobs that wait: how soon a signal wakes one, what ten thousand of them cost, and a thousand signalled at once.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::compiler::graph::Graph;
use reprise::engine::{Engine, Settings, Task, TaskRequest};
use reprise::ids::{JobId, Space};
use reprise::jobs::Manner;
use reprise::journal::{Options, Status};
use reprise::json::Json;
use serde_json::json;

use super::durable::{request, with_caller};
use super::report::{Report, median};

/// A job that waits for `go`.
async fn parked(engine: &Engine) -> JobId {
    let wait = json!({"id": "wait", "kind": "wait", "signal": "go"});
    let graph = json!({"graph_version": 1, "goal": "wait", "nodes": [wait], "output": {"$from": "wait"}});
    let graph = Graph::of(&graph).expect("it is a graph");
    let input = Json::parse(b"{}").expect("it is JSON");
    let task = Task::Graph(Box::new(graph));
    let wish = TaskRequest { task, input, idempotency_key: None, grants: Vec::new(), options: Options::default() };
    engine.start_task(&Space::default_space(), wish, Manner::default()).await.expect("the job starts")
}

async fn stands(engine: &Engine, job: &JobId, status: Status) {
    let now = engine.wait(&Space::default_space(), job, Duration::from_secs(50)).await.expect("the job is there");
    assert_eq!(now, status);
}

async fn signal(engine: &Engine, job: JobId) {
    let payload = Json::parse(b"1").expect("it is JSON");
    engine.signal(&Space::default_space(), job, "go".to_owned(), payload, None, None).await.expect("it is stored");
}

pub(super) async fn signalled(home: &Path, report: &mut Report) {
    let engine = Engine::open(&Settings::of(home.join("signalled"))).expect("the directory opens");
    let mut times = Vec::new();
    for _ in 0..report.rounds(200) {
        let job = parked(&engine).await;
        stands(&engine, &job, Status::Waiting).await;
        let start = Instant::now();
        signal(&engine, job).await;
        stands(&engine, &job, Status::Completed).await;
        times.push(start.elapsed());
    }
    report.at_most("from a signal to the end of the job that waited for it, p50", median(times), Duration::from_millis(5));
    engine.shut_down().await;
}

/// Resident memory of this process in megabytes; none where the kernel does not say.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse::<u32>().ok()?;
    Some(f64::from(kb) / 1024.0)
}

pub(super) async fn ten_thousand(home: &Path, report: &mut Report) {
    let (engine, caller) = with_caller(&home.join("parked")).await;
    let (parked_jobs, at_once) = if report.quick { (20, 10) } else { (10_000, 1_000) };
    let rounds = report.rounds(100);
    let space = Space::default_space();
    let alone = async |engine: &Engine| {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            let job = engine.start_job(&space, request(&caller, 1), Manner::default()).await.expect("the job starts");
            stands(engine, &job, Status::Completed).await;
            times.push(start.elapsed());
        }
        median(times)
    };
    let before = alone(&engine).await;
    let memory_before = resident_mb();
    let mut jobs = Vec::new();
    while jobs.len() < parked_jobs {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..(parked_jobs - jobs.len()).min(64) {
            let engine = engine.clone();
            tasks.spawn(async move {
                let job = parked(&engine).await;
                stands(&engine, &job, Status::Waiting).await;
                job
            });
        }
        jobs.extend(tasks.join_all().await);
    }
    if let (Some(before), Some(after)) = (memory_before, resident_mb()) {
        report.ratio_at_most(&format!("{parked_jobs} parked jobs, resident memory above before"), after - before, 20.0, "MB");
    }
    let after = alone(&engine).await;
    report.ratio_at_most("  a job of one step beside them, against alone", after.as_secs_f64() / before.as_secs_f64(), 1.1, "x");
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for job in jobs.into_iter().take(at_once) {
        let engine = engine.clone();
        tasks.spawn(async move {
            signal(&engine, job).await;
            stands(&engine, &job, Status::Completed).await;
        });
    }
    tasks.join_all().await;
    report.at_most(&format!("  {at_once} of them signalled at once, all done"), start.elapsed(), Duration::from_secs(2));
    engine.shut_down().await;
}
