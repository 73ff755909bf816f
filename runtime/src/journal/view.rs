//! Entries as people and programs outside see them.
//!
//! Its job: one JSON object and one line of text for each entry. Both are made anew each time and may gain fields;
//! what is stored is another form (`stored`) and does not follow them. Values that lie in blobs are named, not loaded.
//!
//! The rule: a line is one line. It holds text that guests and tools made, and goes to terminals.

use serde_json::{Map, Value, json};

use super::checked::Checked;
use super::control::Decision;
use super::entry::{Answer, Body, Entry, Failure, Recorded};
use super::waits::Wake;
use crate::checks::At;
use crate::clock;
use crate::contract::ToolError;
use crate::json::Json;
use crate::store::Payload;

/// Characters of a value that a line shows.
const VALUE_CHARS: usize = 72;

/// `{"seq", "at" (RFC 3339), "hash", "prev", "kind", ...}` and the fields of the kind. A value is in the field of its
/// name; one that lies in a blob is in `<name>_blob` as `{"digest", "bytes"}`.
#[must_use]
pub fn object(entry: &Entry) -> Value {
    let mut out = Map::new();
    out.insert("seq".to_owned(), entry.seq.into());
    out.insert("at".to_owned(), clock::rfc3339(entry.at_ms).into());
    out.insert("hash".to_owned(), entry.hash.to_string().into());
    out.insert("prev".to_owned(), entry.prev.to_string().into());
    out.insert("kind".to_owned(), entry.body.kind().into());
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    match &entry.body {
        Body::Created { playbook_id, version, component, input, input_digest, grants, engine, fuel, options, parent, origin } => {
            put("playbook_id", playbook_id.as_str().into());
            put("version", (*version).into());
            put("component", component.to_string().into());
            put_payload(&mut put, "input", input);
            put("input_digest", input_digest.to_string().into());
            put("grants", grants.iter().map(Json::value).collect());
            put("engine", engine.as_str().into());
            put("fuel", (*fuel).into());
            if !options.is_default() {
                put("options", plain(options));
            }
            if let Some(parent) = parent {
                put("parent", plain(parent));
            }
            if let Some(origin) = origin {
                put("origin", origin.value());
            }
        }
        Body::Called { call, step, tool, effect, key, input, input_digest } => {
            put("call", (*call).into());
            put_step(&mut put, step.as_deref());
            put("tool", tool.to_string().into());
            put("effect", effect.to_string().into());
            put("key", key.as_str().into());
            put_payload(&mut put, "input", input);
            put("input_digest", input_digest.to_string().into());
        }
        Body::Returned { call, answer } => {
            put("call", (*call).into());
            match answer {
                Answer::Output(output) => put_payload(&mut put, "output", output),
                Answer::Error(e) => {
                    put("error", tool_error(e));
                }
            }
        }
        Body::Recorded { step, value } => {
            put_step(&mut put, step.as_deref());
            match value {
                Recorded::Now(ms) => put("now", (*ms).into()),
                Recorded::Random(bits) => put("random", (*bits).into()),
            };
        }
        Body::Resumed { attempt } => {
            put("attempt", (*attempt).into());
        }
        Body::Uncertain { call, reason } => {
            put("call", (*call).into());
            put("reason", reason.as_str().into());
        }
        Body::Resolved(fields) => put_all(&mut put, fields),
        Body::Retrying(fields) => put_all(&mut put, fields),
        Body::Reattempted(fields) => put_all(&mut put, fields),
        Body::Waiting(fields) => put_all(&mut put, fields),
        Body::Woken(fields) => put_all(&mut put, fields),
        Body::Signalled(fields) => put_all(&mut put, fields),
        Body::ChildStarted(fields) => put_all(&mut put, fields),
        Body::ChildCancelled(fields) => put_all(&mut put, fields),
        Body::ChildEnded(fields) => put_all(&mut put, fields),
        Body::Paused(fields) => put_all(&mut put, fields),
        Body::Parked(fields) => put_all(&mut put, fields),
        Body::Continued(fields) => put_all(&mut put, fields),
        Body::Drifted(fields) => put_all(&mut put, fields),
        Body::Checked(fields) => put_all(&mut put, fields),
        Body::HandedOver(fields) => put_all(&mut put, fields),
        Body::CancelRequested(fields) => put_all(&mut put, fields),
        Body::Cancelled(fields) => put_all(&mut put, fields),
        Body::Completed { output, fuel_used } => {
            put_payload(&mut put, "output", output);
            put("fuel_used", (*fuel_used).into());
        }
        Body::Failed { failure: reason, fuel_used } => {
            put("failure", failure(reason));
            put("fuel_used", (*fuel_used).into());
        }
    }
    Value::Object(out)
}

/// `{"step"?, "message", "detail"?, "cause", "check"?}`.
#[must_use]
pub fn failure(failure: &Failure) -> Value {
    let mut out = Map::new();
    if let Some(step) = &failure.step {
        out.insert("step".to_owned(), step.as_str().into());
    }
    out.insert("message".to_owned(), failure.message.as_str().into());
    if let Some(detail) = &failure.detail {
        out.insert("detail".to_owned(), detail.value());
    }
    out.insert("cause".to_owned(), failure.cause.as_str().into());
    if let Some(check) = failure.failed_check() {
        out.insert("check".to_owned(), check.to_json());
    }
    Value::Object(out)
}

/// What happened, in one line without control characters.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let text = match &entry.body {
        Body::Created { playbook_id, version, input, .. } => format!("playbook {playbook_id} version {version} with {}", short(input)),
        Body::Called { call, step, tool, effect, input, .. } => {
            format!("call {call}{}: {tool} ({effect}) with {}", at_step(step.as_deref()), short(input))
        }
        Body::Returned { call, answer: Answer::Output(output) } => format!("call {call} gave {}", short(output)),
        Body::Returned { call, answer: Answer::Error(e) } => format!("call {call} failed, {}: {}", e.kind.as_str(), cut(&e.message)),
        Body::Recorded { step, value: Recorded::Now(ms) } => format!("time{}: {}", at_step(step.as_deref()), clock::rfc3339(*ms)),
        Body::Recorded { step, value: Recorded::Random(bits) } => format!("random number{}: {bits}", at_step(step.as_deref())),
        Body::Resumed { attempt } => format!("attempt {attempt} goes on from here"),
        Body::Uncertain { call, reason } => format!("call {call} may or may not have happened: {}", cut(reason)),
        Body::Resolved(resolved) => format!("call {}: {} says that {}", resolved.call, cut(&resolved.by), decision(&resolved.decision)),
        Body::Retrying(retrying) => format!(
            "call {} came to nothing, {}: {}; it is made again not before {}",
            retrying.call,
            retrying.error.kind.as_str(),
            cut(&retrying.error.message),
            clock::rfc3339(retrying.until_ms)
        ),
        Body::Reattempted(again) => {
            format!("begun again from call {} after failure {}: {}", again.from_call, again.tries, cut(&again.failure.message))
        }
        Body::Waiting(waiting) => {
            let until = waiting.until_ms.map(|ms| format!(", until {}", clock::rfc3339(ms))).unwrap_or_default();
            format!("waits for {}{}{until}", waiting.on.in_words(), at_step(waiting.step.as_deref()))
        }
        Body::Woken(woken) => format!("wait {} is over: {}", woken.wait, wake(&woken.by)),
        Body::Signalled(signal) => format!("signal {:?} with {}", signal.name, short(&signal.payload)),
        Body::ChildStarted(child) => format!(
            "child {} is job {}: {}",
            child.child,
            child.job_id,
            child.branch.as_ref().map_or_else(|| format!("playbook {}", child.playbook_id), |branch| format!("branch {branch:?}"))
        ),
        Body::ChildCancelled(child) => format!("child {} is to be cancelled", child.child),
        Body::ChildEnded(child) => format!("child {} {}", child.child, child.end.as_str()),
        Body::Paused(paused) => format!("paused by {}{}", cut(&paused.by), because(paused.reason.as_deref())),
        Body::Parked(parked) => format!("set aside, {}: {}", parked.reason.as_str(), cut(&parked.message)),
        Body::Continued(continued) => format!("goes on, says {}", cut(&continued.by)),
        Body::Drifted(drifted) => format!("the world is no longer as the answer to call {} says: {}", drifted.call, cut(&drifted.what)),
        Body::Checked(Checked { step, at, check, verdict, why, accepted }) => {
            let kind = check.value()["kind"].as_str().unwrap_or_default().to_owned();
            let all_the_same = if *accepted { ", and it goes on all the same" } else { "" };
            format!("check {kind} {}{}: {}, {}{all_the_same}", at.as_str(), at_step(step.as_deref()), verdict.as_str(), cut(why))
        }
        Body::HandedOver(handed) => {
            let which = if handed.at == Some(At::Before) { "before call" } else { "call" };
            format!(
                "a person is to say what becomes of it, {which} {}{}: {}",
                handed.call,
                at_step(handed.step.as_deref()),
                cut(&handed.why)
            )
        }
        Body::CancelRequested(cancel) => format!("to be cancelled, says {}{}", cut(&cancel.by), because(cancel.reason.as_deref())),
        Body::Cancelled(cancelled) => format!("cancelled, fuel {}", cancelled.fuel_used),
        Body::Completed { output, fuel_used } => format!("output {}, fuel {fuel_used}", short(output)),
        Body::Failed { failure, fuel_used } => {
            format!("{}{}: {}, fuel {fuel_used}", failure.cause.as_str(), at_step(failure.step.as_deref()), cut(&failure.message))
        }
    };
    visible(&text)
}

fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Happened(output) => format!("it happened and gave {}", short(output)),
        Decision::Retry => "it is to be made again".to_owned(),
        Decision::Fail(error) => format!("it failed: {}", cut(&error.message)),
    }
}

fn wake(by: &Wake) -> String {
    match by {
        Wake::Elapsed => "the time has passed".to_owned(),
        Wake::Expired => "the deadline passed first".to_owned(),
        Wake::Signal { seq } => format!("the signal of entry {seq} was taken"),
        Wake::Approved(verdict) => format!("approved by {}", cut(&verdict.by)),
        Wake::Rejected(verdict) => format!("rejected by {}: {}", cut(&verdict.by), cut(verdict.answer.as_str())),
        Wake::Child { child } => format!("child {child} has ended"),
        Wake::Abandoned => "whoever performed it fell silent".to_owned(),
        Wake::Cancelled => "the job is to be cancelled".to_owned(),
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", cut(reason))).unwrap_or_default()
}

/// The fields as they are stored: these kinds were made for it.
fn put_all(put: &mut impl FnMut(&str, Value) -> Option<Value>, fields: &impl serde::Serialize) {
    let Value::Object(fields) = plain(fields) else { return };
    for (name, value) in fields {
        put(&name, opened(value));
    }
}

/// A value stands as itself; one that lies in a blob keeps its name.
fn opened(value: Value) -> Value {
    match value {
        Value::Object(mut fields) if fields.len() == 1 && fields.contains_key("inline") => fields.remove("inline").unwrap_or_default(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, opened(value))).collect()),
        other => other,
    }
}

fn plain(fields: &impl serde::Serialize) -> Value {
    serde_json::to_value(fields).expect("an entry's fields print")
}

fn put_payload(put: &mut impl FnMut(&str, Value) -> Option<Value>, name: &str, payload: &Payload) {
    match payload {
        Payload::Inline(value) => put(name, value.value()),
        Payload::Blob { digest, bytes } => put(&format!("{name}_blob"), json!({ "digest": digest.to_string(), "bytes": bytes })),
    };
}

fn put_step(put: &mut impl FnMut(&str, Value) -> Option<Value>, step: Option<&str>) {
    if let Some(step) = step {
        put("step", step.into());
    }
}

fn tool_error(e: &ToolError) -> Value {
    let mut out = Map::new();
    out.insert("kind".to_owned(), e.kind.as_str().into());
    out.insert("message".to_owned(), e.message.as_str().into());
    if let Some(detail) = &e.detail {
        out.insert("detail".to_owned(), detail.value());
    }
    Value::Object(out)
}

fn at_step(step: Option<&str>) -> String {
    step.map(|step| format!(" at step {}", cut(step))).unwrap_or_default()
}

fn short(payload: &Payload) -> String {
    match payload {
        Payload::Inline(value) => cut(value.as_str()),
        Payload::Blob { digest, bytes } => format!("{bytes} bytes (blob {})", &digest.to_string()[..12]),
    }
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(VALUE_CHARS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// The text with everything escaped that a terminal would act on or not show; quotes and backslashes stay as they are.
fn visible(text: &str) -> String {
    const KEPT: [char; 3] = ['"', '\'', '\\'];
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(KEPT) {
        let plain = piece.trim_end_matches(KEPT);
        out.extend(plain.escape_debug());
        out.push_str(&piece[plain.len()..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::entry::Cause;
    use super::super::samples::*;
    use super::*;
    use crate::contract::{Effect, ErrorKind};
    use crate::ids::Digest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_entry_has_its_place_and_kind_and_one_line(body in any_body()) {
            let entry = &entries(vec![body])[0];
            let object = object(entry);
            prop_assert_eq!(&object["seq"], 1);
            prop_assert_eq!(&object["kind"], entry.body.kind());
            prop_assert_eq!(&object["hash"], &entry.hash.to_string());
            prop_assert_eq!(&object["prev"], &entry.prev.to_string());
            let line = line(entry);
            prop_assert!(!line.is_empty() && !line.chars().any(char::is_control), "{:?}", line);
        }
    }

    fn of(body: Body) -> (Value, String) {
        let entry = &entries(vec![body])[0];
        let mut object = object(entry);
        for common in ["seq", "at", "hash", "prev"] {
            assert!(object.as_object_mut().unwrap().remove(common).is_some(), "{common}");
        }
        (object, line(entry))
    }

    #[test]
    fn each_kind_shows_its_fields() {
        let digest = parsed(r#"{"path":"file-1"}"#).digest().to_string();
        let blob = Payload::Blob { digest: Digest::of(b"x"), bytes: 70_000 };
        let blob_name = Digest::of(b"x").to_string();
        let error = ToolError { kind: ErrorKind::NotFound, message: "no file a".to_owned(), detail: Some(parsed("null")) };
        let failure = Failure { step: None, message: "all gone".to_owned(), detail: Some(parsed("[1]")), cause: Cause::NotSupported };
        for (body, shown, words) in [
            (
                called(1, Effect::Once),
                json!({"kind": "called", "call": 1, "step": "s1", "tool": "fs/write", "effect": "once", "key": "key-1", "input": {"path": "file-1"}, "input_digest": digest}),
                r#"call 1 at step s1: fs/write (once) with {"path":"file-1"}"#.to_owned(),
            ),
            (returned(1), json!({"kind": "returned", "call": 1, "output": {"bytes": 1}}), r#"call 1 gave {"bytes":1}"#.to_owned()),
            (
                Body::Returned { call: 2, answer: Answer::Output(blob) },
                json!({"kind": "returned", "call": 2, "output_blob": {"digest": blob_name, "bytes": 70_000}}),
                format!("call 2 gave 70000 bytes (blob {})", &blob_name[..12]),
            ),
            (
                Body::Returned { call: 2, answer: Answer::Error(error) },
                json!({"kind": "returned", "call": 2, "error": {"kind": "not-found", "message": "no file a", "detail": null}}),
                "call 2 failed, not-found: no file a".to_owned(),
            ),
            (recorded(0), json!({"kind": "recorded", "now": 0}), "time: 1970-01-01T00:00:00.000Z".to_owned()),
            (
                Body::Recorded { step: Some("s".to_owned()), value: Recorded::Random(u64::MAX) },
                json!({"kind": "recorded", "step": "s", "random": u64::MAX}),
                "random number at step s: 18446744073709551615".to_owned(),
            ),
            (Body::Resumed { attempt: 2 }, json!({"kind": "resumed", "attempt": 2}), "attempt 2 goes on from here".to_owned()),
            (
                Body::Uncertain { call: 1, reason: "died".to_owned() },
                json!({"kind": "uncertain", "call": 1, "reason": "died"}),
                "call 1 may or may not have happened: died".to_owned(),
            ),
            (
                completed(),
                json!({"kind": "completed", "output": {"changed": 4}, "fuel_used": 21_000}),
                r#"output {"changed":4}, fuel 21000"#.to_owned(),
            ),
            (
                Body::Failed { failure, fuel_used: 3 },
                json!({"kind": "failed", "failure": {"message": "all gone", "detail": [1], "cause": "not_supported"}, "fuel_used": 3}),
                "not_supported: all gone, fuel 3".to_owned(),
            ),
        ] {
            assert_eq!(of(body), (shown, words));
        }
        let (first, words) = of(created());
        assert_eq!(
            (&first["playbook_id"], &first["input"], &first["grants"]),
            (&json!("prepare-release"), &json!({"version": "1.3.0"}), &json!([{"fs": {"dir": "tree"}}]))
        );
        assert_eq!(words, r#"playbook prepare-release version 1 with {"version":"1.3.0"}"#);
    }

    #[test]
    fn a_guest_cannot_write_to_the_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\n\u{7f}\u{202e}\u{200b}\u{2028}\"\\ü";
        let reason = Body::Uncertain { call: 1, reason: hostile.to_owned() };
        let (_, line) = of(reason);
        assert_eq!(line, r#"call 1 may or may not have happened: a\u{1b}[2J\u{9b}31m\r\n\u{7f}\u{202e}\u{200b}\u{2028}"\ü"#);
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let long = inline(&format!("{:?}", "ü".repeat(500)));
        let (_, line) = of(Body::Completed { output: long, fuel_used: 0 });
        assert!(line.ends_with("ü…, fuel 0") && line.chars().count() < 100, "{line}");
    }
}
