//! How a job stands, in a few lines: what came of it, or what it waits for and which command answers.
//!
//! Made of the object that everybody outside sees, so that it is the same from here and over HTTP.

use serde_json::Value;

use super::output::{count, printable, shell};
use crate::json::text_of;

/// The job; commands that are named go to the server at `url` where there is one.
pub(super) fn in_words(job: &Value, url: Option<&str>) -> String {
    let id = text(&job["job_id"]);
    let at = url.map(|url| format!(" --url {}", shell(url))).unwrap_or_default();
    let more = match job["status"].as_str().unwrap_or_default() {
        "completed" => format!("output: {}", printable(&text_of(&job["output"]))),
        "failed" => {
            let step = job["failure"]["step"].as_str().map(|step| format!(" at step {}", printable(step))).unwrap_or_default();
            format!("failed{step}: {}", text(&job["failure"]["message"]))
        }
        "cancelled" => format!("cancelled by {}", asked_by(&job["cancel"])),
        "uncertain" => {
            let uncertain = &job["uncertain"];
            let resolve = format!("reprise jobs resolve {id} {}", uncertain["seq"]);
            format!(
                "uncertain: {}\nLook whether it happened{}, and say so with one of:\n  {resolve} --happened OUTPUT{at}\n  {resolve} --retry{at}\n  {resolve} --fail MESSAGE{at}",
                text(&uncertain["reason"]),
                uncertain["key"].as_str().map(|key| format!(" (the call's name was {})", printable(key))).unwrap_or_default(),
            )
        }
        "parked" => {
            let more = match job["parked"]["reason"].as_str().unwrap_or_default() {
                "fuel" => " --budget-fuel N",
                "calls" => " --budget-calls N",
                "bytes" => " --budget-bytes N",
                "wall_time" => " --budget-time TIME",
                _ => "",
            };
            format!("parked: {}\nlet it go on with: reprise jobs resume {id}{more}{at}", text(&job["parked"]["message"]))
        }
        "paused" => format!("paused by {}\nlet it go on with: reprise jobs resume {id}{at}", asked_by(&job["paused"])),
        "waiting" if job["handed_over"].is_object() => {
            let handed = &job["handed_over"];
            let resolve = format!("reprise jobs resolve {id} {}", handed["seq"]);
            let step = handed["step"].as_str().map(|step| format!(" at step {}", printable(step))).unwrap_or_default();
            format!(
                "handed over{step}: {}\nSee to it, and say what came of it with one of:\n  {resolve} --happened OUTPUT{at}\n  {resolve} --retry{at}\n  {resolve} --fail MESSAGE{at}",
                text(&handed["why"]),
            )
        }
        "waiting" => waiting(job, &at),
        "ready" | "running" if url.is_some() => format!("under way; follow it with: reprise jobs watch {id}{at}"),
        _ => format!("not done; go on with: reprise jobs resume {id}"),
    };
    let doubts: String = job["in_doubt"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| {
            format!(
                "\nnobody knows whether call {} of {} took effect (its name there is {})",
                call["call"],
                text(&call["tool"]),
                text(&call["key"])
            )
        })
        .collect();
    let more = format!("{more}{doubts}");
    let calls = count(job["usage"]["calls"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default(), "tool call");
    let playbook = text(&job["playbook_id"]);
    format!("Job {id} of {playbook} version {}: {}, {calls}\n{more}", job["version"], text(&job["status"]))
}

fn waiting(waits: &Value, at: &str) -> String {
    let (job, on) = (text(&waits["job_id"]), &waits["waiting_on"]);
    let until = on["until"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
    match on["kind"].as_str().unwrap_or_default() {
        "approval" => {
            let decide = |word: &str| format!("  reprise approvals {word} {}{at}", text(&on["approval_id"]));
            format!("waits{until} for a person: {}\nanswer with one of:\n{}\n{}", text(&on["title"]), decide("approve"), decide("reject"))
        }
        "signal" => {
            let name = shell(on["name"].as_str().unwrap_or_default());
            format!("waits{until} for the signal {name}\nsend it with: reprise jobs signal {job} {name} --payload JSON{at}")
        }
        "external_call" => {
            let tool = text(&on["tool"]);
            format!("waits{until} for a worker that performs {tool}\nclaim it with: reprise calls claim {tool}{at}")
        }
        "children" => {
            let children = waits["children"].as_array().into_iter().flatten().filter(|child| child["ended"].is_null());
            let children = children.map(|child| format!("\n  reprise jobs show {}{at}", text(&child["job_id"])));
            format!("waits{until} for its child jobs; what they wait for is shown by:{}", children.collect::<String>())
        }
        _ => format!("waits{until}, and goes on by itself where a process looks after it: reprise serve"),
    }
}

/// `ada: because`.
fn asked_by(who: &Value) -> String {
    let reason = who["reason"].as_str().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
    format!("{}{reason}", text(&who["by"]))
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}
