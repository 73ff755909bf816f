//! `params` of a run: what Aionis understands of them, and what the playbook takes.
//!
//! Aionis passes over whatever it does not know. Here what it does not know is the playbook's input, held against its schema, so
//! that a parameter that changes nothing is an error and no surprise.

use serde_json::{Map, Value};

use crate::error::Result;
use crate::fields::Fields;
use crate::ids::RunId;
use crate::limits;

/// What a run is run with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// The run that is recorded.
    pub run_id: Option<RunId>,
    /// Whether a run is recorded.
    pub record_run: bool,
    /// Whether commands may run on this machine.
    pub allow_local_exec: bool,
    /// Whether steps run that need somebody's word.
    pub auto_confirm: bool,
    /// The commands that may run, of those that are granted.
    pub allowed_commands: Option<Vec<String>>,
    /// Time for one call, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// As it was sent.
    pub sent: Map<String, Value>,
}

/// What Aionis understands. What is not read here is echoed and changes nothing: where a command runs, what it may print and what
/// is sensitive is for grants to say.
const KNOWN: [&str; 17] = [
    "run_id",
    "record_run",
    "allow_local_exec",
    "execution_backend",
    "allowed_commands",
    "auto_confirm",
    "stop_on_failure",
    "timeout_ms",
    "stdio_max_bytes",
    "workdir",
    "sensitive_review_mode",
    "allow_sensitive_exec",
    "guided_repair_strategy",
    "guided_repair_max_error_chars",
    "command_alias_map",
    "project_id",
    "guided_repair_allow_command_alias",
];

impl Params {
    /// Reads `params`; absent is empty.
    ///
    /// # Errors
    /// `invalid_request` with each field that holds something else than it should.
    pub fn parse(value: Option<&Value>) -> Result<Params> {
        let empty = Value::Object(Map::new());
        let value = value.filter(|value| !value.is_null()).unwrap_or(&empty);
        let mut fields = Fields::of(value, "/params")?;
        let run_id = fields.id("run_id", RunId::parse);
        let record_run = fields.flag("record_run").unwrap_or(true);
        let allow_local_exec = fields.flag("allow_local_exec").unwrap_or_default();
        let auto_confirm = fields.flag("auto_confirm").unwrap_or_default();
        let allowed_commands = match fields.value("allowed_commands") {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) if items.iter().all(Value::is_string) && items.len() <= limits::STEP_LIST_MAX => {
                Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
            }
            Some(_) => {
                fields.issue("allowed_commands", format!("is not a list of at most {} texts", limits::STEP_LIST_MAX));
                None
            }
        };
        let timeout_ms = match fields.value("timeout_ms") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let ms = value.as_u64().filter(|ms| (limits::REPLAY_CALL_MS_MIN..=limits::REPLAY_CALL_MS_MAX).contains(ms));
                if ms.is_none() {
                    let (least, most) = (limits::REPLAY_CALL_MS_MIN, limits::REPLAY_CALL_MS_MAX);
                    fields.issue("timeout_ms", format!("is not a whole number from {least} to {most}"));
                }
                ms
            }
        };
        let sent = value.as_object().cloned().unwrap_or_default();
        fields.build(Some(Params { run_id, record_run, allow_local_exec, auto_confirm, allowed_commands, timeout_ms, sent }))
    }

    /// The playbook's input: what Aionis does not understand, and what the playbook calls by such a name.
    #[must_use]
    pub fn input(&self, schema: Option<&Value>) -> Map<String, Value> {
        let takes = |name: &str| schema.is_some_and(|schema| schema["properties"].get(name).is_some());
        self.sent.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()) || takes(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}
