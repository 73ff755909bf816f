//! `reprise match`: which playbooks apply to a task.

use clap::Args;
use serde_json::{Map, Value, json};

use super::args::Global;
use super::exit;
use super::output::{Output, printable};
use super::steer::{Door, open};
use super::steering::At;
use crate::engine::MatchRequest;
use crate::error::{Error, Result};
use crate::json::Json;
use crate::limits;

/// `match`.
#[derive(Args)]
pub(super) struct MatchArgs {
    /// What is to be reached, in words.
    #[arg(value_name = "GOAL")]
    pub goal: String,
    /// What is known, a JSON object: names and values.
    #[arg(long, value_name = "JSON")]
    pub context: Option<String>,
    /// A tool that is at hand; what is here where none is named. Repeatable.
    #[arg(long = "tool", value_name = "TOOL")]
    pub tools: Vec<String>,
    /// Playbooks that are shadows too.
    #[arg(long)]
    pub shadow: bool,
    /// How many at the most.
    #[arg(long, value_name = "N", default_value_t = limits::MATCHES_DEFAULT, value_parser = parse_limit)]
    pub limit: usize,
    #[command(flatten)]
    pub at: At,
}

fn parse_limit(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=limits::MATCHES_MAX).contains(n));
    n.ok_or_else(|| format!("is not a number from 1 to {}", limits::MATCHES_MAX))
}

pub(super) async fn matches(global: &Global, args: MatchArgs, output: &Output) -> Result<u8> {
    let MatchArgs { goal, context, tools, shadow, limit, at } = args;
    let context =
        match context.map(|text| Json::parse(text.as_bytes()).map_err(|e| e.at("--context"))).transpose()?.map(|json| json.value()) {
            None => Map::new(),
            Some(Value::Object(context)) => context,
            Some(_) => return Err(Error::invalid("--context", "is JSON, but not an object; write {\"name\": value}")),
        };
    let tools = (!tools.is_empty()).then_some(tools);
    let space = global.space()?;
    let shown = match open(global, &at).await? {
        Door::There(server) => {
            let body = json!({"goal": goal, "context": context, "tools": tools, "include_shadow": shadow, "limit": limit});
            server.post("/v1/playbooks/match", None, body).await?
        }
        Door::Here(engine) => {
            let request = MatchRequest { goal, context, tools, include_shadow: shadow, limit }.checked()?;
            json!(engine.match_playbooks(&space, request).await?)
        }
    };
    output.show(
        || shown.clone(),
        || {
            let matches = shown["matches"].as_array().map(Vec::as_slice).unwrap_or_default();
            if matches.is_empty() {
                return "No active playbook has to do with it.".to_owned();
            }
            matches.iter().map(told).collect::<Vec<_>>().join("\n")
        },
    );
    Ok(exit::OK)
}

fn told(found: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let list = |name: &str| found[name].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ");
    // A whole number of calls is one.
    let number = |value: &Value| value.as_f64().map_or_else(String::new, |n| n.to_string());
    let expected = &found["expected"];
    let mut lines = vec![
        format!(
            "{}@{}  {}  {}  (score {})",
            text(&found["playbook_id"]),
            found["version"],
            text(&found["status"]),
            text(&found["name"]),
            found["score"]
        ),
        format!("  input: {}", found["input"]),
        format!(
            "  succeeds in at least {} of jobs ({} of its component so far), {} calls",
            expected["success"],
            expected["jobs"],
            number(&expected["calls"])
        ),
        format!("  touches: {}", list("touches")),
    ];
    for (name, words) in [("missing_parameters", "nothing is known of"), ("missing_tools", "not at hand")] {
        if !list(name).is_empty() {
            lines.push(format!("  {words}: {}", list(name)));
        }
    }
    lines.join("\n")
}
