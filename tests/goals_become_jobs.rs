//! A planner makes a graph of a goal before there is a job, and never again: what it made is recorded with where it came from.

use reprise::engine::{Engine, Settings, Task, TaskRequest};
use reprise::error::Code;
use reprise::ids::{Digest, JobId, PlaybookId, Space};
use reprise::jobs::Manner;
use reprise::journal::{Body, Filter, Log, Options, Status};
use reprise::json::Json;
use reprise::store::{Payload, Store};
use serde_json::{Value, json};

use super::support::chat::{Chat, Reply};
use super::support::cli::{Place, Served};
use super::support::counter::Counter;
use super::support::server::Server;

/// Looks around, where it may, and answers `word`.
fn graph(word: &str) -> Value {
    json!({
        "graph_version": 1, "goal": format!("Say {word}"),
        "nodes": [{"id": "look", "kind": "tool", "tool": "fs/list", "input": {"path": "project"}, "on_failure": "continue"}],
        "output": word,
    })
}

/// Waits for the signal `go`, and then posts to `url`.
fn waiting_graph(url: &str) -> Value {
    json!({
        "graph_version": 1, "goal": "Wait and post",
        "nodes": [{"id": "wait", "kind": "wait", "signal": "go"},
                  {"id": "post", "kind": "tool", "tool": "http/post", "input": {"url": url, "body": {}}}],
        "output": {"$from": "post", "pointer": "/body"},
    })
}

fn says(graph: &Value) -> Reply {
    Reply::Says(graph.to_string())
}

fn nothing_is_there(server: &Server) {
    for what in ["jobs", "playbooks"] {
        assert_eq!(server.get(&format!("/v1/{what}")).ok()[what], json!([]), "{what}");
    }
}

#[test]
fn a_model_is_asked_once_and_what_it_made_is_recorded_without_the_key() {
    const KEY: &str = "sk-planner-4711";
    let chat = Chat::start([says(&graph("done"))]);
    let place = Place::new();
    place.file("data/reprise.toml", &chat.config("api_key_env = \"PLANNER_TEST_KEY\""));
    let run = ["--json", "run", "--goal", "say done", "--context", r#"{"why": "a test"}"#, "--input", "{}", "--follow"];
    let out = place.command(&run).env("PLANNER_TEST_KEY", KEY).env("REPRISE_LOG", "trace").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let job: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&job["status"], &job["output"]), (&json!("completed"), &json!("done")));

    let seen = &chat.seen()[0];
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    let asked = &chat.asked()[0];
    assert_eq!(
        (&asked["model"], &asked["temperature"], &asked["response_format"]),
        (&json!("planner-1"), &json!(0), &json!({"type": "json_object"}))
    );
    let system = asked["messages"][0]["content"].as_str().unwrap();
    for part in ["fs/read", "http/post", "\"graph_version\"", "once", "cannot"] {
        assert!(system.contains(part), "the prompt does not speak of {part}");
    }
    let user: Value = serde_json::from_str(asked["messages"][1]["content"].as_str().unwrap()).unwrap();
    assert_eq!(user, json!({"goal": "say done", "context": {"why": "a test"}, "input": {}}));

    let sha256 = |text: &str| Digest::of(text.as_bytes()).to_string();
    let digest = Json::from(&graph("done")).digest().to_string();
    let evidence = json!({
        "kind": "chat", "goal": "say done", "context_sha256": sha256(r#"{"why":"a test"}"#), "graph_digest": digest,
        "reprise": env!("CARGO_PKG_VERSION"), "endpoint": chat.endpoint(), "requested_model": "planner-1", "model": "planner-1-2026-11-01",
        "rounds": 1, "prompt_sha256": sha256(&asked["messages"].to_string()), "answer_sha256": sha256(&graph("done").to_string()),
        "prompt_tokens": 100, "completion_tokens": 20,
    });
    let first = &place.journal(job["job_id"].as_str().unwrap())[0];
    assert_eq!(first["origin"], json!({"graph_digest": digest, "graph": graph("done"), "planner": evidence}));
    let everything = format!("{}{}{first}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(!everything.contains(KEY), "the key is shown: {everything}");
    assert_eq!(chat.seen().len(), 1);
}

#[test]
fn a_graph_that_was_refused_is_sent_back_once_with_its_issues() {
    let mut wrong = graph("done");
    wrong["nodes"][0]["tools"] = json!("fs/read");
    let mut no_input = graph("done");
    no_input["parameters"] = json!([{"name": "file"}]);
    for (first, says_so) in [
        (wrong.to_string(), "/nodes/0/tools"),
        (no_input.to_string(), "file"),
        ("Here is your graph: {".to_owned(), "refused"),
        (graph("done").to_string().replace(r#""kind":"tool""#, r#""kind":"magic""#), "/nodes/0/kind"),
    ] {
        let fenced = format!("```json\n{}\n```", graph("done"));
        let chat = Chat::start([Reply::Says(first.clone()), Reply::Says(fenced)]);
        let server = Server::configured(&[], &chat.config(""));
        let job = server.post("/v1/jobs", &json!({"goal": "say done", "wait_ms": 50_000})).ok();
        assert_eq!((&job["output"], &job["origin"]["planner"]["rounds"]), (&json!("done"), &json!(2)), "{job}");
        assert_eq!(job["origin"]["planner"]["prompt_tokens"], 200, "of both rounds");
        let messages = chat.asked()[1]["messages"].as_array().unwrap().clone();
        assert_eq!((messages.len(), &messages[2]["content"]), (4, &json!(first)));
        let told = messages[3]["content"].as_str().unwrap();
        assert!(told.contains(says_so), "{told}");
    }
}

/// Whatever the planner does but answer with a graph: there is no job, no playbook version, and nothing that could be run.
#[test]
fn c84_a_planner_that_fails_leaves_nothing_that_could_be_run() {
    let invalid = || Reply::Says(json!({"graph_version": 1, "goal": "x", "nodes": []}).to_string());
    let unknown = || Reply::Says(graph("x").to_string().replace("fs/list", "db/drop"));
    let cases: Vec<(Vec<Reply>, u16, &str, usize, &str)> = vec![
        (vec![Reply::Raw(500, "{}".to_owned())], 503, "planner_unavailable", 1, "answered with 500"),
        (vec![Reply::Raw(401, r#"{"error": {"message": "no such key"}}"#.to_owned())], 503, "planner_unavailable", 1, "401: no such key"),
        (vec![Reply::Raw(302, String::new())], 503, "planner_unavailable", 1, "answered with 302"),
        (vec![Reply::Raw(200, "<html>".to_owned())], 503, "planner_unavailable", 1, "no chat completion"),
        (vec![Reply::Raw(200, r#"{"choices": []}"#.to_owned())], 503, "planner_unavailable", 1, "no chat completion"),
        (vec![Reply::Raw(200, "x".repeat(3 * 1024 * 1024))], 503, "planner_unavailable", 1, "more than"),
        (vec![Reply::Cuts], 503, "planner_unavailable", 1, "127.0.0.1"),
        (vec![Reply::Hangs], 503, "planner_unavailable", 1, "did not answer within 700 ms"),
        (vec![invalid(), invalid()], 422, "planner_failed", 2, "/nodes"),
        (vec![unknown(), unknown()], 422, "planner_failed", 2, "db/drop"),
        (vec![Reply::Says("no".to_owned()), Reply::Says("[1]".to_owned())], 422, "planner_failed", 2, "in 2 of 2 answers"),
        (vec![invalid(), Reply::Raw(500, String::new())], 503, "planner_unavailable", 2, "answered with 500"),
        (vec![Reply::CutOff(graph("x").to_string()), Reply::CutOff(graph("x").to_string())], 422, "planner_failed", 2, "cut off"),
        (vec![Reply::Says(r#"{"cannot": "there is no tool for it"}"#.to_owned())], 422, "planner_failed", 1, "there is no tool for it"),
    ];
    for (replies, status, error, asked, says) in cases {
        let chat = Chat::start(replies);
        let server = Server::configured(&[], &chat.config("timeout_ms = 700"));
        let request = json!({"goal": "say done", "idempotency_key": "k", "wait_ms": 1});
        let refused = server.post("/v1/jobs", &request).refused(status, error);
        assert!(refused["message"].as_str().unwrap().contains(says), "{says}: {refused}");
        assert_eq!(chat.seen().len(), asked, "{refused}");
        nothing_is_there(&server);
        // The key is free: nothing was promised under it.
        chat.reply(says_done());
        let job = server.post("/v1/jobs", &request).ok();
        assert!(job["job_id"].is_string(), "{job}");
    }
    let closed = Chat::start([]);
    let config = closed.config("");
    drop(closed);
    // Wherever that port leads by now, there is no planner.
    let server = Server::configured(&[], &config.replace("127.0.0.1", "127.0.0.9"));
    server.post("/v1/jobs", &json!({"goal": "say done"})).refused(503, "planner_unavailable");
    nothing_is_there(&server);
}

fn says_done() -> Reply {
    says(&graph("done"))
}

#[test]
fn an_endpoint_that_repeats_the_key_does_not_spread_it() {
    const KEY: &str = "sk-planner-4711";
    let chat = Chat::start([Reply::Raw(401, json!({"error": {"message": format!("Incorrect key {KEY}")}}).to_string())]);
    let place = Place::new();
    place.file("data/reprise.toml", &chat.config("api_key_env = \"PLANNER_TEST_KEY\""));
    let out = place.command(&["run", "--goal", "x"]).env("PLANNER_TEST_KEY", KEY).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(6), "{said}");
    assert!(said.contains("401: Incorrect key …") && !said.contains(KEY), "{said}");
    // Without the key nobody is asked.
    let ran = place.run(&["run", "--goal", "x"]);
    assert!(ran.code == 6 && ran.stderr.contains("PLANNER_TEST_KEY is not set"), "{ran:#?}");
    assert_eq!(chat.seen().len(), 1);
}

#[test]
fn the_same_key_is_the_same_job_and_the_planner_is_not_asked_again() {
    let chat = Chat::start([says_done()]);
    let server = Server::configured(&[], &chat.config(""));
    let request = json!({"goal": "say done", "context": {"a": 1}, "idempotency_key": "k", "wait_ms": 50_000});
    let job = server.post("/v1/jobs", &request).ok();
    assert_eq!(server.post("/v1/jobs", &request).ok()["job_id"], job["job_id"]);
    for (field, other) in [("goal", json!("say more")), ("context", json!({"a": 2}))] {
        let mut request = request.clone();
        request[field] = other;
        server.post("/v1/jobs", &request).refused(409, "id_conflict");
    }
    assert_eq!(chat.seen().len(), 1);
}

/// A configuration with a planner, a counting server that jobs may post to, and what is asked of it.
struct Home {
    dir: tempfile::TempDir,
    counter: Counter,
    chat: Chat,
}

impl Home {
    fn new() -> Home {
        let (dir, counter) = (tempfile::tempdir().unwrap(), Counter::start());
        counter.issues("/posts", true);
        let chat = Chat::start([says(&waiting_graph(&counter.url("/posts")))]);
        let grant = format!("[[grant]]\nkind = \"http\"\norigin = \"{}\"\nmethods = [\"POST\"]\n", counter.origin());
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/reprise.toml"), grant + &chat.config("")).unwrap();
        Home { dir, counter, chat }
    }

    async fn open(&self) -> Engine {
        let settings = Settings::of(self.dir.path().join("data"));
        let engine = reprise::blocking::run(move || Engine::open(&settings).unwrap()).await;
        engine.resume_all().await.unwrap();
        engine
    }

    /// A job of the goal, which waits for its signal.
    async fn parked(&self) -> JobId {
        let engine = self.open().await;
        let empty = Json::parse(b"{}").unwrap();
        let task = Task::Goal { goal: "wait and post".to_owned(), context: empty.clone(), within: None };
        let request = TaskRequest { task, input: empty, idempotency_key: None, grants: Vec::new(), options: Options::default() };
        let job = engine.start_task(&space(), request, Manner::default()).await.unwrap();
        assert_eq!(engine.follow(&space(), &job, |_| Ok(())).await.unwrap(), Status::Waiting);
        engine.shut_down().await;
        job
    }

    /// As a disk that lost a file.
    fn lose_the_component(&self, component: &Digest) {
        let name = component.to_string();
        let blob = self.dir.path().join("data/blobs").join(&name[..2]).join(&name[2..]);
        let blob = if blob.exists() { blob } else { self.dir.path().join("data/blobs").join(&name[..2]).join(&name) };
        std::fs::remove_file(blob).unwrap();
        std::fs::remove_dir_all(self.dir.path().join("data/compiled")).unwrap();
    }
}

fn space() -> Space {
    Space::default_space()
}

async fn go(engine: &Engine, job: &JobId) -> Status {
    engine.signal(&space(), *job, "go".to_owned(), Json::parse(b"null").unwrap(), None, None).await.unwrap();
    engine.follow(&space(), job, |_| Ok(())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_going_on_nor_a_replay_asks_the_planner() {
    let home = Home::new();
    let job = home.parked().await;
    let engine = home.open().await;
    assert_eq!(go(&engine, &job).await, Status::Completed);
    let view = engine.job(&space(), &job).await.unwrap();
    assert_eq!(view.output.unwrap().value(), json!({"id": "r-1"}));
    assert!(engine.replay(&space(), &job).await.unwrap().agrees());
    assert_eq!((home.counter.count("POST", "/posts"), home.chat.seen().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn c56_a_job_whose_component_is_gone_fails_and_the_planner_is_not_asked_for_another() {
    let home = Home::new();
    let job = home.parked().await;
    let engine = home.open().await;
    let component = engine.job(&space(), &job).await.unwrap().state.component;
    engine.shut_down().await;
    drop(engine);
    home.lose_the_component(&component);
    // One more that was accepted and never begun: its journal has its first entry and nothing else.
    let begun = created_only(&home, component).await;
    let engine = home.open().await;
    assert_eq!(engine.follow(&space(), &begun, |_| Ok(())).await.unwrap(), Status::Failed);
    assert_eq!(go(&engine, &job).await, Status::Failed);
    for job in [begun, job] {
        let failure = engine.job(&space(), &job).await.unwrap().state.failure.unwrap();
        assert_eq!(serde_json::to_value(failure.cause).unwrap(), json!("component"), "{}", failure.message);
    }
    assert_eq!((home.counter.count("POST", "/posts"), home.chat.seen().len()), (0, 1));
}

async fn created_only(home: &Home, component: Digest) -> JobId {
    let job = JobId::fresh();
    let input = Json::parse(b"{}").unwrap();
    let created = Body::Created {
        playbook_id: PlaybookId::parse("graph-0123456789abcdef").unwrap(),
        version: 1,
        component,
        input_digest: input.digest(),
        input: Payload::Inline(input),
        grants: Vec::new(),
        engine: "test".to_owned(),
        fuel: 1_000_000,
        options: Box::default(),
        parent: None,
        origin: Some(Json::parse(br#"{"graph_digest": "x", "planner": {"kind": "chat"}}"#).unwrap()),
    };
    let data = home.dir.path().join("data");
    let store = reprise::blocking::run(move || Store::open(&data).unwrap()).await;
    let log = Log::create(&store, &space(), job, created, None, 7).await;
    drop(log);
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_gives_its_graph_and_the_goals_words_become_the_input() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[planner]\nkind = \"template\"\n[[planner.template]]\ngoal = \"say {word} {n} times\"\ngraph = \"say.json\"\n\
                  [[planner.template]]\ngoal = \"broken\"\ngraph = \"gone.json\"\n";
    let graph = json!({
        "graph_version": 1, "goal": "Say a word", "parameters": [{"name": "word"}, {"name": "n", "schema": {"type": "integer"}}],
        "nodes": [{"id": "many", "kind": "condition", "if": {"value": {"$input": "/n"}, "is": "greater", "to": 3}, "then": ["no"]},
                  {"id": "no", "kind": "fail", "message": "too often"}],
        "output": {"word": {"$input": "/word"}, "n": {"$input": "/n"}},
    });
    std::fs::write(dir.path().join("reprise.toml"), config).unwrap();
    std::fs::write(dir.path().join("say.json"), graph.to_string()).unwrap();
    std::fs::write(dir.path().join("gone.json"), "").unwrap();
    let settings = Settings { config: Some(dir.path().join("reprise.toml")), ..Settings::of(dir.path().join("data")) };
    let engine = reprise::blocking::run(move || Engine::open(&settings).unwrap()).await;
    std::fs::remove_file(dir.path().join("gone.json")).unwrap();
    let start = async |goal: &str, input: Value| {
        let task = Task::Goal { goal: goal.to_owned(), context: Json::parse(b"{}").unwrap(), within: None };
        let request =
            TaskRequest { task, input: Json::from(&input), idempotency_key: None, grants: Vec::new(), options: Options::default() };
        engine.start_task(&space(), request, Manner::default()).await
    };
    for (goal, input, code, says) in [
        ("sing a song", json!({}), Code::PlannerFailed, "say {word} {n} times; broken"),
        ("say hello many times", json!({}), Code::InputDoesNotFit, "/n"),
        ("say hello 2 times", json!({"n": 3}), Code::InvalidRequest, "the goal says \"2\""),
        ("say hello 2 times", json!([1]), Code::InvalidRequest, "must be an object"),
        ("broken", json!({}), Code::FileNotFound, "gone.json"),
        ("", json!({}), Code::InvalidRequest, "goal"),
    ] {
        let e = start(goal, input).await.unwrap_err();
        assert_eq!(e.code, code, "{goal}: {e}");
        assert!(e.message.contains(says), "{goal}: {e}");
        assert!(!e.message.contains(dir.path().to_str().unwrap()), "{e}");
    }
    assert!(engine.jobs(&space(), &Filter::default(), None, 10).unwrap().jobs.is_empty());
    assert!(engine.playbooks(&space(), None, 10).unwrap().is_empty());
    let job = start("say hello-there 2 times", json!({"n": 2})).await.unwrap();
    assert_eq!(engine.follow(&space(), &job, |_| Ok(())).await.unwrap(), Status::Completed);
    let view = engine.job(&space(), &job).await.unwrap();
    assert_eq!(view.output.clone().unwrap().value(), json!({"word": "hello-there", "n": 2}));
    let planner = &view.to_json()["origin"]["planner"];
    assert_eq!((&planner["kind"], &planner["template"]), (&json!("template"), &json!("say {word} {n} times")), "{planner}");
}

#[test]
fn a_killed_server_takes_a_planned_job_up_without_asking_again() {
    let mut slow = graph("done");
    slow["nodes"].as_array_mut().unwrap().insert(0, json!({"id": "nap", "kind": "wait", "sleep_ms": 1_500}));
    let chat = Chat::start([says(&slow)]);
    let place = Place::new();
    place.file("data/reprise.toml", &chat.config(""));
    let mut served = Served::start(&place, &[]);
    let (status, job) = served.post("/v1/jobs", &json!({"goal": "say done"})).unwrap();
    assert_eq!(status, 202, "{job}");
    let job = job["job_id"].as_str().unwrap();
    served.child.kill();
    let served = Served::start(&place, &[]);
    // The events of a journal end with the job.
    let events = super::support::cli::agent()
        .get(format!("{}/v1/jobs/{job}/journal", served.url))
        .header("accept", "text/event-stream")
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(events.contains("completed"), "{events}");
    assert_eq!(served.get(&format!("/v1/jobs/{job}")).1["output"], json!("done"));
    assert_eq!(chat.seen().len(), 1);
}
