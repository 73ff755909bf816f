//! How a job is to be run, as its first entry has it: what a client may ask for beside playbook and input.
//!
//! Its job: the words, their bounds and their defaults. What follows from them is the driver's. The rule: a job's options never
//! change after its first entry; only its budget can be raised, by an entry that says so.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checks::Verdict;
use crate::error::Issue;
use crate::ids::JobId;
use crate::{json, limits};

/// How a job is run. Everything has a default, and what is at its default is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Who goes first where jobs wait for a slot: 0 to 9, the higher the sooner.
    #[serde(skip_serializing_if = "is_default_priority")]
    pub priority: u8,
    /// How often a tool call is tried in all where its error may pass (`unavailable`, and `timeout` of what may be repeated).
    #[serde(skip_serializing_if = "is_one")]
    pub tries: u32,
    /// The pause before the second try, in milliseconds. Doubled before each further one, and shortened by up to half at random.
    #[serde(skip_serializing_if = "is_default_pause")]
    pub first_pause_ms: u64,
    /// How often the job is tried in all where the playbook fails at a call that may be made again.
    #[serde(skip_serializing_if = "is_one")]
    pub job_tries: u32,
    /// What becomes of it when these tries are used up.
    #[serde(skip_serializing_if = "is_default")]
    pub when_exhausted: WhenExhausted,
    /// Time for one tool call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_timeout_ms: Option<u64>,
    /// Time for all of a step, pauses included, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_timeout_ms: Option<u64>,
    /// Time from the job's making to its end, waits included, in milliseconds. The job fails when it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What it may use up before it is parked.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: Budget,
    /// Whether recorded answers are held against the world before a resumed job goes on from them.
    #[serde(skip_serializing_if = "is_default")]
    pub confirm: Confirm,
    /// What becomes of a step that fails, and of a check that nobody can judge.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: Mode,
}

/// What becomes of a step that fails, and of a check that nobody can judge. The names are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobMode)]
pub enum Mode {
    /// A step that fails is the playbook's business; a check that nobody can judge does not stop it.
    #[default]
    Normal,
    /// A check that nobody can judge stops the step like one that does not hold.
    Strict,
    /// A step that fails is handed over to a person, who gives its answer, has it made again or lets it fail.
    Guided,
}

impl Mode {
    /// Each with its name.
    pub const NAMES: &'static [(&'static str, Mode)] = &[("normal", Mode::Normal), ("strict", Mode::Strict), ("guided", Mode::Guided)];

    /// Whether a check with this verdict stops its step.
    #[must_use]
    pub fn refuses(self, verdict: Verdict) -> bool {
        verdict == Verdict::Fail || (verdict == Verdict::Unknown && self == Mode::Strict)
    }
}

/// What a job may use up; it is parked, not failed, when it would need more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// WebAssembly operations, roughly, of one attempt from its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Bytes of tool inputs and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Milliseconds since the job was made, waits included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
}

impl Budget {
    /// As [`Options::read`].
    ///
    /// # Errors
    /// As [`Options::read`].
    pub fn read(value: &Value, at: &str) -> Result<Budget, Vec<Issue>> {
        if !value.is_object() {
            return Err(not_an_object(at));
        }
        match Budget::deserialize(value) {
            Ok(budget) => {
                let issues = budget.issues(at);
                if issues.is_empty() { Ok(budget) } else { Err(issues) }
            }
            Err(whole) => Err(misfits::<Budget>(value, at, &whole)),
        }
    }

    fn issues(&self, at: &str) -> Vec<Issue> {
        let fields = [
            ("fuel", self.fuel, limits::JOB_FUEL_MAX),
            ("calls", self.calls, u64::MAX),
            ("bytes", self.bytes, u64::MAX),
            ("wall_ms", self.wall_ms, limits::WAIT_TIME_MS_MAX),
        ];
        fields.into_iter().filter_map(|(name, value, most)| out_of_bounds(at, name, value, 1, most)).collect()
    }

    /// This budget with what `raised` names in its place.
    #[must_use]
    pub fn raised(self, raised: Budget) -> Budget {
        Budget {
            fuel: raised.fuel.or(self.fuel),
            calls: raised.calls.or(self.calls),
            bytes: raised.bytes.or(self.bytes),
            wall_ms: raised.wall_ms.or(self.wall_ms),
        }
    }
}

/// What becomes of a job whose tries are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenExhausted {
    /// It is set aside with the reason; a person can let it go on.
    #[default]
    Park,
    /// It fails.
    Fail,
}

/// What is done where the world is no longer as a recorded answer says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// Nobody looks.
    #[default]
    Off,
    /// The job fails.
    Strict,
    /// It is noted, and the job goes on.
    Warn,
    /// The job is parked until a person lets it go on.
    Ask,
}

/// The job that started this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The job, in the same space.
    pub job_id: JobId,
    /// Which of its children this is; the first is 1.
    pub child: u32,
    /// How many jobs stand above this one.
    pub depth: u32,
    /// The branch of the component that it does; none where it runs a playbook of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// The priority of a job whose client says none.
pub(super) const PRIORITY_DEFAULT: u8 = 5;
const FIRST_PAUSE_MS_DEFAULT: u64 = 1_000;

impl Default for Options {
    fn default() -> Self {
        Options {
            priority: PRIORITY_DEFAULT,
            tries: 1,
            first_pause_ms: FIRST_PAUSE_MS_DEFAULT,
            job_tries: 1,
            when_exhausted: WhenExhausted::Park,
            call_timeout_ms: None,
            step_timeout_ms: None,
            timeout_ms: None,
            budget: Budget::default(),
            confirm: Confirm::Off,
            mode: Mode::Normal,
        }
    }
}

impl Options {
    /// Reads what a client sent; the paths of the issues are below `at`.
    ///
    /// # Errors
    /// Every place that is unknown, of the wrong type or out of its bounds.
    pub fn read(value: &Value, at: &str) -> Result<Options, Vec<Issue>> {
        if !value.is_object() {
            return Err(not_an_object(at));
        }
        if value.get("budget").is_some_and(|budget| !budget.is_object()) {
            return Err(not_an_object(&format!("{at}/budget")));
        }
        match Options::deserialize(value) {
            Ok(options) => {
                let issues = options.issues(at);
                if issues.is_empty() { Ok(options) } else { Err(issues) }
            }
            Err(whole) => Err(misfits::<Options>(value, at, &whole)),
        }
    }

    /// Every place that is out of its bounds; the paths are below `at`.
    #[must_use]
    pub fn issues(&self, at: &str) -> Vec<Issue> {
        let mut issues = Vec::new();
        let mut within = |name: &str, value, low, high| issues.extend(out_of_bounds(at, name, value, low, high));
        within("priority", Some(self.priority.into()), 0, 9);
        within("tries", Some(self.tries.into()), 1, limits::TRIES_MAX.into());
        within("first_pause_ms", Some(self.first_pause_ms), 0, limits::PAUSE_MS_MAX);
        within("job_tries", Some(self.job_tries.into()), 1, limits::TRIES_MAX.into());
        within("call_timeout_ms", self.call_timeout_ms, 1, limits::WAIT_TIME_MS_MAX);
        within("step_timeout_ms", self.step_timeout_ms, 1, limits::WAIT_TIME_MS_MAX);
        within("timeout_ms", self.timeout_ms, 1, limits::WAIT_TIME_MS_MAX);
        issues.extend(self.budget.issues(&format!("{at}/budget")));
        issues
    }

    /// True where nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Options::default()
    }
}

fn out_of_bounds(at: &str, name: &str, value: Option<u64>, low: u64, high: u64) -> Option<Issue> {
    let value = value.filter(|value| !(low..=high).contains(value))?;
    Some(Issue { path: format!("{at}/{name}"), message: format!("{value} is not between {low} and {high}") })
}

/// Which fields of `value` are no fields of a `T`; read one by one, since serde stops at the first.
fn misfits<T: for<'de> Deserialize<'de>>(value: &Value, at: &str, whole: &serde_json::Error) -> Vec<Issue> {
    let Some(object) = value.as_object() else { return vec![Issue { path: at.to_owned(), message: whole.to_string() }] };
    let misfit = |(name, value): (&String, &Value)| {
        let path = json::below(at, name);
        let alone = T::deserialize(&Value::Object([(name.clone(), value.clone())].into_iter().collect())).err()?;
        let within = (name == "budget" && value.is_object()).then(|| Budget::read(value, &path).err()).flatten();
        Some(within.unwrap_or_else(|| vec![Issue { path, message: alone.to_string() }]))
    };
    object.iter().filter_map(misfit).flatten().collect()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_default_priority(priority: &u8) -> bool {
    *priority == PRIORITY_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_default_pause(ms: &u64) -> bool {
    *ms == FIRST_PAUSE_MS_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(n: &u32) -> bool {
    *n == 1
}

fn not_an_object(at: &str) -> Vec<Issue> {
    vec![Issue { path: at.to_owned(), message: "is not an object".to_owned() }]
}
