//! The flags that say how a job is run.
//!
//! They are another way to write the options that HTTP takes as JSON, and are read by the same reader.

use clap::Args;
use serde_json::{Map, Value, json};

use super::args::json_of;
use crate::error::{Code, Result};
use crate::fields;
use crate::journal::{Budget, Mode, Options};

#[derive(Args)]
pub(super) struct JobOptions {
    /// All options at once, as HTTP takes them: JSON, @FILE, or @- for standard input. A flag of its own wins.
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    /// How often a tool call is tried in all where its error may pass.
    #[arg(long, value_name = "N")]
    tries: Option<u32>,
    /// How often the job is tried in all.
    #[arg(long, value_name = "N")]
    job_tries: Option<u32>,
    /// Time for one tool call, such as 30s, 5m or 500ms.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    call_timeout: Option<u64>,
    /// Time for a step, with its pauses.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    step_timeout: Option<u64>,
    /// Time for the job, with its waits; then it fails.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<u64>,
    /// Who goes first where jobs wait for a place: 0 to 9, the higher the sooner [default: 5].
    #[arg(long, value_name = "0-9")]
    priority: Option<u8>,
    /// Look before a resumed job goes on whether the world is as it left it: off, strict, warn or ask [default: off].
    #[arg(long, value_name = "HOW")]
    confirm: Option<String>,
    /// What becomes of a step that fails: normal; strict, where a check that nobody can judge stops it too; guided, where it is
    /// handed over to a person [default: normal].
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    mode: Option<Mode>,
    #[command(flatten)]
    budget: BudgetFlags,
}

/// What a job may use up before it is parked.
#[derive(Args)]
pub(super) struct BudgetFlags {
    /// Park the job before it uses more fuel: WebAssembly operations, roughly.
    #[arg(long = "budget-fuel", value_name = "N")]
    fuel: Option<u64>,
    /// Park the job before it makes more tool calls.
    #[arg(long = "budget-calls", value_name = "N")]
    calls: Option<u64>,
    /// Park the job before its calls' inputs and answers have more bytes.
    #[arg(long = "budget-bytes", value_name = "N")]
    bytes: Option<u64>,
    /// Park the job once it is older, waits included.
    #[arg(long = "budget-time", value_name = "TIME", value_parser = parse_time)]
    wall_ms: Option<u64>,
}

impl JobOptions {
    pub(super) fn read(&self) -> Result<Options> {
        let mut options = match &self.options {
            Some(text) => json_of("--options", text)?.value(),
            None => json!({}),
        };
        let budget = self.budget.fields();
        if let Some(options) = options.as_object_mut() {
            let flags = [
                ("tries", json!(self.tries)),
                ("job_tries", json!(self.job_tries)),
                ("call_timeout_ms", json!(self.call_timeout)),
                ("step_timeout_ms", json!(self.step_timeout)),
                ("timeout_ms", json!(self.timeout)),
                ("priority", json!(self.priority)),
                ("confirm", json!(self.confirm)),
                ("mode", json!(self.mode)),
            ];
            options.extend(flags.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)));
            if !budget.is_empty() {
                let whole = options.entry("budget").or_insert_with(|| json!({}));
                if let Some(whole) = whole.as_object_mut() {
                    whole.extend(budget);
                }
            }
        }
        Options::read(&options, "--options").map_err(|issues| fields::refusal(Code::InvalidRequest, issues))
    }
}

impl BudgetFlags {
    fn fields(&self) -> Map<String, Value> {
        let flags = [("fuel", self.fuel), ("calls", self.calls), ("bytes", self.bytes), ("wall_ms", self.wall_ms)];
        flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }

    pub(super) fn read(&self) -> Result<Budget> {
        Budget::read(&Value::Object(self.fields()), "--budget").map_err(|issues| fields::refusal(Code::InvalidRequest, issues))
    }

    /// As HTTP takes it; none where nothing is said.
    pub(super) fn to_json(&self) -> Option<Value> {
        Some(self.fields()).filter(|fields| !fields.is_empty()).map(Value::Object)
    }
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    let known = Mode::NAMES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
    known.ok_or_else(|| format!("not one of {}", Mode::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")))
}

/// `250ms`, `30s`, `5m`, `2h`, `7d` in milliseconds.
pub(super) fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || "not a time with its unit, such as 500ms, 30s, 5m, 2h or 7d".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_unit() {
        for (text, ms) in [("1ms", 1), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for wrong in ["", "30", "s", "-1s", "1.5s", "1 s", "1w", "99999999999999999999s", "18446744073709551615d", "1sm"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
