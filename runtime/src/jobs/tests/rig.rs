//! A store in a temporary directory, tools that a test holds, fails and counts, guests out of task graphs, and any number of
//! schedulers over them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::compiler::emit::emit;
use crate::compiler::graph::Graph;
use crate::contract::{Confirmation, Effect, ErrorKind, Reconciliation, ToolError, ToolId};
use crate::error::{Code, Error};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::jobs::{Catalogue, Manner, Order, Rules, Scheduler, Target};
use crate::journal::{self, Body, Entry, Options, State, Status};
use crate::json::Json;
use crate::limits;
use crate::sandbox::{self, Sandbox};
use crate::store::{JobKey, Store};
use crate::tools::{Info, Registry, Tool};

/// Far beyond what anything here takes, on a machine that does ten other things.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None).unwrap());

pub(super) fn space() -> Space {
    Space::default_space()
}

/// One call, as a tool saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub me: String,
    pub key: String,
}

/// What a tool does when it is called.
#[derive(Clone)]
pub(super) enum Act {
    Answer(Value),
    Fail(ErrorKind),
    /// Waits until the test lets it go on; the semaphore is that of [`World::let_go`].
    Hold,
    /// Blocks its thread, and with it a worker that has no other, until the test lets it go on.
    Block(Arc<Gate>),
}

/// Blocks threads until it is opened.
#[derive(Default)]
pub(super) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let open = self.opened.wait_timeout_while(self.open.lock().unwrap(), DEADLINE, |open| !*open).unwrap();
        assert!(!open.1.timed_out(), "nobody opened the gate");
    }
}

/// What the tools touch.
pub(super) struct World {
    seen: watch::Sender<Vec<Seen>>,
    script: Mutex<HashMap<String, VecDeque<Act>>>,
    held: Semaphore,
    known: Mutex<HashMap<String, Reconciliation>>,
    changed: Mutex<HashMap<String, String>>,
    at_once: Mutex<(usize, usize)>,
}

impl World {
    fn new() -> World {
        World {
            seen: watch::channel(Vec::new()).0,
            script: Mutex::default(),
            held: Semaphore::new(0),
            known: Mutex::default(),
            changed: Mutex::default(),
            at_once: Mutex::default(),
        }
    }

    /// The next calls by this node do so; further ones go well.
    pub(super) fn acts(&self, me: &str, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().unwrap().entry(me.to_owned()).or_default().extend(acts);
    }

    /// What is said when someone asks what became of this node's call.
    pub(super) fn knows(&self, me: &str, known: Reconciliation) {
        self.known.lock().unwrap().insert(me.to_owned(), known);
    }

    /// The recorded answer of this node's call holds no longer.
    pub(super) fn changes(&self, me: &str) {
        self.changed.lock().unwrap().insert(me.to_owned(), format!("{me} is gone"));
    }

    /// Lets so many held calls go on, now or later.
    pub(super) fn let_go(&self, calls: usize) {
        self.held.add_permits(calls);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Calls by this node.
    pub(super) fn count(&self, me: &str) -> usize {
        self.seen.borrow().iter().filter(|seen| seen.me == me).count()
    }

    /// The most calls that were under way at the same time.
    pub(super) fn most_at_once(&self) -> usize {
        self.at_once.lock().unwrap().1
    }

    /// Waits until this node has called so often.
    pub(super) async fn called(&self, me: &str, times: usize) {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.iter().filter(|seen| seen.me == me).count() >= times);
        tokio::time::timeout(DEADLINE, enough).await.unwrap_or_else(|_| panic!("{me} was not called {times} times")).unwrap();
    }

    async fn act(&self, key: String, input: &Value) -> Result<Value, ToolError> {
        let me = input["me"].as_str().unwrap_or("nobody").to_owned();
        let _under_way = UnderWay::begin(&self.at_once);
        self.seen.send_modify(|seen| seen.push(Seen { me: me.clone(), key }));
        let act = self.script.lock().unwrap().get_mut(&me).and_then(VecDeque::pop_front);
        match act {
            None => Ok(json!({"did": me})),
            Some(Act::Answer(answer)) => Ok(answer),
            Some(Act::Fail(kind)) => Err(ToolError::new(kind, "as the test wants it")),
            Some(Act::Hold) => {
                self.held.acquire().await.unwrap().forget();
                Ok(json!({"did": me}))
            }
            Some(Act::Block(gate)) => {
                gate.pass();
                Ok(json!({"did": me}))
            }
        }
    }
}

struct UnderWay<'a>(&'a Mutex<(usize, usize)>);

impl UnderWay<'_> {
    fn begin(at_once: &Mutex<(usize, usize)>) -> UnderWay<'_> {
        let mut now = at_once.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        UnderWay(at_once)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

/// A tool for each effect: `test/pure`, `test/read`, `test/idempotent` and `test/once`.
fn registry(world: &Arc<World>) -> Registry {
    let tool = |(name, effect): (&str, Effect)| {
        let any = json!({"type": "object"});
        let id = ToolId::parse(&format!("test/{name}")).unwrap();
        let info = Info {
            id,
            description: "Counts.".into(),
            input_schema: any.clone(),
            output_schema: any,
            effect,
            words: "count".into(),
            warning: None,
        };
        let (acts, knows, confirms) = (Arc::clone(world), Arc::clone(world), Arc::clone(world));
        let me = |input: &Value| input["me"].as_str().unwrap_or("nobody").to_owned();
        Tool::waiting(info, move |call, input| {
            let world = Arc::clone(&acts);
            async move { world.act(call.key, &input).await }
        })
        .reconciled_waiting(move |_, input| {
            let known = knows.known.lock().unwrap().get(&me(&input)).cloned();
            async move { known.unwrap_or_else(|| Reconciliation::Unknown("nobody told the test".to_owned())) }
        })
        .confirmed_waiting(move |_, recorded| {
            let changed = confirms.changed.lock().unwrap().get(&me(&recorded.input)).cloned();
            async move { changed.map_or(Confirmation::Holds, Confirmation::Changed) }
        })
    };
    Registry::with(
        [("pure", Effect::Pure), ("read", Effect::Read), ("idempotent", Effect::Idempotent), ("once", Effect::Once)].map(tool).into(),
    )
}

pub(super) struct Rig {
    pub store: Store,
    pub world: Arc<World>,
    tools: Registry,
    playbooks: Arc<Mutex<BTreeMap<String, Digest>>>,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let world = Arc::new(World::new());
        Rig { store: Store::open(dir.path()).unwrap(), tools: registry(&world), world, playbooks: Arc::default(), _dir: dir }
    }

    /// One more scheduler over the store.
    pub(super) fn worker(&self) -> Scheduler {
        self.worker_with(|_| {})
    }

    pub(super) fn worker_with(&self, change: impl FnOnce(&mut Rules)) -> Scheduler {
        let mut rules = Rules { lease: Duration::from_secs(2), ..Rules::default() };
        change(&mut rules);
        let playbooks = Arc::clone(&self.playbooks);
        let catalogue: Catalogue = Arc::new(move |_, id| {
            let component = playbooks.lock().unwrap().get(id.as_str()).copied();
            let none = || Error::new(Code::ReplayPlaybookNotFound, format!("no playbook {id}"));
            Ok((Target { playbook_id: id.clone(), version: 1 }, component.ok_or_else(none)?))
        });
        // Tools of its own, as in a process of its own: what is under way in one is not known to the other.
        Scheduler::new(self.store.clone(), SANDBOX.clone(), registry(&self.world), rules, catalogue)
    }

    /// Compiles a graph of these nodes under this name.
    pub(super) fn playbook(&self, name: &str, nodes: &Value, output: &Value) -> Digest {
        let graph = json!({"graph_version": 1, "goal": "try it", "nodes": nodes, "output": output});
        let graph = Graph::of(&graph).unwrap_or_else(|e| panic!("{e}: {:#?}", e.issues));
        let plan = graph.lower(|tool| self.tools.get(tool).map(|info| info.effect)).unwrap_or_else(|e| panic!("{e}: {:#?}", e.issues));
        let component = self.store.blobs().put(&emit(&plan).unwrap()).unwrap();
        self.playbooks.lock().unwrap().insert(name.to_owned(), component);
        component
    }

    pub(super) fn order(&self, nodes: &Value, options: Options) -> Order {
        self.order_with(nodes, &Value::Null, options)
    }

    pub(super) fn order_with(&self, nodes: &Value, output: &Value, options: Options) -> Order {
        let component = self.playbook("main", nodes, output);
        let target = Target { playbook_id: PlaybookId::parse("main").unwrap(), version: 1 };
        let input = Json::from(&json!({}));
        Order { job_id: crate::ids::JobId::fresh(), target, component, input, grants: Vec::new(), options, origin: None, promise: None }
    }

    /// Starts a job of these nodes that is run as jobs are.
    pub(super) async fn start(&self, worker: &Scheduler, nodes: &Value) -> JobId {
        self.start_with(worker, nodes, Options::default()).await
    }

    pub(super) async fn start_with(&self, worker: &Scheduler, nodes: &Value, options: Options) -> JobId {
        worker.start(&space(), self.order(nodes, options), Manner::default()).await.unwrap()
    }

    /// A job of these nodes whose worker died before it began; it had the number 1.
    pub(super) async fn left(&self, nodes: &Value) -> JobId {
        let order = self.order(nodes, Options::default());
        let created = Body::Created {
            playbook_id: order.target.playbook_id,
            version: order.target.version,
            component: order.component,
            input_digest: order.input.digest(),
            input: self.store.save(&order.input).unwrap(),
            grants: Vec::new(),
            engine: sandbox::ENGINE_VERSION.to_owned(),
            fuel: limits::JOB_FUEL,
            options: Box::default(),
            parent: None,
            origin: None,
        };
        let job = JobId::fresh();
        drop(journal::Log::create(&self.store, &space(), job, created, None, 1).await.unwrap());
        job
    }

    /// Waits until the job is so; its state then.
    pub(super) async fn until(&self, job: JobId, status: Status) -> State {
        self.until_state(job, &format!("is {status}"), |state| state.status() == status).await
    }

    pub(super) async fn until_state(&self, job: JobId, what: &str, so: impl Fn(&State) -> bool) -> State {
        let mut moves = self.store.watch(&JobKey { space: space(), job_id: job });
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let state = self.state(job);
            if so(&state) {
                return state;
            }
            if tokio::time::timeout_at(deadline, moves.changed()).await.is_err() {
                panic!("job {job} never {what}; it is {}:\n{}", state.status(), self.told(job).join("\n"));
            }
        }
    }

    pub(super) fn state(&self, job: JobId) -> State {
        journal::fold(&self.store, &space(), &job).unwrap()
    }

    pub(super) fn entries(&self, job: JobId) -> Vec<Entry> {
        journal::read(&self.store, &space(), &job, None, limits::PAGE_ROWS_MAX).unwrap()
    }

    /// The kinds of the job's entries.
    pub(super) fn kinds(&self, job: JobId) -> Vec<&'static str> {
        self.entries(job).iter().map(|entry| entry.body.kind()).collect()
    }

    pub(super) fn count(&self, job: JobId, kind: &str) -> usize {
        self.kinds(job).iter().filter(|k| **k == kind).count()
    }

    fn told(&self, job: JobId) -> Vec<String> {
        self.entries(job).iter().map(|entry| format!("{} {:?}", entry.seq, entry.body)).collect()
    }

    pub(super) fn output(&self, job: JobId) -> Value {
        let output = self.state(job).output.unwrap_or_else(|| panic!("{}", self.told(job).join("\n")));
        self.store.load(&output).unwrap().value()
    }

    pub(super) fn failure(&self, job: JobId) -> String {
        self.state(job).failure.unwrap_or_else(|| panic!("{}", self.told(job).join("\n"))).message
    }

    /// The answers on record to `call`s, as kinds of errors or `ok`.
    pub(super) fn answers(&self, job: JobId) -> Vec<String> {
        let answer = |entry: Entry| match entry.body {
            Body::Returned { answer: journal::Answer::Output(_), .. } => Some("ok".to_owned()),
            Body::Returned { answer: journal::Answer::Error(error), .. } => Some(error.kind.as_str().to_owned()),
            _ => None,
        };
        self.entries(job).into_iter().filter_map(answer).collect()
    }
}
