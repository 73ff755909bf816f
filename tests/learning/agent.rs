//! Who does a task by hand: every call is a real one, and is written down with its answer.

use reprise::contract::{ErrorKind, ToolId};
use reprise::ids::{RunId, Space};
use reprise::json::Json;
use reprise::runs::{Recording, Run};
use serde_json::{Value, json};

use super::dice::Dice;
use super::world::World;

/// One call, and what came of it.
#[derive(Debug, Clone)]
pub struct Call {
    pub tool: ToolId,
    pub input: Value,
    pub answer: Result<Value, String>,
}

/// At work in a world.
pub struct Agent<'a> {
    world: &'a World,
    runtime: &'a tokio::runtime::Runtime,
    /// What it was given.
    pub inputs: Value,
    /// The day, `2026-11-20`.
    pub today: String,
    /// Where one that makes mistakes now and then makes them; none for one that makes none.
    careless: Option<Dice>,
    calls: Vec<Call>,
}

impl<'a> Agent<'a> {
    pub fn at_work(
        world: &'a World,
        runtime: &'a tokio::runtime::Runtime,
        inputs: Value,
        today: &str,
        careless: Option<Dice>,
    ) -> Agent<'a> {
        Agent { world, runtime, inputs, today: today.to_owned(), careless, calls: Vec::new() }
    }

    /// An input that is a text.
    pub fn input(&self, name: &str) -> String {
        self.inputs[name].as_str().unwrap_or_else(|| panic!("the task has an input {name}")).to_owned()
    }

    /// An address of the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.world.origin())
    }

    /// A call that succeeds: whoever wrote the task knows that it does.
    pub fn call(&mut self, tool: &str, input: Value) -> Value {
        let answer = self.make(tool, input.clone());
        answer.unwrap_or_else(|e| panic!("{tool} {input}: {e}"))
    }

    /// What a careless agent tries first, and what fails without changing anything.
    pub fn slip(&mut self, tool: &str, input: Value) {
        if self.careless.as_mut().is_some_and(|dice| dice.once_in(3)) {
            let answer = self.make(tool, input.clone());
            assert!(answer.is_err(), "{tool} {input} was to fail, and answered {answer:?}");
        }
    }

    fn make(&mut self, tool: &str, input: Value) -> Result<Value, String> {
        let tool = ToolId::parse(tool).unwrap();
        let key = format!("by-hand-{}", self.calls.len());
        let outcome = self.runtime.block_on(self.world.call(&tool, &key, &input));
        let answer = outcome.map(|output| output.value()).map_err(|e| {
            assert_ne!(e.kind, ErrorKind::InvalidInput, "{tool} {input}: {}", e.message);
            e.message
        });
        self.calls.push(Call { tool, input, answer: answer.clone() });
        answer
    }

    /// The calls that were answered.
    pub fn answered(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.answer.is_ok())
    }

    /// The run that recording this gives, as of a day.
    pub fn run(&self, run_id: &str, goal: &str, output: &Value, at_ms: u64) -> Run {
        let line = |call: &Call| match &call.answer {
            Ok(output) => json!({"tool": call.tool.to_string(), "input": call.input, "output": output}),
            Err(e) => json!({"tool": call.tool.to_string(), "input": call.input, "status": "failed", "error": e}),
        };
        let first = json!({"run": {"run_id": run_id, "goal": goal, "inputs": self.inputs}});
        let last = json!({"end": {"status": "success", "output": output}});
        let lines: Vec<String> =
            [first].into_iter().chain(self.calls.iter().map(line)).chain([last]).map(|line| line.to_string()).collect();
        let run = Recording::read(lines.join("\n").as_bytes()).unwrap().as_run(&Space::default_space(), at_ms);
        assert_eq!(run.run_id, RunId::parse(run_id).unwrap());
        run
    }
}

/// The canonical text of a call: equal texts are the same call.
pub fn text_of(tool: &ToolId, input: &Json) -> String {
    format!("{tool} {}", input.as_str())
}
