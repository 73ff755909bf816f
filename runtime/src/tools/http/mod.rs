//! The web tools: `http/get`, `http/put`, `http/delete` and `http/post`, each one request and its answer.
//!
//! Its job: check a request against the grants and the limits, send it with the call's key, and say what came of it.
//! It does not follow redirects (a 3xx is an answer), keeps no cookies, and reads no proxy from the environment.
//!
//! The rules that must stay true: nothing is sent that a grant does not cover; where a request that changes something
//! was sent and no answer came, the error is `timeout`, never `unavailable`; dropping a call closes its connection.

mod answer;
mod client;
pub(super) mod headers;
mod target;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::contract::{Confirmation, Effect, ErrorKind, Reconciliation, ToolError, ToolId};
use crate::limits;

use super::grants::{HttpGrant, Method};
use super::tool::Recorded;
use super::{Call, Grants, Info, Tool, input};
use target::Target;

/// Each of them.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::waiting(info(Method::Get), |call, input| perform(Method::Get, call, input)).confirmed_waiting(confirm),
        Tool::waiting(info(Method::Put), |call, input| perform(Method::Put, call, input)),
        Tool::waiting(info(Method::Delete), |call, input| perform(Method::Delete, call, input)),
        Tool::waiting(info(Method::Post), |call, input| perform(Method::Post, call, input))
            .with_effect(effect_of_post)
            .reconciled_waiting(reconcile),
    ]
}

fn info(method: Method) -> Info {
    let (name, description, effect, words) = match method {
        Method::Get => ("http/get", "Gets what is at a URL. Redirects are answers, not followed.", Effect::Read, "read from web servers"),
        Method::Put => ("http/put", "Puts a body at a URL, in place of what is there.", Effect::Idempotent, "put things on web servers"),
        Method::Delete => ("http/delete", "Deletes what is at a URL.", Effect::Idempotent, "delete things on web servers"),
        Method::Post => ("http/post", "Posts a body to a URL.", Effect::Once, "have web servers do something"),
    };
    Info {
        id: ToolId::parse(name).expect("two kebab-case words"),
        description,
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
        words,
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
    json!({ "type": "object", "required": ["url"], "additionalProperties": false, "properties": properties })
}

fn takes_body(method: Method) -> bool {
    matches!(method, Method::Put | Method::Post)
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
}

fn default_timeout() -> u64 {
    limits::HTTP_TIMEOUT_MS_DEFAULT
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// A request that a grant covers.
struct Request {
    method: Method,
    target: Target,
    headers: reqwest::header::HeaderMap,
    body: Option<Vec<u8>>,
    time: Duration,
    /// What a repeat would do; decides what an error means.
    effect: Effect,
}

impl Request {
    fn of(method: Method, call: &Call, value: &Value) -> Result<Request, ToolError> {
        let Input { url, headers, body, timeout_ms } = input(value)?;
        let target = Target::of(&url, method, &call.grants)?;
        let key_header = target.grant.key_header.as_deref();
        let mut headers = headers::checked(&headers, key_header)?;
        let body = body.map(|body| headers::write_body(body, &mut headers)).transpose()?;
        if method != Method::Get {
            headers::put_key(&mut headers, key_header, &call.key)?;
        }
        let effect = match method {
            Method::Get => Effect::Read,
            Method::Put | Method::Delete => Effect::Idempotent,
            Method::Post => posted(&target.grant),
        };
        Ok(Request { method, target, headers, body, time: Duration::from_millis(timeout_ms), effect })
    }
}

async fn perform(method: Method, call: Call, value: Value) -> Result<Value, ToolError> {
    let request = Request::of(method, &call, &value)?;
    if !call.has_time() {
        return Err(ToolError::new(ErrorKind::Unavailable, "no time was left to begin; nothing was sent".to_owned()));
    }
    let (line, effect) = (request.target.line(method), request.effect);
    let answered = client::send(request).await.map_err(|e| e.told(&line, effect))?;
    answered.outcome(&line, effect)
}

/// Where the grant names the header that carries the key, the other side performs a call once per key.
fn posted(grant: &HttpGrant) -> Effect {
    if grant.key_header.is_some() { Effect::Idempotent } else { Effect::Once }
}

fn effect_of_post(input: &Value, grants: &Grants) -> Effect {
    let target = input["url"].as_str().and_then(|url| Target::of(url, Method::Post, grants).ok());
    target.map_or(Effect::Once, |target| posted(&target.grant))
}

/// Asks where the grant says. 200: it happened, and the answer is what the post would have given. 404: it did not.
async fn reconcile(call: Call, value: Value) -> Reconciliation {
    match ask(&call, &value).await {
        Ok(reconciliation) => reconciliation,
        Err(e) => Reconciliation::Unknown(format!("the other side did not say what became of the call: {}", e.message)),
    }
}

async fn ask(call: &Call, value: &Value) -> Result<Reconciliation, ToolError> {
    let mut posted = Request::of(Method::Post, call, value)?;
    let grant = &posted.target.grant;
    let Some(url) = grant.reconcile_url(&call.key) else {
        return Ok(Reconciliation::Unknown(format!("the grant {:?} names no path to ask what became of a call", grant.name.as_str())));
    };
    // What lets the call in lets the question in; what speaks of its body does not belong here.
    posted.headers.remove(reqwest::header::CONTENT_TYPE);
    let target = posted.target.at(&url)?;
    let line = target.line(Method::Get);
    let request = Request { method: Method::Get, target, body: None, effect: Effect::Read, ..posted };
    let answered = client::send(request).await.map_err(|e| e.told(&line, Effect::Read))?;
    Ok(match answered.status {
        200 => Reconciliation::Happened((&answered.outcome(&line, Effect::Read)?).into()),
        404 => Reconciliation::DidNotHappen,
        status => Reconciliation::Unknown(format!("{line} answered {status}; 200 says that it happened, 404 that it did not")),
    })
}

/// Gets again: the same status and body.
async fn confirm(call: Call, recorded: Recorded) -> Confirmation {
    let Recorded { input, output } = recorded;
    let place = input["url"].as_str().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    match perform(Method::Get, call, input).await {
        Ok(now) if now["status"] == output["status"] && now["body"] == output["body"] => Confirmation::Holds,
        Ok(_) => Confirmation::Changed(format!("{place} answers something else by now")),
        Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Confirmation::Changed(e.message),
        Err(e) => Confirmation::Unknown(e.message),
    }
}
