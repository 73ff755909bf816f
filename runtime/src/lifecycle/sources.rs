//! Recorded runs as the compiler may see them: with a placeholder wherever a secret stands that an operator has set.
//!
//! Whatever makes something of a run, or holds something against one, reads it here and nowhere else: what was made of a run
//! without its secrets does not do what the run did with them. Who reads a run to show what was recorded reads [`Runs`].

use serde_json::Value;

use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::runs::{Run, Runs};
use crate::secrets::Secrets;

/// Runs without the secrets of this place. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    runs: Runs,
    secrets: Secrets,
}

impl Sources {
    /// Of these runs, without these secrets.
    #[must_use]
    pub fn new(runs: Runs, secrets: Secrets) -> Sources {
        Sources { runs, secrets }
    }

    /// The run, with placeholders.
    ///
    /// # Errors
    /// As [`Runs::get`].
    pub fn get(&self, space: &Space, run_id: &RunId) -> Result<Run> {
        self.runs.get(space, run_id).map(|run| self.without_secrets(run))
    }

    /// A run that was read elsewhere, with placeholders: a secret is known by its value, whatever its field is called.
    #[must_use]
    pub fn without_secrets(&self, run: Run) -> Run {
        let known = self.secrets.known();
        let scrubber = known.scrubber();
        if scrubber.is_empty() { run } else { run.rewritten(&|json| scrubber.json(json)) }
    }

    /// Anything else that is to be made part of a playbook, or to leave this place.
    #[must_use]
    pub fn clean(&self, value: Value) -> Value {
        self.secrets.known().scrubber().value(value)
    }
}
