//! `kv/set`: gives a key a value.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Confirmation, Effect, ErrorKind, ToolError, ToolId};
use crate::json::Json;
use crate::limits;

use super::{Call, Info, KEY, Kv, Recorded, get, input, unknown};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("kv/set").expect("two kebab-case words"),
        description: "Gives a key a value, in place of the one that it has.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["space", "key", "value"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string", "description": "The name of a kv grant." },
                "key": { "type": "string", "minLength": 1, "maxLength": limits::KV_KEY_BYTES_MAX, "description": KEY },
                "value": { "description": "Any JSON value." },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["space", "key", "bytes"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string" },
                "key": { "type": "string" },
                "bytes": { "type": "integer", "minimum": 1, "description": "The size of the value's JSON text." },
            },
        }),
        effect: Effect::Idempotent,
        words: "set and replace values".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'v> {
    space: &'v str,
    key: &'v str,
    value: Value,
}

pub(super) async fn perform(kv: Kv, call: Call, value: Value) -> Result<Value, ToolError> {
    let Input { space, key, value } = input(&value)?;
    let bucket = kv.open(&call.grants, space)?;
    let text = Json::from(&value);
    bucket.set(key, text.as_str().as_bytes().to_vec()).await?;
    // Not whether there was a value before: a repeat must answer as the first attempt would have.
    Ok(json!({ "space": space, "key": key, "bytes": text.as_str().len() }))
}

/// The value that was set.
pub(super) async fn confirm(kv: Kv, call: Call, recorded: Recorded) -> Confirmation {
    let now = input(&recorded.input).and_then(|Input { space, key, value }| {
        Ok((get::value_of(&kv.open(&call.grants, space)?, key)? == Some(value), format!("{key:?} in {space} has another value by now")))
    });
    match now {
        Ok((true, _)) => Confirmation::Holds,
        Ok((false, changed)) => Confirmation::Changed(changed),
        Err(e) if e.kind == ErrorKind::Conflict => Confirmation::Changed(e.message),
        Err(e) => unknown(e),
    }
}
