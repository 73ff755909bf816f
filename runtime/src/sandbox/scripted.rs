//! Effects that answer from a recorded run and touch nothing: proof, simulation, tests.
//!
//! It must stay true that a script never does anything: an unrecorded call is a divergence.

use super::effects::{Answering, Effects, Level, StepOptions, Stop};
use crate::contract::{Outcome, ToolId};
use crate::json::Json;

/// One call of the recording.
#[derive(Debug, Clone)]
pub struct Line {
    /// The tool that must be called.
    pub tool: ToolId,
    /// With exactly this input.
    pub input: Json,
    /// And this is what it answered.
    pub outcome: Outcome,
}

/// A recorded run being played back.
#[derive(Debug, Default)]
pub struct Scripted {
    lines: Vec<Line>,
    next: usize,
    step: Option<String>,
    began_ms: Option<u64>,
}

impl Scripted {
    /// Plays `lines` from the start.
    #[must_use]
    pub fn new(lines: Vec<Line>) -> Self {
        Scripted { lines, ..Scripted::default() }
    }

    /// The time at which the recorded run began, where it is known: every look at the clock says so.
    #[must_use]
    pub fn begun_at(self, began_ms: Option<u64>) -> Self {
        Scripted { began_ms, ..self }
    }

    /// Lines that were not called.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lines.len() - self.next
    }

    fn answer(&mut self, tool: &ToolId, input: &Json) -> Result<Outcome, Stop> {
        let at = self.next as u64;
        let found = || format!("{tool} {input}");
        match self.lines.get(self.next) {
            None => Err(Stop::Diverged { at, expected: "no further call".to_owned(), found: found() }),
            Some(line) if line.tool == *tool && line.input == *input => {
                self.next += 1;
                Ok(line.outcome.clone())
            }
            Some(line) => Err(Stop::Diverged { at, expected: format!("{} {}", line.tool, line.input), found: found() }),
        }
    }
}

impl Effects for Scripted {
    fn step(&mut self, id: String, _options: StepOptions) {
        self.step = Some(id);
    }

    fn call<'a>(&'a mut self, tool: &'a ToolId, input: Json) -> Answering<'a, Outcome> {
        Box::pin(std::future::ready(self.answer(tool, &input)))
    }

    fn now(&mut self) -> Answering<'_, u64> {
        match self.began_ms {
            Some(ms) => Box::pin(std::future::ready(Ok(ms))),
            None => not_recorded("clock readings"),
        }
    }

    fn random(&mut self) -> Answering<'_, u64> {
        not_recorded("random numbers")
    }

    fn log(&mut self, _level: Level, _message: String) {}
}

fn not_recorded<T: Send + 'static>(what: &str) -> Answering<'static, T> {
    Box::pin(std::future::ready(Err(Stop::NotSupported(format!("a recorded run has no {what} to answer from")))))
}
