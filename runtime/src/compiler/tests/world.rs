//! A world that answers one call after the other from a list, and a second reading of plans: what a component must come to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{sandbox, wait};
use crate::compiler::emit::emit;
use crate::compiler::plan::{Each, Node, PLAN_VERSION, Plan, Step, Test};
use crate::compiler::template::{Known, Source, Template};
use crate::contract::{ErrorKind, Outcome, ToolError, ToolId};
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;
use crate::sandbox::{Answering, Effects, Ending, Level, StepOptions};

/// When every job here begins: on 31 December 2026, a second before midnight.
const NOW_MS: u64 = 1_798_761_599_000;
/// That day.
const TODAY: &str = "2026-12-31";

/// What came of a plan: the calls, each with its step's name, and the end.
#[derive(Debug, PartialEq)]
pub(super) struct Done {
    pub calls: Vec<String>,
    /// The output, or the step that failed and why.
    pub end: Result<Value, (Option<String>, String)>,
}

/// The answer to the call of this number: one of them in turn, `null` being a refusal.
fn answer(answers: &[Value], n: usize) -> Outcome {
    match answers.get(n % answers.len().max(1)) {
        None | Some(Value::Null) => Err(ToolError::new(ErrorKind::Failed, "it would not")),
        Some(value) => Ok(Json::from(value)),
    }
}

struct World {
    answers: Vec<Value>,
    step: String,
    calls: Vec<String>,
}

impl Effects for World {
    fn step(&mut self, id: String, _options: StepOptions) {
        self.step = id;
    }
    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        let answer = answer(&self.answers, self.calls.len());
        self.calls.push(format!("{} {tool} {input}", self.step));
        Box::pin(std::future::ready(Ok(answer)))
    }
    fn now(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Ok(NOW_MS)))
    }
    fn random(&mut self) -> Answering<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
    fn log(&mut self, _level: Level, _message: String) {}
}

/// What the component of `plan` does, be it emitted as a short plan or as a long one.
pub(super) fn run(plan: &Plan, input: &Value, answers: &[Value]) -> Done {
    let long = Plan { plan_version: PLAN_VERSION, ..plan.clone() };
    let [done, shared] = [plan, &long].map(|plan| run_component(plan, emit(plan).unwrap(), input, answers));
    assert_eq!(shared, done, "{}", plan.to_json());
    done
}

fn run_component(plan: &Plan, component: Vec<u8>, input: &Value, answers: &[Value]) -> Done {
    let playbook = sandbox().load(&Digest::of(&component), |_| true, || Ok(component.clone())).unwrap();
    let world = World { answers: answers.to_vec(), step: String::new(), calls: Vec::new() };
    let finished = wait(sandbox().run(&playbook, &Json::from(input), Box::new(world), limits::JOB_FUEL));
    let calls = (finished.effects as Box<dyn std::any::Any>).downcast::<World>().unwrap().calls;
    let end = match finished.ending {
        Ending::Output(output) => Ok(output.value()),
        Ending::Failure { step, message, .. } => Err((step, message)),
        other => panic!("{other:?} of {}", plan.to_json()),
    };
    Done { calls, end }
}

/// What a plan says by itself.
pub(super) fn read(plan: &Plan, input: &Value, answers: &[Value]) -> Done {
    let mut lazy = BTreeSet::new();
    let mut all = BTreeSet::new();
    let mut note = |source: &Source, needed: bool| {
        all.insert(source.clone());
        if !needed {
            lazy.insert(source.clone());
        }
    };
    plan.nodes().into_iter().for_each(|node| node.for_each_need(&mut note));
    plan.output.for_each_need(&mut note);
    let eager = all.difference(&lazy).cloned().collect();
    let mut reader = Reader {
        input: plan.completed(input),
        eager,
        answers,
        outputs: BTreeMap::new(),
        items: BTreeMap::new(),
        turns: String::new(),
        calls: Vec::new(),
    };
    let end = reader.whole(plan);
    Done { calls: reader.calls, end }
}

type Failure = (Option<String>, String);

struct Reader<'a> {
    input: Value,
    /// What must be there as soon as it could be.
    eager: BTreeSet<Source>,
    answers: &'a [Value],
    outputs: BTreeMap<String, Value>,
    items: BTreeMap<String, Value>,
    turns: String,
    calls: Vec<String>,
}

impl Reader<'_> {
    fn whole(&mut self, plan: &Plan) -> Result<Value, Failure> {
        self.there(None, |source| matches!(source, Source::Parameter { .. }))?;
        self.nodes(&plan.body)?;
        self.make(&plan.output, None)
    }

    fn known(&self) -> Known<'_> {
        Known { input: &self.input, outputs: &self.outputs, items: &self.items, today: Some(TODAY) }
    }

    fn make(&self, template: &Template, step: Option<String>) -> Result<Value, Failure> {
        template.evaluate(&self.known()).map_err(|unmade| (step, unmade.to_string()))
    }

    /// Fails where something is missing that will be needed.
    fn there(&self, step: Option<String>, of: impl Fn(&Source) -> bool) -> Result<(), Failure> {
        match self.eager.iter().filter(|source| of(source)).find(|source| source.find(&self.known()).is_none()) {
            None => Ok(()),
            Some(source) => Err((step, format!("there is no {source}"))),
        }
    }

    fn name(&self, id: &str) -> Option<String> {
        Some(format!("{id}{}", self.turns))
    }

    fn answered(&mut self, id: &str, value: Value) -> Result<(), Failure> {
        self.outputs.insert(id.to_owned(), value);
        self.there(self.name(id), |source| matches!(source, Source::Output { step, .. } if step == id))
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<(), Failure> {
        nodes.iter().try_for_each(|node| match node {
            Node::Step(step) => self.step(step),
            Node::Each(each) => self.each(each),
            Node::Fail(fail) => {
                let message = self.make(&fail.message, self.name(&fail.id))?;
                Err((self.name(&fail.id), crate::json::text_of(&message)))
            }
            Node::Try(tried) => self.nodes(&tried.body).or_else(|_| self.nodes(&tried.on_failure)),
            Node::Branch(branch) => {
                let value = branch.condition.value.find(&self.known());
                let to = branch.condition.to.as_ref().map(Json::value);
                let holds = match branch.condition.is {
                    Test::Exists => value.is_some(),
                    Test::True => value == Some(json!(true)),
                    Test::Equals => value == to,
                    Test::NotEquals => value != to,
                    Test::Greater => value.and_then(|v| v.as_f64()) > to.and_then(|to| to.as_f64()),
                    Test::Less => {
                        value.as_ref().and_then(Value::as_f64).is_some_and(|v| to.and_then(|to| to.as_f64()).is_some_and(|to| v < to))
                    }
                };
                self.nodes(if holds { &branch.then } else { &branch.otherwise })
            }
            other => panic!("not made here: {other:?}"),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let name = self.name(&step.id);
        let input = self.make(&step.input, name.clone())?;
        let outcome = answer(self.answers, self.calls.len());
        self.calls.push(format!("{} {} {}", name.as_deref().unwrap(), step.tool, Json::from(&input)));
        match outcome {
            Ok(value) => self.answered(&step.id, value.value()),
            Err(error) => Err((name, format!("{}: {}: {}", step.tool, error.kind.as_str(), error.message))),
        }
    }

    fn each(&mut self, each: &Each) -> Result<(), Failure> {
        let list = self.make(&each.list, self.name(&each.id))?;
        let Value::Array(items) = list else { return Err((self.name(&each.id), "is no list".to_owned())) };
        let outside = self.turns.clone();
        let mut given = Vec::new();
        for (turn, item) in items.into_iter().enumerate() {
            self.turns = format!("{outside}[{turn}]");
            for node in crate::compiler::plan::all(&each.body).into_iter().filter_map(Node::id) {
                self.outputs.remove(node);
            }
            self.items.insert(each.id.clone(), item);
            let done = self.turn(each);
            let failed = done.as_ref().err().cloned();
            given.extend(done.ok());
            if let Some(failure) = failed {
                self.turns = outside;
                return Err(failure);
            }
        }
        self.turns = outside;
        self.answered(&each.id, Value::Array(given))
    }

    fn turn(&mut self, each: &Each) -> Result<Value, Failure> {
        let name = self.name(&each.id);
        self.there(name.clone(), |source| matches!(source, Source::Item { each: of, .. } if *of == each.id))?;
        self.nodes(&each.body)?;
        self.make(&each.gives().unwrap(), name)
    }
}
