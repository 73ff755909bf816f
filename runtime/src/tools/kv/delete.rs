//! `kv/delete`: takes a key and its value away.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Confirmation, Effect, ToolError, ToolId};
use crate::limits;

use super::{Call, Info, KEY, Kv, Recorded, input, unknown};

pub(super) fn info() -> Info {
    let properties = json!({
        "space": { "type": "string", "description": "The name of a kv grant." },
        "key": { "type": "string", "minLength": 1, "maxLength": limits::KV_KEY_BYTES_MAX, "description": KEY },
    });
    let schema = json!({ "type": "object", "required": ["space", "key"], "additionalProperties": false, "properties": properties });
    Info {
        id: ToolId::parse("kv/delete").expect("two kebab-case words"),
        description: "Deletes a key and its value. One that is not there is fine.".into(),
        input_schema: schema.clone(),
        output_schema: schema,
        effect: Effect::Idempotent,
        words: "delete keys and values".into(),
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
    kv.open(&call.grants, space)?.delete(key).await?;
    Ok(json!({ "space": space, "key": key }))
}

/// It is still not there.
pub(super) async fn confirm(kv: Kv, call: Call, recorded: Recorded) -> Confirmation {
    let there = input(&recorded.input)
        .and_then(|Input { space, key }| Ok((kv.open(&call.grants, space)?.exists(key)?, format!("{key:?} is in {space} again"))));
    match there {
        Ok((false, _)) => Confirmation::Holds,
        Ok((true, changed)) => Confirmation::Changed(changed),
        Err(e) => unknown(e),
    }
}
