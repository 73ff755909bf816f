//! `reprise repairs`: what was mended of playbooks; propose, approve, reject.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::{Global, Page, parse_run_id, playbook_and_version};
use super::exit;
use super::output::{Output, printable, table};
use super::steer::{Door, open, open_as_operator};
use super::steering::{At, Said};
use crate::engine::{AutoPromoteGate, RepairRequest, RepairWith, ReviewRequest};
use crate::error::{Code, Error, Result};
use crate::ids::{JobId, PlaybookId, RunId};
use crate::json::Json;
use crate::lifecycle::Status;
use crate::lifecycle::repairs::{Repair, RepairFilter, RepairState};
use crate::{blocking, json, limits};

#[derive(Subcommand)]
pub(super) enum RepairsCommand {
    /// Repairs in the order of playbooks and versions.
    List(RepairsList),
    /// One repair: the patch, what it does otherwise, what it may do more, and what the recordings say of it.
    Show(RepairArg),
    /// Mend a playbook by a patch, by a run that got past the failing step, or by asking the configured model.
    Propose(RepairPropose),
    /// Let a repair run.
    Approve(RepairReview),
    /// Let it not.
    Reject(RepairReview),
}

#[derive(Args)]
pub(super) struct RepairsList {
    /// Those that have come so far: pending_review, not_required, approved, approved_shadow_blocked, rejected.
    #[arg(long, value_name = "STATUS", value_parser = parse_state)]
    status: Option<RepairState>,
    /// Those of one playbook.
    #[arg(long, value_name = "ID", value_parser = parse_playbook)]
    playbook: Option<PlaybookId>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub(super) struct RepairArg {
    /// The playbook and the version that the repair made.
    #[arg(value_name = "PLAYBOOK@VERSION", value_parser = parse_repair)]
    repair: (PlaybookId, u32),
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[group(id = "with", required = true, multiple = false, args = ["patch", "run", "ask"])]
pub(super) struct RepairPropose {
    /// What to mend: a playbook, or one of its versions.
    #[arg(value_name = "PLAYBOOK[@VERSION]", value_parser = playbook_and_version)]
    playbook: (PlaybookId, Option<u32>),
    /// A file with the patch, as docs/AIONIS.md has it.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// A recorded run that got past the failing step.
    #[arg(long, value_name = "RUN", value_parser = parse_run_id)]
    run: Option<RunId>,
    /// The step at which the playbook fails [default: the first that the run did not make].
    #[arg(long, value_name = "STEP", requires = "run")]
    failing_step: Option<String>,
    /// Ask the model of [planner] in reprise.toml.
    #[arg(long)]
    ask: bool,
    /// The job that stopped short, for the model.
    #[arg(long, value_name = "JOB", requires = "ask", value_parser = parse_job)]
    job: Option<JobId>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    said: Said,
}

#[derive(Args)]
pub(super) struct RepairReview {
    /// The playbook and the version that the repair made.
    #[arg(value_name = "PLAYBOOK@VERSION", value_parser = parse_repair)]
    repair: (PlaybookId, u32),
    /// What it becomes where it is approved: draft, shadow or active.
    #[arg(long, value_name = "STATUS", default_value = "shadow", value_parser = parse_status)]
    target: Status,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    said: Said,
}

pub(super) async fn list(global: &Global, args: RepairsList, output: &Output) -> Result<u8> {
    let space = global.space()?;
    let list = match open(global, &args.at).await? {
        Door::There(server) => {
            let mut query = vec![("limit", args.page.limit.to_string())];
            query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
            query.extend(args.status.map(|state| ("status", state.as_str().to_owned())));
            query.extend(args.playbook.map(|id| ("playbook_id", id.to_string())));
            server.get("/v1/repairs", &query).await?
        }
        Door::Here(engine) => {
            let after = args.page.cursor.as_deref().map(cursor).transpose()?;
            let filter = RepairFilter { playbook_id: args.playbook, state: args.status };
            let (rows, next) = engine.repairs(&space, filter, after, args.page.limit).await?;
            let next = next.map(|(id, version)| format!("{version}.{id}"));
            json!({"repairs": rows.iter().map(Repair::to_json).collect::<Vec<_>>(), "next": next})
        }
    };
    output.show(
        || list.clone(),
        || {
            let text = |repair: &Value, name: &str| printable(repair[name].as_str().unwrap_or_default());
            let row = |repair: &Value| {
                [
                    format!("{}@{}", text(repair, "playbook_id"), repair["version"]),
                    repair["from_version"].to_string(),
                    text(repair, "status"),
                    text(repair, "source"),
                    text(repair, "author"),
                    text(repair, "made_at"),
                    text(repair, "note"),
                ]
            };
            let more = list["next"].as_str().map(|next| format!("\nmore with --cursor {}", printable(next))).unwrap_or_default();
            let rows = list["repairs"].as_array().into_iter().flatten().map(row);
            format!("{}{more}", table(["repair", "of version", "status", "source", "by", "made", "note"], rows))
        },
    );
    Ok(exit::OK)
}

pub(super) async fn show(global: &Global, args: RepairArg, output: &Output) -> Result<u8> {
    let (id, version) = args.repair;
    let shown = match open(global, &args.at).await? {
        Door::There(server) => server.get(&format!("/v1/repairs/{id}/{version}"), &[]).await?,
        Door::Here(engine) => {
            let (repair, details) = engine.repair_of(&global.space()?, &id, version).await?;
            let mut shown = repair.to_json();
            shown["details"] = engine.repair_view(&details);
            shown
        }
    };
    output.show(
        || shown.clone(),
        || {
            let text = |name: &str| printable(shown[name].as_str().unwrap_or_default());
            let by = shown["author"].as_str().map(|by| format!(" by {}", printable(by))).unwrap_or_default();
            let head = format!("Repair {id}@{version} of version {}{by}: {}", shown["from_version"], text("status"));
            let note = shown["note"].as_str().map(|note| format!("\n{}", printable(note))).unwrap_or_default();
            let review = shown["reviewed"].as_object().map(|said| {
                let by = said.get("by").and_then(Value::as_str).map(|by| format!(" by {}", printable(by))).unwrap_or_default();
                format!("\nreviewed{by} as version {}", said.get("version").unwrap_or(&Value::Null))
            });
            format!("{head}{note}{}\n{}", review.unwrap_or_default(), in_words(&shown["details"]))
        },
    );
    Ok(exit::OK)
}

/// What a repair does otherwise, may do more, and what the recordings say.
fn in_words(details: &Value) -> String {
    let lines = |name: &Value| -> Vec<String> {
        name.as_array().into_iter().flatten().filter_map(Value::as_str).map(printable).map(|line| format!("  {line}")).collect()
    };
    let mut text = vec!["It does otherwise:".to_owned()];
    text.extend(lines(&details["diff_lines"]));
    for (name, words) in [("added", "It may also:"), ("removed", "It may no longer:")] {
        let found = lines(&details["permission_diff"][name]);
        if !found.is_empty() {
            text.push(words.to_owned());
            text.extend(found);
        }
    }
    text.push("The recordings say:".to_owned());
    for held in details["proof"].as_array().into_iter().flatten() {
        let at = held["step"].as_str().map(|step| format!(" at {}", printable(step))).unwrap_or_default();
        let why = held["why"].as_str().map(|why| format!(": {}", printable(why))).unwrap_or_default();
        let (run, verdict) = (held["run_id"].as_str().unwrap_or_default(), held["verdict"].as_str().unwrap_or_default());
        text.push(format!("  {} {}{at}{why}", printable(run), printable(verdict)));
    }
    text.join("\n")
}

pub(super) async fn propose(global: &Global, args: RepairPropose, output: &Output) -> Result<u8> {
    let patch = match args.patch {
        None => None,
        Some(file) => Some(blocking::run(move || read_patch(&file)).await?),
    };
    let (id, from_version) = args.playbook;
    let made = match open_as_operator(global, &args.said.at).await? {
        Door::There(server) => {
            let body = json!({
                "playbook_id": id, "from_version": from_version, "patch": patch, "run_id": args.run, "failing_step": args.failing_step,
                "propose": args.ask.then_some(true), "job_id": args.job, "note": args.note,
            });
            server.post("/v1/memory/replay/playbooks/repair", Some(&args.said.by), body).await?
        }
        Door::Here(engine) => {
            let with = match (patch, args.run) {
                (Some(patch), _) => RepairWith::Patch(patch),
                (None, Some(run_id)) => RepairWith::Run { run_id, failing_step: args.failing_step },
                (None, None) => RepairWith::Propose { job_id: args.job, context: Json::from(&json!({})) },
            };
            let request = RepairRequest {
                playbook_id: id.clone(),
                from_version,
                with,
                author: Some(args.said.by),
                note: args.note,
                review_required: true,
                target_status: Status::Draft,
                metadata: None,
                by_operator: true,
            };
            let made = engine.repair(&global.space()?, request).await?;
            let mut shown = engine.repair_view(&made.details);
            let (from_version, version, status) = (made.from_version, made.version.version, made.version.status);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("playbook_id".to_owned(), json!(id));
                fields.insert("from_version".to_owned(), json!(from_version));
                fields.insert("to_version".to_owned(), json!(version));
                fields.insert("status".to_owned(), json!(status));
                fields.insert("review_state".to_owned(), json!("pending_review"));
            }
            shown
        }
    };
    output.show(
        || made.clone(),
        || {
            let name = format!("{id}@{}", made["to_version"]);
            let next = format!("Next: reprise repairs approve {name}\n      reprise repairs reject {name}");
            format!("Repair {name} waits for a review.\n{}\n{next}", in_words(&made))
        },
    );
    Ok(exit::OK)
}

fn read_patch(file: &std::path::Path) -> Result<Value> {
    let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display()));
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > limits::JSON_BYTES_MAX as u64 {
        return Err(Error::new(
            Code::TooLarge,
            format!("{} has {size} bytes; a patch has at most {}", file.display(), limits::JSON_BYTES_MAX),
        ));
    }
    json::parse(&std::fs::read(file).map_err(unreadable)?).map_err(|e| e.at(file.display()))
}

pub(super) async fn review(global: &Global, args: RepairReview, approve: bool, output: &Output) -> Result<u8> {
    let (id, version) = args.repair;
    let reviewed = match open_as_operator(global, &args.said.at).await? {
        Door::There(server) => {
            let body = json!({
                "playbook_id": id, "version": version, "action": if approve { "approve" } else { "reject" }, "note": args.note,
                "target_status_on_approve": args.target,
            });
            server.post("/v1/memory/replay/playbooks/repair/review", Some(&args.said.by), body).await?
        }
        Door::Here(engine) => {
            let request = ReviewRequest {
                playbook_id: id.clone(),
                version: Some(version),
                approve,
                reviewer: Some(args.said.by),
                note: args.note,
                validate: true,
                validation_mode: "readiness".to_owned(),
                target_status: Some(args.target),
                auto_promote: None,
                gate: AutoPromoteGate::default(),
                metadata: None,
                by_operator: true,
            };
            let said = engine.review_repair(&global.space()?, request).await?;
            json!({
                "playbook_id": id, "from_version": version, "to_version": said.version.version, "status": said.version.status,
                "review_state": said.state, "shadow_validation": said.shadow_validation,
            })
        }
    };
    output.show(
        || reviewed.clone(),
        || {
            let text = |name: &str| printable(reviewed[name].as_str().unwrap_or_default());
            let validation = &reviewed["shadow_validation"];
            let steps = |name: &str| validation[name].as_u64().unwrap_or_default();
            let said = if validation.is_object() {
                let (ready, blocked, unknown) = (steps("ready_steps"), steps("blocked_steps"), steps("unknown_steps"));
                format!("\nOf its steps the recordings answer {ready}, break at {blocked}, and say nothing of {unknown}.")
            } else {
                String::new()
            };
            let (state, to, status) = (text("review_state"), &reviewed["to_version"], text("status"));
            format!("Repair {id}@{version}: {state}. It is version {to} now, a {status}.{said}")
        },
    );
    Ok(exit::OK)
}

fn cursor(text: &str) -> Result<(PlaybookId, u32)> {
    let parts = text.split_once('.').and_then(|(version, id)| Some((PlaybookId::parse(id).ok()?, version.parse().ok()?)));
    parts.ok_or_else(|| Error::invalid("--cursor", format!("{text:?} is not where a page ended")))
}

fn parse_repair(text: &str) -> Result<(PlaybookId, u32), String> {
    match playbook_and_version(text).map_err(|e| e.message)? {
        (id, Some(version)) => Ok((id, version)),
        (id, None) => Err(format!("a repair is named by its version too, such as {id}@2")),
    }
}

fn parse_playbook(text: &str) -> Result<PlaybookId, String> {
    PlaybookId::parse(text).map_err(|e| e.message)
}

fn parse_job(text: &str) -> Result<JobId, String> {
    JobId::parse(text).map_err(|e| e.message)
}

fn parse_state(text: &str) -> Result<RepairState, String> {
    let found = RepairState::NAMES.iter().find(|(name, _)| *name == text);
    let names: Vec<&str> = RepairState::NAMES.iter().map(|(name, _)| *name).collect();
    found.map(|(_, state)| *state).ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn parse_status(text: &str) -> Result<Status, String> {
    let statuses = [Status::Draft, Status::Shadow, Status::Active];
    statuses.into_iter().find(|status| status.as_str() == text).ok_or_else(|| "one of draft, shadow, active".to_owned())
}
