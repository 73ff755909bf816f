//! `kv/get`: the value of a key.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Confirmation, Effect, ErrorKind, ToolError, ToolId};
use crate::{json, limits};

use super::{Bucket, Call, Info, KEY, Kv, Recorded, input, unknown};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("kv/get").expect("two kebab-case words"),
        description: "Gets the value of a key. One that is not there is an answer, too.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["space", "key"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string", "description": "The name of a kv grant." },
                "key": { "type": "string", "minLength": 1, "maxLength": limits::KV_KEY_BYTES_MAX, "description": KEY },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["space", "key", "found", "value"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string" },
                "key": { "type": "string" },
                "found": { "type": "boolean" },
                "value": { "description": "The JSON value; null where nothing was found." },
            },
        }),
        effect: Effect::Read,
        words: "read keys and values".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    space: &'v str,
    key: &'v str,
}

pub(super) async fn perform(kv: Kv, call: Call, value: Value) -> Result<Value, ToolError> {
    let Input { space, key } = input(&value)?;
    let found = value_of(&kv.open(&call.grants, space)?, key)?;
    Ok(json!({ "space": space, "key": key, "found": found.is_some(), "value": found }))
}

/// What stands under a key, as JSON.
pub(super) fn value_of(bucket: &Bucket, key: &str) -> Result<Option<Value>, ToolError> {
    let Some(bytes) = bucket.get(key)? else { return Ok(None) };
    // The output stands around it, and must itself be JSON that is taken everywhere.
    let parsed = json::parse_within(&bytes, limits::JSON_DEPTH_MAX - 1);
    parsed.map(Some).map_err(|e| {
        let space = bucket.space();
        ToolError::new(ErrorKind::Conflict, format!("what stands under {key:?} in {space} is not JSON as it is taken here: {}", e.message))
    })
}

/// The same value, or none as before.
pub(super) async fn confirm(kv: Kv, call: Call, recorded: Recorded) -> Confirmation {
    match perform(kv, call, recorded.input).await {
        Ok(now) if now == recorded.output => Confirmation::Holds,
        Ok(now) => Confirmation::Changed(format!("{} in {} has another value by now", now["key"], now["space"])),
        Err(e) if e.kind == ErrorKind::Conflict => Confirmation::Changed(e.message),
        Err(e) => unknown(e),
    }
}
