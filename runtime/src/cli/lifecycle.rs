//! `reprise playbooks show|versions|evidence|history|promote|disable|policy|diff|ledger`: how far a playbook is trusted, and why.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{Global, playbook_and_version};
use super::exit;
use super::lifecycle_args::{DiffArgs, Disable, OfPlaybook, PageOf, PolicyArgs, Promote, Word};
use super::output::{Output, printable, table};
use super::steer::{Door, open, open_as_operator};
use crate::blocking;
use crate::config::PolicyChange;
use crate::engine::{Engine, Promotion};
use crate::error::{Code, Error, Result};
use crate::fields;
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::Status;
use crate::lifecycle::evidence::EventFilter;
use crate::limits;

fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("views have string keys only")
}

/// The page at `path` of a server, or what `here` reads.
async fn read(
    global: &Global,
    of: &OfPlaybook,
    what: &str,
    query: &[(&str, String)],
    here: impl FnOnce(&Engine, &Space, &PlaybookId, Option<u32>) -> Result<Value> + Send + 'static,
) -> Result<Value> {
    let (id, version) = playbook_and_version(&of.playbook)?;
    let space = global.space()?;
    match open(global, &of.at).await? {
        Door::There(server) => {
            let mut query = query.to_vec();
            query.extend(version.map(|version| ("version", version.to_string())));
            server.get(&format!("/v1/playbooks/{id}/{what}"), &query).await
        }
        Door::Here(engine) => blocking::run(move || here(&engine, &space, &id, version)).await,
    }
}

fn page(args: &PageOf) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", args.page.limit.to_string())];
    query.extend(args.page.cursor.clone().map(|cursor| ("cursor", cursor)));
    query
}

fn unnumbered(of: &OfPlaybook) -> Result<()> {
    match playbook_and_version(&of.playbook)? {
        (id, Some(_)) => Err(Error::invalid("PLAYBOOK", format!("this is about all versions; write {id}"))),
        _ => Ok(()),
    }
}

fn number(cursor: Option<&String>) -> Result<Option<u32>> {
    cursor
        .map(|text| text.parse().map_err(|_| Error::invalid("--cursor", format!("{text:?} is no cursor that a page ended with"))))
        .transpose()
}

fn piece(cursor: Option<&String>) -> Result<Option<[u8; 16]>> {
    let read = |text: &String| hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    cursor
        .map(|text| read(text).ok_or_else(|| Error::invalid("--cursor", format!("{text:?} is no cursor that a page ended with"))))
        .transpose()
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

fn count(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |n| n.to_string())
}

fn rows<'a>(page: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    page[name].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn more(page: &Value) -> String {
    page["next"].as_str().map(|next| format!("\nmore with --cursor {next}")).unwrap_or_default()
}

pub(super) async fn versions(global: &Global, args: PageOf, output: &Output) -> Result<u8> {
    unnumbered(&args.of)?;
    let (before, limit) = (number(args.page.cursor.as_ref())?, args.page.limit);
    let here =
        move |engine: &Engine, space: &Space, id: &PlaybookId, _| engine.versions_page(space, id, before, limit).map(|page| value(&page));
    let shown = read(global, &args.of, "versions", &page(&args), here).await?;
    output.show(
        || shown.clone(),
        || {
            let row = |row: &Value| {
                // A version never changes: of one that was reviewed, another one says what came of it.
                let review = match row["reviewed_as"]["version"].as_u64() {
                    Some(by) => format!("{} as {by}", text(&row["reviewed_as"]["state"])),
                    None => text(&row["review"]["state"]),
                };
                let runs = if row["runs"] == true { "runs" } else { "" };
                [
                    count(&row["version"]),
                    text(&row["status"]),
                    runs.to_owned(),
                    text(&row["made_by"]["kind"]),
                    review,
                    text(&row["created_at"]),
                ]
            };
            format!("{}{}", table(["version", "status", "", "made by", "review", "when"], rows(&shown, "versions").map(row)), more(&shown))
        },
    );
    Ok(exit::OK)
}

pub(super) async fn history(global: &Global, args: PageOf, output: &Output) -> Result<u8> {
    unnumbered(&args.of)?;
    let (before, limit) = (number(args.page.cursor.as_ref())?, args.page.limit);
    let here =
        move |engine: &Engine, space: &Space, id: &PlaybookId, _| engine.history_page(space, id, before, limit).map(|page| value(&page));
    let shown = read(global, &args.of, "history", &page(&args), here).await?;
    output.show(|| shown.clone(), || format!("{}{}", rows(&shown, "changes").map(told).collect::<Vec<_>>().join("\n"), more(&shown)));
    Ok(exit::OK)
}

/// A version and how it came about, in a few lines.
fn told(change: &Value) -> String {
    let from = change["from_version"].as_u64().map(|from| format!(" from {from}")).unwrap_or_default();
    let by = change["by"].as_str().map(|by| format!(" by {}", printable(by))).unwrap_or_default();
    let mut lines = vec![format!(
        "{:>4}  {:<8}  {}{from}{by}  {}",
        count(&change["version"]),
        text(&change["status"]),
        text(&change["kind"]),
        text(&change["at"])
    )];
    for (name, what) in [("note", "note"), ("reason", "because")] {
        lines.extend(change[name].as_str().map(|words| format!("      {what}: {}", printable(words))));
    }
    lines.extend(rows(change, "overrode").map(|missing| format!("      although it lacked: {}", text(missing))));
    lines.join("\n")
}

pub(super) async fn evidence(global: &Global, args: PageOf, output: &Output) -> Result<u8> {
    let (before, limit) = (piece(args.page.cursor.as_ref())?, args.page.limit);
    let here = move |engine: &Engine, space: &Space, id: &PlaybookId, version| {
        engine.evidence_page(space, id, version, EventFilter::default(), before, limit).map(|page| value(&page))
    };
    let shown = read(global, &args.of, "evidence", &page(&args), here).await?;
    output.show(
        || shown.clone(),
        || {
            let row = |row: &Value| {
                let of = row["job_id"].as_str().or_else(|| row["run_id"].as_str()).unwrap_or_default();
                let step = row["drift"]["step"].as_str().map(|step| format!("{step}: ")).unwrap_or_default();
                let counts = if row["counts"] == false { "does not count: " } else { "" };
                let why = format!("{counts}{step}{}", row["drift"]["why"].as_str().unwrap_or_default());
                [text(&row["at"]), text(&row["kind"]), text(&row["outcome"]), printable(of), printable(&why)]
            };
            let table = table(["when", "what", "came to", "of", "why"], rows(&shown, "evidence").map(row));
            format!("{}\n{table}{}", verdict(&shown["verdict"]), more(&shown))
        },
    );
    Ok(exit::OK)
}

/// What the policy makes of a version, in a few lines.
fn verdict(verdict: &Value) -> String {
    let mut lines = vec![format!(
        "Version {}, {}: proved on {} recordings, reproduces {}; {}{} jobs succeeded with {} different inputs, {} failed (a success rate of at least {}).",
        count(&verdict["version"]),
        text(&verdict["status"]),
        count(&verdict["proofs"]),
        count(&verdict["recordings"]),
        // What is active answers for what it did as such; the jobs before that made it active.
        if verdict["status"] == "active" { "since it is active, " } else { "" },
        count(&verdict["successes"]),
        count(&verdict["distinct_inputs"]),
        count(&verdict["failures"]),
        count(&verdict["success_bound"]),
    )];
    let all = &verdict["component"];
    lines.push(format!(
        "Of its component, under whatever version and status: {} jobs succeeded, {} failed (a success rate of at least {}).",
        count(&all["successes"]),
        count(&all["failures"]),
        count(&all["success_bound"]),
    ));
    lines.extend(verdict["earned"].as_str().map(|status| format!("It has earned the status {}.", printable(status))));
    lines.extend(verdict["falls"].as_str().map(|why| format!("It loses its status: {}", printable(why))));
    lines.extend(rows(verdict, "missing").map(|missing| format!("  missing: {}", text(missing))));
    lines.join("\n")
}

pub(super) async fn ledger(global: &Global, args: PageOf, output: &Output) -> Result<u8> {
    unnumbered(&args.of)?;
    let shown = ledger_of(global, &args.of, piece(args.page.cursor.as_ref())?, args.page.limit).await?;
    output.show(
        || shown.clone(),
        || {
            let row = |row: &Value| {
                [text(&row["at"]), text(&row["outcome"]), text(&row["job_id"]), count(&row["calls"]), count(&row["milliseconds"])]
            };
            format!(
                "{}\n{}{}",
                spared(&shown),
                table(["when", "came to", "job", "calls", "ms"], rows(&shown, "rows").map(row)),
                more(&shown)
            )
        },
    );
    Ok(exit::OK)
}

async fn ledger_of(global: &Global, of: &OfPlaybook, before: Option<[u8; 16]>, limit: usize) -> Result<Value> {
    let (id, _) = playbook_and_version(&of.playbook)?;
    match open(global, &of.at).await? {
        Door::There(server) => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(before.map(|id| ("cursor", hex::encode(id))));
            server.get(&format!("/v1/playbooks/{id}/ledger"), &query).await
        }
        Door::Here(engine) => engine.ledger_page(&global.space()?, &id, before, limit).await.map(|page| value(&page)),
    }
}

/// The sums of a ledger in a few lines.
fn spared(ledger: &Value) -> String {
    let (run, jobs, saved) = (&ledger["per_run"], &ledger["jobs"], &ledger["saved"]);
    let mut lines = vec![format!(
        "Of all its versions: {} jobs succeeded and {} failed  {}",
        count(&jobs["successes"]),
        count(&jobs["failures"]),
        text(&ledger["trend"])
    )];
    if run["runs"] == 0 {
        lines.push("There is no recorded run to hold them against.".to_owned());
        return lines.join("\n");
    }
    for (name, words) in [("calls", "calls"), ("seconds", "seconds"), ("tokens", "tokens"), ("usd", "US dollars")] {
        if !run[name].is_null() {
            lines.push(format!("  {words}: {} a recorded run, {} saved in all", count(&run[name]), count(&saved[name])));
        }
    }
    lines.join("\n")
}

pub(super) async fn show(global: &Global, args: OfPlaybook, output: &Output) -> Result<u8> {
    let here = |engine: &Engine, space: &Space, id: &PlaybookId, version| {
        engine.evidence_page(space, id, version, EventFilter::default(), None, 1).map(|page| value(&page))
    };
    let seen = read(global, &args, "evidence", &[("limit", "1".to_owned())], here).await?;
    let id = seen["playbook_id"].as_str().unwrap_or_default().to_owned();
    let all = OfPlaybook { playbook: id.clone(), at: args.at.clone() };
    let here = |engine: &Engine, space: &Space, id: &PlaybookId, _| engine.history_page(space, id, None, LATEST).map(|page| value(&page));
    let history = read(global, &all, "history", &[("limit", LATEST.to_string())], here).await?;
    let ledger = ledger_of(global, &all, None, 1).await?;
    let shown = json!({
        "playbook_id": id, "component_digest": seen["component_digest"], "verdict": seen["verdict"], "changes": history["changes"],
        "per_run": ledger["per_run"], "jobs": ledger["jobs"], "saved": ledger["saved"], "trend": ledger["trend"],
    });
    output.show(
        || shown.clone(),
        || {
            let changes: Vec<String> = rows(&shown, "changes").map(told).collect();
            format!(
                "Playbook {}\n{}\n{}\nIts latest versions:\n{}",
                printable(&id),
                verdict(&shown["verdict"]),
                spared(&shown),
                changes.join("\n")
            )
        },
    );
    Ok(exit::OK)
}

/// Versions that `show` tells of.
const LATEST: usize = 5;

pub(super) async fn promote(global: &Global, args: Promote, output: &Output) -> Result<u8> {
    set_status(global, &args.of, args.to, args.word, output).await
}

pub(super) async fn disable(global: &Global, args: Disable, output: &Output) -> Result<u8> {
    set_status(global, &args.of, Status::Disabled, args.word, output).await
}

async fn set_status(global: &Global, of: &OfPlaybook, target: Status, word: Word, output: &Output) -> Result<u8> {
    let (id, from_version) = playbook_and_version(&of.playbook)?;
    let space = global.space()?;
    let Word { note, by } = word;
    let made = match open_as_operator(global, &of.at).await? {
        Door::There(server) => {
            let body = json!({"target_status": target, "from_version": from_version, "note": note});
            server.post(&format!("/v1/playbooks/{id}/promote"), by.as_deref(), body).await?
        }
        // Who can open the data directory is an operator.
        Door::Here(engine) => {
            let promotion = Promotion { playbook_id: id, from_version, target, by, note, metadata: None, operator: true };
            let promoted = engine.promote(&space, &promotion).await?;
            value(&engine.promotion_view(&space, &promoted)?)
        }
    };
    output.show(
        || made.clone(),
        || {
            let (to, status) = (count(&made["to_version"]), text(&made["status"]));
            let runs = match made["status"].as_str() {
                Some("disabled") => "Nothing of it is started until a version is promoted again.".to_owned(),
                _ => format!("Version {} runs where none is named.", count(&made["active_version"])),
            };
            let done = if made["unchanged"] == true { "was so already" } else { "is made" };
            let lacked: Vec<String> =
                rows(&made["change"], "overrode").map(|missing| format!("\n  although it lacked: {}", text(missing))).collect();
            format!("Version {to} of playbook {}, {status}, {done}. {runs}{}", text(&made["playbook_id"]), lacked.concat())
        },
    );
    Ok(exit::OK)
}

pub(super) async fn policy(global: &Global, args: PolicyArgs, output: &Output) -> Result<u8> {
    let id = args.playbook.as_deref().map(PlaybookId::parse).transpose()?;
    let space = global.space()?;
    let change = (args.reset || !args.set.is_empty()).then(|| settled(&args.set)).transpose()?;
    let path = id.as_ref().map_or_else(|| "/v1/policy".to_owned(), |id| format!("/v1/playbooks/{id}/policy"));
    let shown = match (open_as_operator(global, &args.at).await?, change) {
        (Door::There(server), None) => server.get(&path, &[]).await?,
        (Door::There(server), Some(change)) => {
            let mut body = change.to_json();
            body["tenant_id"] = space.tenant().into();
            body["scope"] = space.scope().into();
            server.put(&path, &body).await?
        }
        (Door::Here(engine), change) => {
            if let Some(change) = change {
                engine.put_policy(&space, id.as_ref(), &change).await?;
                engine.consider().await?;
            }
            value(&engine.policy_view(&space, id.as_ref())?)
        }
    };
    output.show(
        || shown.clone(),
        || {
            let mut lines = Vec::new();
            for (name, part) in shown["policy"].as_object().into_iter().flatten() {
                match part.as_object() {
                    Some(group) => {
                        lines.extend(group.iter().map(|(knob, value)| (format!("{name}.{knob}"), value, &shown["settled"][name][knob])))
                    }
                    None => lines.push((name.clone(), part, &shown["settled"][name])),
                }
            }
            let row = |(name, value, settled): &(String, &Value, &Value)| {
                [name.clone(), value.to_string(), if settled.is_null() { String::new() } else { "settled here".to_owned() }]
            };
            table(["part", "value", ""], lines.iter().map(row))
        },
    );
    Ok(exit::OK)
}

/// `active.successes=10` as part of an object.
fn settled(parts: &[(String, Value)]) -> Result<PolicyChange> {
    let mut object = Map::new();
    for (part, value) in parts {
        match part.split_once('.') {
            Some((group, knob)) => {
                let group = object.entry(group).or_insert_with(|| json!({}));
                if let Some(group) = group.as_object_mut() {
                    group.insert(knob.to_owned(), value.clone());
                }
            }
            None => drop(object.insert(part.clone(), value.clone())),
        }
    }
    PolicyChange::read(&Value::Object(object)).map_err(|issues| fields::refusal(Code::InvalidRequest, issues))
}

pub(super) async fn diff(global: &Global, args: DiffArgs, output: &Output) -> Result<u8> {
    let id = PlaybookId::parse(&args.playbook)?;
    let space = global.space()?;
    let shown = match open(global, &args.at).await? {
        Door::There(server) => {
            let mut query = vec![("from", args.from.to_string())];
            query.extend(args.to.map(|to| ("to", to.to_string())));
            server.get(&format!("/v1/playbooks/{id}/diff"), &query).await?
        }
        Door::Here(engine) => {
            let to = args.to.map_or_else(|| engine.playbook(&space, &id, None).map(|runs| runs.version), Ok)?;
            value(&engine.diff(&space, &id, args.from, to).await?)
        }
    };
    output.show(
        || shown.clone(),
        || {
            let lines: Vec<String> = rows(&shown, "lines").map(text).collect();
            let lines = if lines.is_empty() { "They do the same.".to_owned() } else { lines.join("\n") };
            format!("Playbook {id}, version {} to {}:\n{lines}", count(&shown["from"]), count(&shown["to"]))
        },
    );
    Ok(exit::OK)
}

const _: () = assert!(LATEST <= limits::PAGE_ROWS_MAX, "a page holds them");
