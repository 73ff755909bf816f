//! A world that answers by node: what is not scripted goes well. Children are run when they are joined, in the same
//! sandbox, with the same script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};

use crate::contract::{ErrorKind, Outcome, ToolError, ToolId};
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;
use crate::sandbox::{
    Answering, ChildKind, ChildOutcome, Effects, Ending, GuestFailure, Interruption, Level, Playbook, Sandbox, StepOptions, Waited,
};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None).unwrap());
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// What the world is to do, by node.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    answers: BTreeMap<String, Value>,
    refusals: BTreeMap<String, ErrorKind>,
    waits: BTreeMap<String, Interruption>,
    cancelled_at: BTreeSet<String>,
    playbooks: BTreeMap<String, ChildOutcome>,
    first: u32,
}

impl World {
    pub(super) fn answers(mut self, step: &str, value: Value) -> Self {
        self.answers.insert(step.to_owned(), value);
        self
    }
    pub(super) fn refuses(mut self, step: &str) -> Self {
        self.refusals.insert(step.to_owned(), ErrorKind::Failed);
        self
    }
    pub(super) fn interrupts(mut self, step: &str, interruption: Interruption) -> Self {
        self.waits.insert(step.to_owned(), interruption);
        self
    }
    /// Someone asks for the job to be cancelled while this step is under way.
    pub(super) fn cancelled_at(mut self, step: &str) -> Self {
        self.cancelled_at.insert(step.to_owned());
        self
    }
    pub(super) fn playbook(mut self, name: &str, outcome: ChildOutcome) -> Self {
        self.playbooks.insert(name.to_owned(), outcome);
        self
    }
    pub(super) fn first(mut self, child: u32) -> Self {
        self.first = child;
        self
    }
}

enum Child {
    Waiting { kind: ChildKind, input: Json, cancelled: bool },
    Ended(ChildOutcome),
}

/// One job in it.
struct Job {
    world: Arc<World>,
    events: Arc<Mutex<Vec<String>>>,
    playbook: Playbook,
    branch: Option<String>,
    step: String,
    options: StepOptions,
    cancelled: bool,
    children: Vec<Child>,
}

/// Runs a component, and says what was asked of the world.
pub(super) fn run(component: Vec<u8>, input: &Value, world: World) -> (Ending, Vec<String>) {
    let playbook = SANDBOX.load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let job = Job::new(Arc::new(world), Arc::clone(&events), playbook.clone(), None, false);
    let finished = RUNTIME.block_on(SANDBOX.run(&playbook, &Json::from(input), Box::new(job), limits::JOB_FUEL));
    let events = events.lock().unwrap().clone();
    (finished.ending, events)
}

impl Job {
    fn new(world: Arc<World>, events: Arc<Mutex<Vec<String>>>, playbook: Playbook, branch: Option<String>, cancelled: bool) -> Self {
        let (step, options) = (String::new(), StepOptions::default());
        Job { world, events, playbook, branch, step, options, cancelled, children: Vec::new() }
    }

    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
    }

    fn is_cancelled(&mut self) -> bool {
        self.cancelled |= self.world.cancelled_at.contains(&self.step);
        self.cancelled
    }

    fn answer(&mut self, tool: &ToolId, input: &Json) -> Outcome {
        if self.is_cancelled() {
            return Err(ToolError::new(ErrorKind::Cancelled, "someone asked for it"));
        }
        let options = if self.options == StepOptions::default() { String::new() } else { format!(" {:?}", self.options) };
        self.note(format!("{} {tool} {input}{options}", self.step));
        match self.world.refusals.get(&self.step) {
            Some(kind) => Err(ToolError::new(*kind, "it would not")),
            None => Ok(Json::from(self.world.answers.get(&self.step).unwrap_or(&json!({"did": self.step})))),
        }
    }

    fn waited(&mut self, event: String) -> Waited<Json> {
        if self.is_cancelled() {
            return Err(Interruption::Cancelled);
        }
        self.note(event);
        match self.world.waits.get(&self.step) {
            Some(interruption) => Err(interruption.clone()),
            None => Ok(Json::from(self.world.answers.get(&self.step).unwrap_or(&json!({"did": self.step})))),
        }
    }

    async fn end(&mut self, child: u32) -> ChildOutcome {
        let at = usize::try_from(child).unwrap();
        let outcome = match &self.children[at] {
            Child::Ended(outcome) => outcome.clone(),
            Child::Waiting { kind: ChildKind::Playbook(name), .. } => {
                self.world.playbooks.get(name).cloned().unwrap_or_else(|| Ok(Json::from(&json!({"did": name}))))
            }
            Child::Waiting { kind: ChildKind::Branch(name), input, cancelled } => {
                let job = Job::new(
                    Arc::clone(&self.world),
                    Arc::clone(&self.events),
                    self.playbook.clone(),
                    Some(name.clone()),
                    *cancelled || self.cancelled,
                );
                let finished = Box::pin(SANDBOX.run(&self.playbook, input, Box::new(job), limits::JOB_FUEL)).await;
                match finished.ending {
                    Ending::Output(output) => Ok(output),
                    Ending::Failure { step, message, detail } => Err(GuestFailure { step, message, detail }),
                    other => Err(GuestFailure { step: None, message: format!("{other:?}"), detail: None }),
                }
            }
        };
        self.children[at] = Child::Ended(outcome.clone());
        outcome
    }
}

fn now<'a, T: Send + 'a>(value: T) -> Answering<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Effects for Job {
    fn step(&mut self, id: String, options: StepOptions) {
        self.step = id;
        self.options = options;
    }
    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        now(self.answer(tool, &input))
    }
    fn now(&mut self) -> Answering<'_, u64> {
        now(0)
    }
    fn random(&mut self) -> Answering<'_, u64> {
        now(0)
    }
    fn sleep(&mut self, ms: u64) -> Answering<'_, Waited<()>> {
        now(self.waited(format!("{} sleeps {ms}", self.step)).map(|_| ()))
    }
    fn wait_signal(&mut self, name: String, timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        now(self.waited(format!("{} waits for {name} {timeout_ms:?}", self.step)))
    }
    fn approve(&mut self, title: String, request: Json, timeout_ms: Option<u64>) -> Answering<'_, Waited<Json>> {
        now(self.waited(format!("{} asks {title:?} {request} {timeout_ms:?}", self.step)))
    }
    fn branch(&self) -> Option<String> {
        self.branch.clone()
    }
    fn start_child(&mut self, kind: ChildKind, input: Json) -> Answering<'_, Result<u32, GuestFailure>> {
        self.note(match &kind {
            ChildKind::Branch(name) => format!("starts {name} {input}"),
            ChildKind::Playbook(name) => format!("{} starts playbook {name} {input}", self.step),
        });
        self.children.push(Child::Waiting { kind, input, cancelled: false });
        now(Ok(u32::try_from(self.children.len() - 1).unwrap()))
    }
    fn join(&mut self, child: u32) -> Answering<'_, ChildOutcome> {
        Box::pin(async move { Ok(self.end(child).await) })
    }
    fn first(&mut self, children: Vec<u32>) -> Answering<'_, u32> {
        let first = children[usize::try_from(self.world.first).unwrap()];
        Box::pin(async move {
            let _ = self.end(first).await;
            Ok(first)
        })
    }
    fn cancel_child(&mut self, child: u32) -> Answering<'_, ()> {
        self.note(format!("cancels {child}"));
        if let Child::Waiting { cancelled, .. } = &mut self.children[usize::try_from(child).unwrap()] {
            *cancelled = true;
        }
        now(())
    }
    fn compensate(&mut self) -> Answering<'_, ()> {
        self.note("compensates".to_owned());
        self.cancelled = false;
        now(())
    }
    fn log(&mut self, _level: Level, _message: String) {}
}
