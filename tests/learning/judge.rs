//! One family's measurement: learn from runs, then hold the playbook against what the agent does in the same world.

use std::collections::BTreeMap;

use reprise::clock;
use reprise::compiler::Options;
use reprise::contract::ToolId;
use reprise::engine::{Engine, JobRequest, Settings, Upload};
use reprise::error::Error;
use reprise::ids::{JobId, PlaybookId, Space};
use reprise::jobs::Manner;
use reprise::journal::{self, Answer, Body, Status};
use reprise::json::Json;
use reprise::limits;
use reprise::runs::Run;
use serde_json::Value;
use tempfile::TempDir;

use super::agent::{Agent, text_of};
use super::dice::Dice;
use super::families::Family;
use super::world::{Scene, World};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Source runs were recorded on days up to so many before today.
const DAYS_BACK_MAX: u64 = 60;

/// What a playbook did in a world, compared with the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same calls, the same files, the same answer.
    Right,
    /// Nothing but what the agent does as well, and then no more; why.
    Refused(String),
    /// Something else; what.
    Wrong(String),
}

/// Learns and judges one family after the other.
pub struct Bench {
    world: World,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    _data: TempDir,
}

/// What came of doing a task once: the calls that were answered, the files afterwards, the answer.
#[derive(Debug, PartialEq)]
struct Done {
    calls: Vec<(bool, String)>,
    files: BTreeMap<String, String>,
    output: Value,
}

impl Bench {
    pub fn new() -> Bench {
        let (world, data) = (World::new(), tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let settings = Settings { grants: world.grants(), serves: false, ..Settings::of(data.path()) };
        let engine = runtime.block_on(async { Engine::open(&settings) }).unwrap();
        Bench { world, engine, runtime, _data: data }
    }

    /// The agent does the task so many times, each time elsewhere and on another day, and is recorded.
    pub fn record(&self, family: &Family, seed: u64, runs: usize) -> Vec<Run> {
        (0..runs).map(|n| self.record_one(family, &mut Dice::of(seed, &[family.name, "source", &n.to_string()]), n)).collect()
    }

    fn record_one(&self, family: &Family, dice: &mut Dice, n: usize) -> Run {
        let scene = (family.draw)(dice, None);
        let at_ms = clock::now_ms() - dice.between(1, DAYS_BACK_MAX) * DAY_MS;
        self.record_in(family, &scene, &format!("{}-{n}", family.name.replace(' ', "-")), at_ms, Some(dice.clone()))
    }

    /// The agent does the task in this world, as of this time.
    pub fn record_in(&self, family: &Family, scene: &Scene, run_id: &str, at_ms: u64, careless: Option<Dice>) -> Run {
        self.world.set_up(scene);
        let mut agent = Agent::at_work(&self.world, &self.runtime, scene.inputs(), &day(at_ms), careless);
        let output = (family.perform)(&mut agent);
        agent.run(run_id, family.goal, &output, at_ms)
    }

    /// A playbook of these runs, ready to run; or why there is none.
    pub fn learn(&self, runs: &[Run]) -> Result<PlaybookId, Error> {
        let learned = self.runtime.block_on(self.engine.learn(runs.to_vec(), Options::default()))?;
        let upload = Upload { playbook_id: None, name: None, bytes: learned.compiled.component };
        Ok(self.runtime.block_on(self.engine.upload(&Space::default_space(), upload)).unwrap().version.playbook_id)
    }

    /// Of these inputs those that the playbook takes.
    pub fn taken(&self, playbook: &PlaybookId, inputs: Value) -> Value {
        let version = self.engine.playbook(&Space::default_space(), playbook, None).unwrap();
        let schema = self.runtime.block_on(self.engine.input_schema(&version.component)).unwrap().unwrap();
        let Value::Object(inputs) = inputs else { panic!("inputs are an object") };
        Value::Object(inputs.into_iter().filter(|(name, _)| schema["properties"].get(name).is_some()).collect())
    }

    /// The playbook in this world, held against the agent in the same one.
    pub fn judge(&self, family: &Family, playbook: &PlaybookId, scene: &Scene) -> Verdict {
        self.judge_given(family, playbook, scene, &scene.inputs())
    }

    /// The same with this input for the job.
    pub fn judge_given(&self, family: &Family, playbook: &PlaybookId, scene: &Scene, input: &Value) -> Verdict {
        // A day may end while it is worked on.
        loop {
            let today = day(clock::now_ms());
            let expected = self.by_hand(family, scene, &today);
            let verdict = self.by_playbook(playbook, scene, input, &expected);
            if day(clock::now_ms()) == today {
                return verdict;
            }
        }
    }

    fn by_hand(&self, family: &Family, scene: &Scene, today: &str) -> Done {
        self.world.set_up(scene);
        let mut agent = Agent::at_work(&self.world, &self.runtime, scene.inputs(), today, None);
        let output = (family.perform)(&mut agent);
        let line = |tool: &ToolId, input: &Value| (self.world.changes(tool), text_of(tool, &Json::from(input)));
        Done { calls: agent.answered().map(|call| line(&call.tool, &call.input)).collect(), files: self.world.files(), output }
    }

    fn by_playbook(&self, playbook: &PlaybookId, scene: &Scene, input: &Value, expected: &Done) -> Verdict {
        self.world.set_up(scene);
        let space = Space::default_space();
        let (input, options) = (Json::from(input), journal::Options::default());
        let request =
            JobRequest { playbook_id: playbook.clone(), version: None, input, idempotency_key: None, grants: Vec::new(), options };
        let manner = Manner { pace: None, watched: true };
        let ended = self.runtime.block_on(async {
            let job = self.engine.start_job(&space, request, manner).await?;
            let status = self.engine.follow(&space, &job, |_| Ok(())).await?;
            Ok::<_, Error>((status, self.engine.job(&space, &job).await?))
        });
        let (status, job) = match ended {
            Ok(ended) => ended,
            // Nothing was begun.
            Err(e) => return Verdict::Refused(format!("{}: {}", e.code.as_str(), e.message)),
        };
        let calls = self.calls(&space, &job.job_id);
        if status == Status::Completed {
            let done = Done { calls, files: self.world.files(), output: job.output.map_or(Value::Null, |output| output.value()) };
            return difference(expected, &done).map_or(Verdict::Right, Verdict::Wrong);
        }
        let why = job.state.failure.map_or_else(|| status.to_string(), |failure| format!("{:?}: {}", failure.step, failure.message));
        let changes = |calls: &[(bool, String)]| -> Vec<String> {
            calls.iter().filter(|(changes, _)| *changes).map(|(_, text)| text.clone()).collect()
        };
        let (meant, made) = (changes(&expected.calls), changes(&calls));
        if meant.starts_with(&made) {
            return Verdict::Refused(why);
        }
        Verdict::Wrong(format!("it stopped ({why}) after {made:#?}, where the agent made {meant:#?}"))
    }

    /// The calls of a job: those that were answered, and of programs also those that ended badly, since they ran.
    fn calls(&self, space: &Space, job: &JobId) -> Vec<(bool, String)> {
        let entries = self.engine.journal(space, job, None, limits::PAGE_ROWS_MAX).unwrap();
        assert!(entries.len() < limits::PAGE_ROWS_MAX, "the job is longer than a page");
        let refused = |call: u64| {
            entries.iter().any(|entry| matches!(&entry.body, Body::Returned { call: of, answer: Answer::Error(_) } if *of == call))
        };
        let mut calls = Vec::new();
        for entry in &entries {
            let Body::Called { call, tool, .. } = &entry.body else { continue };
            if tool.namespace() == "exec" || !refused(*call) {
                let input = self.engine.entry_view(entry)["input"].clone();
                calls.push((self.world.changes(tool), text_of(tool, &Json::from(&input))));
            }
        }
        calls
    }
}

/// The first thing that is not as it should be.
fn difference(expected: &Done, found: &Done) -> Option<String> {
    if expected == found {
        return None;
    }
    let call = |done: &Done, at: usize| done.calls.get(at).map_or("nothing".to_owned(), |(_, text)| text.clone());
    let calls = expected.calls.len().max(found.calls.len());
    if let Some(at) = (0..calls).find(|at| call(expected, *at) != call(found, *at)) {
        return Some(format!("call {} is\n  {}\nwhere the agent made\n  {}", at + 1, call(found, at), call(expected, at)));
    }
    if expected.files != found.files {
        return Some(format!("the files are {:#?}, the agent's {:#?}", found.files, expected.files));
    }
    Some(format!("it answered {}, the agent {}", found.output, expected.output))
}

/// The UTC day.
fn day(at_ms: u64) -> String {
    clock::rfc3339(at_ms)[..10].to_owned()
}
