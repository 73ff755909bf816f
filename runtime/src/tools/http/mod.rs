//! The web tools: `http/get`, `http/put`, `http/delete`, `http/post` and `http/patch`, each one request and its answer.
//!
//! Its job: check a request against the grants and the limits, send it with the call's key, and say what came of it.
//! It follows redirects only where it is asked to (otherwise a 3xx is an answer), keeps no cookies, and reads no proxy from the
//! environment. Whatever else in this program sends for a job goes through the same [`Gate`].
//!
//! The rules that must stay true: nothing is sent that a grant does not cover; where a request that changes something
//! was sent and no answer came, the error is `timeout`, never `unavailable`; dropping a call closes its connection.

pub(crate) mod gate;
pub(super) mod headers;
mod address;
mod answer;
mod client;
mod names;
mod secret;
mod target;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::contract::{Confirmation, Effect, ErrorKind, Reconciliation, ToolError, ToolId};
use crate::limits;

use super::grants::{HttpGrant, Method};
use super::tool::Recorded;
use super::{Call, Grants, Info, Tool, input};
pub(crate) use answer::Answered;
use gate::{Gate, Hop, Key, Request, of_keyed};
pub(super) use names::OfThisMachine;
pub use names::{LookUp, Names};
use target::Target;

/// Each of them, sending through this gate.
pub(super) fn tools(gate: &Gate) -> Vec<Tool> {
    let of = |method, name, description, effect, words| (method, info(method, name, description, effect, words));
    [
        of(
            Method::Get,
            "http/get",
            "Gets what is at a URL. Redirects are answers, unless asked to follow.",
            Effect::Read,
            "read from web servers",
        ),
        of(Method::Put, "http/put", "Puts a body at a URL, in place of what is there.", Effect::Idempotent, "put things on web servers"),
        of(Method::Delete, "http/delete", "Deletes what is at a URL.", Effect::Idempotent, "delete things on web servers"),
        of(Method::Post, "http/post", "Posts a body to a URL.", Effect::Once, "have web servers do something"),
        of(Method::Patch, "http/patch", "Changes a part of what is at a URL.", Effect::Once, "change parts of things on web servers"),
    ]
    .map(|(method, info)| tool(method, info, gate.clone()))
    .into()
}

fn tool(method: Method, info: Info, gate: Gate) -> Tool {
    let (effect, sends) = (info.effect, gate.clone());
    let tool = Tool::waiting(info, move |call, input| perform(sends.clone(), method, call, input));
    match effect {
        Effect::Once => tool
            .with_effect(move |input, grants| effect_of(method, input, grants))
            .reconciled_waiting(move |call, input| reconcile(gate.clone(), method, call, input)),
        Effect::Read => tool.confirmed_waiting(move |call, recorded| confirm(gate.clone(), method, call, recorded)),
        _ => tool,
    }
}

fn info(method: Method, name: &str, description: &'static str, effect: Effect, words: &'static str) -> Info {
    Info {
        id: ToolId::parse(name).expect("two kebab-case words"),
        description: description.into(),
        input_schema: input_schema(method),
        output_schema: json!({
            "type": "object",
            "required": ["status", "headers", "body"],
            "additionalProperties": false,
            "properties": {
                "status": { "type": "integer", "minimum": 200, "maximum": 399 },
                "headers": {
                    "type": "object",
                    "description": "Those of use to a caller, in lower case.",
                    "additionalProperties": { "type": "string" },
                },
                "body": { "description": "A JSON value where the content type says so, null where it is empty, a string otherwise." },
            },
        }),
        effect,
        words: words.into(),
        warning: None,
    }
}

fn input_schema(method: Method) -> Value {
    let mut properties = json!({
        "url": { "type": "string", "description": "http or https; a grant must cover it." },
        "headers": {
            "type": "object",
            "maxProperties": limits::HTTP_HEADERS_MAX,
            "additionalProperties": { "type": "string" },
        },
        "timeout_ms": {
            "type": "integer",
            "minimum": 1,
            "maximum": limits::HTTP_TIMEOUT_MS_MAX,
            "default": limits::HTTP_TIMEOUT_MS_DEFAULT,
            "description": "For the whole call.",
        },
    });
    if takes_body(method) {
        properties["body"] =
            json!({ "description": "Sent as JSON; a string is sent as it is where the content-type header is not one of JSON." });
    }
    if method.looks() {
        properties["redirects"] = json!({
            "type": "integer",
            "minimum": 0,
            "maximum": limits::HTTP_REDIRECTS_MAX,
            "default": 0,
            "description": "How many redirects are followed. A grant must cover each place; headers go no further than the first origin.",
        });
    }
    json!({ "type": "object", "required": ["url"], "additionalProperties": false, "properties": properties })
}

fn takes_body(method: Method) -> bool {
    matches!(method, Method::Put | Method::Post | Method::Patch)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    url: String,
    #[serde(default)]
    headers: Map<String, Value>,
    /// Absent is not the same as null, which is a body.
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    #[serde(default = "default_timeout")]
    timeout_ms: u64,
    #[serde(default)]
    redirects: u32,
}

fn default_timeout() -> u64 {
    limits::HTTP_TIMEOUT_MS_DEFAULT
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// The request that a call asks for.
fn request(method: Method, key: &str, value: &Value) -> Result<Request, ToolError> {
    let Input { url, headers, body, timeout_ms, redirects } = input(value)?;
    let mut headers = headers::named(&headers)?;
    let body = body.map(|body| headers::write_body(body, &mut headers)).transpose()?;
    Ok(Request { method, url, headers, body, time: Duration::from_millis(timeout_ms), redirects, key: Key::OfCall(key.to_owned()) })
}

async fn perform(gate: Gate, method: Method, call: Call, value: Value) -> Result<Value, ToolError> {
    let request = request(method, &call.key, &value)?;
    if !call.has_time() {
        return Err(ToolError::new(ErrorKind::Unavailable, "no time was left to begin; nothing was sent".to_owned()));
    }
    gate.send(request, &call.grants).await?.outcome()
}

fn effect_of(method: Method, input: &Value, grants: &Grants) -> Effect {
    let target = input["url"].as_str().and_then(|url| Target::of(url, method, grants).ok());
    target.map_or(Effect::Once, |target| of_keyed(&target.grant))
}

/// Asks where the grant says. 200: it happened, and the answer is what the call would have given. 404: it did not.
async fn reconcile(gate: Gate, method: Method, call: Call, value: Value) -> Reconciliation {
    match ask(&gate, method, &call, &value).await {
        Ok(reconciliation) => reconciliation,
        Err(e) => Reconciliation::Unknown(format!("the other side did not say what became of the call: {}", e.message)),
    }
}

async fn ask(gate: &Gate, method: Method, call: &Call, value: &Value) -> Result<Reconciliation, ToolError> {
    let sent = Hop::first(request(method, &call.key, value)?, &call.grants)?;
    let Some(url) = sent.grant().reconcile_url(&call.key) else {
        let name = sent.grant().name.as_str();
        return Ok(Reconciliation::Unknown(format!("the grant {name:?} names no path to ask what became of a call")));
    };
    let question = sent.question(&url)?;
    let line = question.line();
    let answered = gate.pass(question).await?;
    Ok(match answered.status {
        200 => Reconciliation::Happened((&answered.outcome()?).into()),
        404 => Reconciliation::DidNotHappen,
        status => Reconciliation::Unknown(format!("{line} answered {status}; 200 says that it happened, 404 that it did not")),
    })
}

/// Asks again: the same status and body.
async fn confirm(gate: Gate, method: Method, call: Call, recorded: Recorded) -> Confirmation {
    let Recorded { input, output } = recorded;
    let place = input["url"].as_str().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    match perform(gate, method, call, input).await {
        Ok(now) if now["status"] == output["status"] && now["body"] == output["body"] => Confirmation::Holds,
        Ok(_) => Confirmation::Changed(format!("{place} answers something else by now")),
        Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Confirmation::Changed(e.message),
        Err(e) => Confirmation::Unknown(e.message),
    }
}
