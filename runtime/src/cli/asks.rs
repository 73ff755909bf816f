//! `reprise approvals` and `reprise calls`: what waits for a person or for a worker, and their answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Global, json_of};
use super::exit;
use super::output::{Output, printable, table};
use super::steer::{Door, Word, open, say};
use super::steering::{ApprovalShow, ApprovalsList, CallClaim, CallComplete, CallFail, CallsList, Decision, OwnCall};
use crate::contract::{Outcome, ToolError};
use crate::engine::{approval_row, call_cursor, call_row, cursor_of};
use crate::error::{Code, Error, Result};
use crate::ids::Digest;
use crate::jobs::{ApprovalId, Claimed};
use crate::json::{Json, text_of};

pub(super) async fn approvals(global: &Global, args: ApprovalsList, output: &Output) -> Result<u8> {
    let limit = args.page.limit;
    let page = match open(global, &args.at).await? {
        Door::There(server) => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
            server.get("/v1/approvals", &query).await?
        }
        Door::Here(engine) => {
            let after = args.page.cursor.as_deref().map(ApprovalId::parse).transpose()?;
            let rows = engine.approvals(&global.space()?, after, limit)?;
            let next = rows.last().filter(|_| rows.len() == limit).map(|(id, _)| id.to_string());
            json!({"approvals": rows.iter().map(|(id, row)| approval_row(*id, row)).collect::<Vec<_>>(), "next": next})
        }
    };
    let columns = [("approval", "approval_id"), ("title", "title"), ("since", "since"), ("until", "until")];
    output.show(|| page.clone(), || page_in_words(&page, "approvals", columns));
    Ok(exit::OK)
}

pub(super) async fn approval(global: &Global, args: ApprovalShow, output: &Output) -> Result<u8> {
    let approval = match open(global, &args.at).await? {
        Door::There(server) => server.get(&format!("/v1/approvals/{}", args.id), &[]).await?,
        Door::Here(engine) => engine.approval(&global.space()?, args.id)?.to_json(),
    };
    output.show(|| approval.clone(), || asked(&approval));
    Ok(exit::OK)
}

/// What a person is to see before they decide.
fn asked(approval: &Value) -> String {
    let text = |name: &str| printable(approval[name].as_str().unwrap_or_default());
    let until = approval["until"].as_str().map(|until| format!(", until {until}")).unwrap_or_default();
    let request = serde_json::to_string_pretty(&approval["request"]).unwrap_or_default();
    format!(
        "{}\nfor job {} since {}{until}\ndigest {}\nThis will be done:\n{}",
        text("title"),
        text("job_id"),
        text("since"),
        text("digest"),
        printable(&request)
    )
}

pub(super) async fn decide(global: &Global, args: Decision, yes: bool, output: &Output) -> Result<u8> {
    let id = args.id;
    let answer = match (&args.answer, &args.comment) {
        (Some(answer), _) => json_of("--answer", answer)?,
        (None, Some(comment)) => Json::from(&json!({ "comment": comment })),
        (None, None) => Json::from(&Value::Null),
    };
    let shown = match open(global, &args.said.at).await? {
        Door::There(server) => server.get(&format!("/v1/approvals/{id}"), &[]).await,
        Door::Here(engine) => engine.approval(&global.space()?, id).map(|approval| approval.to_json()),
    };
    let digest = match (args.digest, &shown) {
        (Some(digest), _) => digest,
        (None, Ok(shown)) => shown["digest"].as_str().and_then(Digest::parse).ok_or_else(|| {
            Error::new(Code::ServerUnreachable, "the server shows an approval without its digest, and not as Reprise does")
        })?,
        (None, Err(e)) => return Err(e.clone()),
    };
    // One that was decided already is shown no more; with its digest, the same decision is the same.
    if let Ok(shown) = &shown {
        output.say(asked(shown));
    }
    let what = if yes { "approve" } else { "reject" };
    let body = json!({"digest": digest, "answer": answer.value()});
    let (path, by) = (format!("/v1/approvals/{id}/{what}"), args.said.by.clone());
    let word = Word { job: id.job_id, at: &args.said.at, by: Some(&args.said.by), path, body, follow: false };
    say(global, word, output, |engine, space| async move { engine.decide(&space, id, yes, digest, by, answer).await.map(drop) }).await
}

pub(super) async fn calls(global: &Global, args: CallsList, output: &Output) -> Result<u8> {
    let limit = args.page.limit;
    let page = match open(global, &args.at).await? {
        Door::There(server) => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(args.page.cursor.map(|cursor| ("cursor", cursor)));
            query.extend(args.tool.map(|tool| ("tool", tool.to_string())));
            server.get("/v1/calls", &query).await?
        }
        Door::Here(engine) => {
            let space = global.space()?;
            let cursor = |text: &str| {
                let cursor = call_cursor(&space, args.tool.as_ref(), text);
                cursor.ok_or_else(|| Error::invalid("--cursor", format!("{text:?} is not a cursor that a page of this list gave")))
            };
            let after = args.page.cursor.as_deref().map(cursor).transpose()?;
            let calls = engine.external_calls(&space, args.tool.as_ref(), after.as_ref(), limit)?;
            let next = calls.last().filter(|_| calls.len() == limit).map(cursor_of);
            json!({"calls": calls.iter().map(call_row).collect::<Vec<_>>(), "next": next})
        }
    };
    let columns = [("call", "call_id"), ("tool", "tool"), ("since", "since"), ("claimed by", "claimed_by")];
    output.show(|| page.clone(), || page_in_words(&page, "calls", columns));
    Ok(exit::OK)
}

/// A page of a list: a table, and how to see more.
fn page_in_words(page: &Value, list: &str, columns: [(&str, &str); 4]) -> String {
    let rows = page[list].as_array().into_iter().flatten();
    let rows = rows.map(|row| columns.map(|(_, field)| row[field].as_str().unwrap_or_default().to_owned()));
    let more = page["next"].as_str().map(|next| format!("\nmore with --cursor {next}")).unwrap_or_default();
    format!("{}{more}", table(columns.map(|(title, _)| title), rows))
}

pub(super) async fn claim(global: &Global, args: CallClaim, output: &Output) -> Result<u8> {
    let call = match open(global, &args.said.at).await? {
        Door::There(server) => {
            let tools: Vec<String> = args.tools.iter().map(ToString::to_string).collect();
            let body = json!({"tools": tools, "lease_ms": args.lease});
            server.post("/v1/calls/claim", Some(&args.said.by), body).await?["call"].clone()
        }
        Door::Here(engine) => {
            let lease = args.lease.map(Duration::from_millis);
            let claimed = engine.claim_call(&global.space()?, &args.tools, &args.said.by, lease).await?;
            claimed.as_ref().map_or(Value::Null, Claimed::to_json)
        }
    };
    let at = args.said.at.url.as_deref().map(|url| format!(" --url {}", super::output::shell(url))).unwrap_or_default();
    output.show(|| json!({ "call": call }), || claimed_in_words(&call, &at));
    Ok(if call.is_null() { exit::NOT_FOUND } else { exit::OK })
}

fn claimed_in_words(call: &Value, at: &str) -> String {
    if call.is_null() {
        return "no call waits that nobody has claimed".to_owned();
    }
    let text = |name: &str| printable(call[name].as_str().unwrap_or_default());
    let seconds = call["lease_ms"].as_u64().unwrap_or_default() as f64 / 1000.0;
    let own = format!("{} --token {}", text("call_id"), text("token"));
    format!(
        "Call {} of {}, yours for {seconds} s\nkey {}, effect {}\ninput: {}\nWhen it is done, say one of:\n  reprise calls complete {own} --output JSON{at}\n  reprise calls fail {own} --message TEXT{at}\nUntil then: reprise calls extend {own}{at}",
        text("call_id"),
        text("tool"),
        text("key"),
        text("effect"),
        printable(&text_of(&call["input"])),
    )
}

pub(super) async fn complete(global: &Global, args: CallComplete, output: &Output) -> Result<u8> {
    let given = json_of("--output", &args.output)?;
    let body = json!({"token": args.own.token, "output": given.value()});
    answer(global, args.own, body, Ok(given), output).await
}

pub(super) async fn fail(global: &Global, args: CallFail, output: &Output) -> Result<u8> {
    let detail = args.detail.as_deref().map(|detail| json_of("--detail", detail)).transpose()?;
    let error = json!({"kind": args.kind.as_str(), "message": args.message, "detail": detail.as_ref().map(Json::value)});
    let body = json!({"token": args.own.token, "error": error});
    answer(global, args.own, body, Err(ToolError { kind: args.kind, message: args.message, detail }), output).await
}

async fn answer(global: &Global, own: OwnCall, body: Value, outcome: Outcome, output: &Output) -> Result<u8> {
    let OwnCall { id, token, at } = own;
    let word = Word { job: id.job_id, at: &at, by: None, path: format!("/v1/calls/{id}/result"), body, follow: false };
    say(global, word, output, |engine, space| async move { engine.answer_call(&space, id, &token, outcome).await }).await
}

pub(super) async fn extend(global: &Global, own: OwnCall, output: &Output) -> Result<u8> {
    let id = own.id;
    let lease_ms = match open(global, &own.at).await? {
        Door::There(server) => {
            let extended = server.post(&format!("/v1/calls/{id}/extend"), None, json!({"token": own.token})).await?;
            extended["lease_ms"].as_u64().unwrap_or_default()
        }
        Door::Here(engine) => {
            let lease = engine.extend_call(&global.space()?, id, &own.token).await?;
            u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
        }
    };
    output.show(|| json!({"call_id": id.to_string(), "lease_ms": lease_ms}), || format!("call {id} is yours for another {lease_ms} ms"));
    Ok(exit::OK)
}
