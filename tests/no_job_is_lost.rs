//! An accepted job is run, whatever becomes of who asked for it, and what is not its fault does not end it.

use std::time::Duration;

use reprise::engine::{CompileRequest, Engine, JobRequest, Settings, Wanted};
use reprise::ids::{JobId, PlaybookId, RunId, Space};
use reprise::jobs::Manner;
use reprise::journal::{Body, Filter, Log, Options, Status};
use reprise::json::Json;
use reprise::runs::Recording;
use reprise::store::{Payload, Store};
use reprise::tools::grants::{Access, FsGrant, Grant, GrantName, To};

fn space() -> Space {
    Space::default_space()
}

fn settings(dir: &tempfile::TempDir, grants: Vec<Grant>) -> Settings {
    Settings { grants, ..Settings::of(dir.path().join("data")) }
}

fn grant(dir: &tempfile::TempDir, directory: &str) -> Grant {
    let path = dir.path().join(directory);
    std::fs::create_dir_all(&path).unwrap();
    Grant::Fs(FsGrant::new(Some(GrantName::parse("project").unwrap()), &path, Access::ReadWrite, To::builtin()).unwrap())
}

async fn opened(settings: &Settings) -> Engine {
    let settings = settings.clone();
    reprise::blocking::run(move || Engine::open(&settings).unwrap()).await
}

/// A playbook that writes its text into one file; `text` makes its versions differ, and a longer one is an input.
async fn playbook(engine: &Engine, text: &str) -> PlaybookId {
    let lines = [
        format!(r#"{{"run":{{"run_id":"{text}","goal":"write","inputs":{{"word":"{text}"}}}}}}"#),
        format!(
            r#"{{"tool":"fs/write","input":{{"path":"project/out","text":"{text}"}},"output":{{"path":"project/out","bytes":1,"sha256":"x"}}}}"#
        ),
        r#"{"end":{"status":"success"}}"#.to_owned(),
    ];
    let run_id = engine.runs().import(&space(), Recording::read(lines.join("\n").as_bytes()).unwrap()).await.unwrap();
    let request = CompileRequest {
        run_id: RunId::parse(run_id.as_str()).unwrap(),
        wanted: Wanted::plain(Some(PlaybookId::parse("write").unwrap()), reprise::compiler::Options::default()),
    };
    engine.compile_from_run(&space(), request).await.unwrap().version.playbook_id
}

fn request(playbook_id: &PlaybookId, key: Option<&str>) -> JobRequest {
    let input = Json::parse(b"{}").unwrap();
    JobRequest {
        playbook_id: playbook_id.clone(),
        version: None,
        input,
        idempotency_key: key.map(str::to_owned),
        grants: Vec::new(),
        options: Options::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_client_hung_up_is_run_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened(&settings(&dir, vec![grant(&dir, "project")])).await;
    let playbook_id = playbook(&engine, "a").await;
    // The first fills the cache, so that a start comes to its write at once.
    engine.start_job(&space(), request(&playbook_id, None), Manner::default()).await.unwrap();
    for _ in 0..40 {
        let space = space();
        let start = engine.start_job(&space, request(&playbook_id, None), Manner::default());
        // As hyper does when a connection closes: polled a few times, and dropped in the middle of the flush.
        let hung_up = tokio::time::timeout(Duration::from_micros(50), start).await;
        drop(hung_up);
    }
    // The queue of commits is in order: behind this one, all that were begun are on disk.
    engine.start_job(&space(), request(&playbook_id, None), Manner::default()).await.unwrap();
    let page = engine.jobs(&space(), &Filter::default(), None, 100).unwrap();
    assert!(page.jobs.len() > 2, "some starts came as far as the disk before they were dropped");
    for (job, _) in page.jobs {
        assert_eq!(engine.follow(&space(), &job, |_| Ok(())).await.unwrap(), Status::Completed, "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_as_the_first_time_though_a_new_version_came_between() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened(&settings(&dir, vec![grant(&dir, "project")])).await;
    let playbook_id = playbook(&engine, "a").await;
    let first = engine.start_job(&space(), request(&playbook_id, Some("once")), Manner::default()).await.unwrap();
    // The new version takes an input that the repeat does not have.
    playbook(&engine, "longer").await;
    let again = engine.start_job(&space(), request(&playbook_id, Some("once")), Manner::default()).await.unwrap();
    assert_eq!(again, first);
    let other = engine.start_job(&space(), request(&playbook_id, Some("other")), Manner::default()).await.unwrap_err();
    assert_eq!(other.code, reprise::error::Code::InputDoesNotFit, "without a version the newest is meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_cannot_be_used_now_leaves_the_job_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened(&settings(&dir, Vec::new())).await;
    let playbook_id = playbook(&engine, "a").await;
    let component = engine.playbook(&space(), &playbook_id, None).unwrap().component;
    drop(engine);
    // What a process leaves behind that died just after it accepted a job with a grant of its own.
    let job = JobId::fresh();
    let input = Json::parse(b"{}").unwrap();
    let created = Body::Created {
        playbook_id,
        version: 1,
        component,
        input_digest: input.digest(),
        input: Payload::Inline(input),
        grants: vec![Json::from(&serde_json::to_value(grant(&dir, "own")).unwrap())],
        engine: reprise::sandbox::ENGINE_VERSION.to_owned(),
        fuel: reprise::limits::JOB_FUEL,
        options: Box::default(),
        parent: None,
        origin: None,
    };
    let store = Store::open(&dir.path().join("data")).unwrap();
    drop(Log::create(&store, &space(), job, created, None, 1).await.unwrap());
    drop(store);
    // The operator has granted another directory of the same name meanwhile.
    let engine = opened(&settings(&dir, vec![grant(&dir, "other")])).await;
    engine.resume_job(&space(), &job, Manner { pace: None, watched: true }).await.unwrap();
    let status = engine.follow(&space(), &job, |_| Ok(())).await.unwrap();
    assert!(matches!(status, Status::Ready | Status::Running), "{status}");
    engine.shut_down().await;
    drop(engine);
    let engine = opened(&settings(&dir, Vec::new())).await;
    engine.resume_job(&space(), &job, Manner { pace: None, watched: true }).await.unwrap();
    assert_eq!(engine.follow(&space(), &job, |_| Ok(())).await.unwrap(), Status::Completed);
    assert_eq!(std::fs::read_to_string(dir.path().join("own/out")).unwrap(), "a");
}

/// A constant that is compared with what was really built.
#[test]
fn the_engine_is_recorded_as_it_is_locked() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    let version = lock.split("name = \"wasmtime\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(reprise::sandbox::ENGINE_VERSION, format!("wasmtime {version}"));
}
