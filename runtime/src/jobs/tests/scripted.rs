//! What stands around a simulated job: its guest, its tools, and those who send it signals. All of it follows from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::contract::{Effect, ErrorKind, Reconciliation, ToolError, ToolId};
use crate::ids::Space;
use crate::jobs::shared::Shared;
use crate::jobs::steer::{Word, steer};
use crate::journal::{Mail, Signalled};
use crate::json::Json;
use crate::sandbox::{Effects, Ending, Finished, Interruption, StepOptions, Stop};
use crate::store::Store;
use crate::tools::{Info, Registry, Tool};

/// The number of the first signal that is sent while a call is under way.
pub(super) const MEANWHILE: u64 = 1_000;
pub(super) const NAMES: [&str; 2] = ["go", "end"];

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone)]
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a guest does, in order.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Call(Effect),
    Signal(&'static str, Option<u64>),
    Sleep(u64),
    Approve,
    Now,
    Random,
    /// Of an answer or before a call, and whether it holds.
    Check(bool, bool),
}

pub(super) fn program(dice: &mut Dice) -> Vec<Op> {
    let effects = [Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once, Effect::Once];
    let op = |dice: &mut Dice| match dice.below(12) {
        0..=4 => Op::Call(effects[usize::try_from(dice.below(5)).unwrap()]),
        5 | 6 => Op::Signal(NAMES[usize::try_from(dice.below(2)).unwrap()], dice.one_in(3).then_some(1_000)),
        7 => Op::Sleep(dice.below(3) * 500),
        8 => Op::Approve,
        10 | 11 => Op::Check(dice.one_in(2), !dice.one_in(3)),
        _ if dice.one_in(2) => Op::Now,
        _ => Op::Random,
    };
    (0..=dice.below(7)).map(|_| op(dice)).collect()
}

/// What the tools touch, and what they will do.
pub(super) struct World {
    pub dice: Dice,
    /// How often an effect came about, by key.
    pub effects: BTreeMap<String, u32>,
    /// The keys under which a call was seen, by place in the program.
    pub keys: BTreeMap<u64, BTreeSet<String>>,
    pub once: BTreeSet<String>,
    pub store: Store,
    /// The process that makes the calls, and signals that someone sends it meanwhile.
    pub process: Weak<Shared>,
    pub sent: u64,
    pub is_disturbed: bool,
}

impl World {
    /// What a call with this key does; none where it never answers.
    fn call(&mut self, effect: Effect, key: &str, input: &Value) -> Result<Value, ToolError> {
        if self.store.is_dead() {
            // It died while an earlier tool worked, and has not noticed. What it may do without a flush changes nothing.
            assert!(effect.touches_nothing(), "a dead process called a tool that changes something");
            return Err(ToolError::new(ErrorKind::Failed, "nobody is there to hear this"));
        }
        let at = input["at"].as_u64().unwrap();
        self.keys.entry(at).or_default().insert(key.to_owned());
        let mut happens = || {
            if effect == Effect::Once {
                self.once.insert(key.to_owned());
            }
            *self.effects.entry(key.to_owned()).or_default() += 1;
        };
        match self.dice.below(12) {
            0 => Err(ToolError::new(ErrorKind::Unavailable, "not now")),
            1 => {
                happens();
                Err(ToolError::new(ErrorKind::Timeout, "the answer was lost"))
            }
            2 => Err(ToolError::new(ErrorKind::Timeout, "the question was lost")),
            3 if self.dice.one_in(3) => Err(ToolError::new(ErrorKind::Failed, "it would not")),
            _ => {
                happens();
                Ok(json!({"at": at}))
            }
        }
    }

    pub(super) fn happened(&self, key: &str) -> bool {
        self.effects.contains_key(key)
    }
}

pub(super) fn registry(world: &Arc<Mutex<World>>) -> Registry {
    let tool = |effect: Effect| {
        let any = json!({"type": "object"});
        let id = ToolId::parse(&format!("sim/{effect}")).unwrap();
        let info = Info {
            id,
            description: "Is scripted.".into(),
            input_schema: any.clone(),
            output_schema: any,
            effect,
            words: "be scripted".into(),
            warning: None,
        };
        let (does, knows) = (Arc::clone(world), Arc::clone(world));
        Tool::waiting(info, move |call, input| {
            let outcome = does.lock().unwrap().call(effect, &call.key, &input);
            let world = Arc::clone(&does);
            async move {
                disturbed(&world).await;
                outcome
            }
        })
        .reconciled_waiting(move |call, input| {
            let mut world = knows.lock().unwrap();
            let known = match (world.dice.one_in(2), world.happened(&call.key)) {
                (false, _) => Reconciliation::Unknown("the test does not tell".to_owned()),
                (true, true) => Reconciliation::Happened(Json::from(&json!({"at": input["at"]}))),
                (true, false) => Reconciliation::DidNotHappen,
            };
            async move { known }
        })
    };
    Registry::with([Effect::Pure, Effect::Read, Effect::Idempotent, Effect::Once].map(tool).into())
}

/// Someone may send the job a signal while its tool works.
async fn disturbed(world: &Mutex<World>) {
    let (process, n) = {
        let mut world = world.lock().unwrap();
        let n = MEANWHILE + world.sent;
        (world.process.upgrade().filter(|_| world.is_disturbed && world.dice.one_in(3)), n)
    };
    let Some((process, job)) = process.and_then(|process| process.any_held().map(|job| (process, job))) else { return };
    world.lock().unwrap().sent += 1;
    // Told while the job runs, it may come too late for it.
    let _ = steer(&process, &Space::default_space(), job, Word::Mail(signal(&process.store, n))).await;
}

/// A signal has a name of its own, by which it is the same when it comes again; some of those that come meanwhile have none.
pub(super) fn signal(store: &Store, n: u64) -> Mail {
    let name = NAMES[usize::try_from(n % 2).unwrap()].to_owned();
    let payload = store.save(&Json::from(&json!({"n": n}))).unwrap();
    let signal_id = (n < MEANWHILE || n.is_multiple_of(3)).then(|| format!("signal {n}"));
    Mail::Signal(Signalled { name, payload, signal_id, by: None })
}

/// Does the operations one after the other, and returns what it was told.
pub(super) async fn guest(program: Arc<Vec<Op>>, mut effects: Box<dyn Effects>) -> Finished {
    let ending = match played(&program, effects.as_mut()).await {
        Err(stop) => Ending::Stopped(stop),
        Ok(Err(message)) => Ending::Failure { step: None, message, detail: None },
        Ok(Ok(told)) => Ending::Output(Json::from(&Value::from(told))),
    };
    Finished { ending, fuel_used: 1, effects }
}

async fn played(program: &[Op], effects: &mut dyn Effects) -> Result<Result<Vec<Value>, String>, Stop> {
    let mut told = Vec::new();
    for (at, op) in program.iter().enumerate() {
        effects.step(format!("s{at}"), StepOptions::default());
        let waited = |waited: Result<Json, Interruption>| match waited {
            Ok(payload) => Ok(payload.value()),
            Err(Interruption::Expired) => Ok(json!("late")),
            Err(Interruption::Rejected(_)) => Ok(json!("no")),
            Err(Interruption::Cancelled) => Err("cancelled".to_owned()),
        };
        let answer = match op {
            Op::Call(effect) => {
                let tool = ToolId::parse(&format!("sim/{effect}")).unwrap();
                let outcome = effects.call(&tool, Json::from(&json!({"at": at}))).await?;
                outcome.map(|output| output.value()).map_err(|error| error.to_string())
            }
            Op::Signal(name, timeout) => waited(effects.wait_signal((*name).to_owned(), *timeout).await?),
            Op::Sleep(ms) => waited(effects.sleep(*ms).await?.map(|()| Json::from(&json!("slept")))),
            Op::Approve => waited(effects.approve("May I?".to_owned(), Json::from(&json!({"at": at})), None).await?),
            Op::Now => Ok(json!(effects.now().await?)),
            Op::Random => Ok(json!(effects.random().await?.to_string())),
            Op::Check(of_answer, holds) => {
                let before = if *holds { json!({"kind": "always"}) } else { json!({"kind": "other", "recorded": at}) };
                let after = json!({"kind": "equals", "pointer": "/holds", "value": true});
                let answer = of_answer.then(|| Json::from(&json!({"holds": holds, "at": at})));
                let check = Json::from(if *of_answer { &after } else { &before });
                effects.check(check, answer).await?.map(|()| json!("holds")).map_err(|failure| failure.message)
            }
        };
        match answer {
            Ok(answer) => told.push(answer),
            Err(message) => return Ok(Err(message)),
        }
    }
    Ok(Ok(told))
}
