//! `kv/list`: the keys of a space, a page at a time.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::{Confirmation, Effect, ToolError, ToolId};
use crate::{blocking, limits};

use super::{Call, Info, Kv, Recorded, input, unknown};

pub(super) fn info() -> Info {
    Info {
        id: ToolId::parse("kv/list").expect("two kebab-case words"),
        description: "Lists the keys of a space, in the order of their bytes.".into(),
        input_schema: json!({
            "type": "object",
            "required": ["space"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string", "description": "The name of a kv grant." },
                "prefix": { "type": "string", "maxLength": limits::KV_KEY_BYTES_MAX, "description": "Only keys that begin so." },
                "after": { "type": "string", "maxLength": limits::KV_KEY_BYTES_MAX, "description": "Only keys after this one." },
                "limit": { "type": "integer", "minimum": 1, "maximum": limits::KV_LIST_MAX, "default": limits::KV_LIST_MAX },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["space", "keys", "more"],
            "additionalProperties": false,
            "properties": {
                "space": { "type": "string" },
                "keys": { "type": "array", "items": { "type": "string" }, "maxItems": limits::KV_LIST_MAX },
                "more": { "type": "boolean", "description": "Whether there are keys after the last one." },
            },
        }),
        effect: Effect::Read,
        words: "list keys".into(),
        warning: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    space: String,
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    #[serde(default = "all")]
    limit: usize,
}

fn all() -> usize {
    limits::KV_LIST_MAX
}

pub(super) async fn perform(kv: Kv, call: Call, value: Value) -> Result<Value, ToolError> {
    let Input { space, prefix, after, limit } = input(&value)?;
    let bucket = kv.open(&call.grants, &space)?;
    let page = blocking::run(move || bucket.list(&prefix, after.as_deref(), limit)).await?;
    Ok(json!({ "space": space, "keys": page.keys, "more": page.more }))
}

/// The same keys.
pub(super) async fn confirm(kv: Kv, call: Call, recorded: Recorded) -> Confirmation {
    match perform(kv, call, recorded.input).await {
        Ok(now) if now == recorded.output => Confirmation::Holds,
        Ok(now) => Confirmation::Changed(format!("{} holds other keys by now", now["space"])),
        Err(e) => unknown(e),
    }
}
