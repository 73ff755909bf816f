//! Tools as a user writes them: plain functions on the host, and what the attribute makes of them.

#![cfg(feature = "tool")]

use reprise_guest::testing::call;
use reprise_guest::{Effect, ErrorKind, JsonSchema, Reconciliation, Tool as _, ToolError, tool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Refund {
    order: u64,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema, Debug, PartialEq)]
struct Receipt {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Pays an order back.
#[tool(name = "payments/refund", effect = once, reconcile = refunded)]
fn refund(input: Refund, key: &str) -> Result<Receipt, ToolError> {
    if input.order == 0 {
        return Err(ToolError { detail: Some(json!({"order": 0})), ..ToolError::new(ErrorKind::NotFound, "there is no order 0") });
    }
    Ok(Receipt { id: format!("{}-{key}", input.order), reason: input.reason })
}

fn refunded(input: Refund, key: &str) -> Reconciliation<Receipt> {
    match input.order {
        0 => Reconciliation::DidNotHappen,
        1 => Reconciliation::Unknown,
        order => Reconciliation::Happened(Receipt { id: format!("{order}-{key}"), reason: input.reason }),
    }
}

/// Doubles.
#[tool(name = "payments/double", effect = pure)]
fn double(input: u64) -> Result<u64, ToolError> {
    Ok(input * 2)
}

reprise_guest::export_tools!(refund, double);

#[test]
fn a_tool_is_still_a_function() {
    assert_eq!(double(2), Ok(4));
    assert_eq!(refund(Refund { order: 7, reason: None }, "k").unwrap(), Receipt { id: "7-k".to_owned(), reason: None });
}

#[test]
fn json_goes_in_and_out() {
    assert_eq!(call::<refund>("k", &json!({"order": 7, "reason": "broken"})), Ok(json!({"id": "7-k", "reason": "broken"})));
    assert_eq!(call::<double>("k", &json!(u64::from(u32::MAX))), Ok(json!(8_589_934_590_u64)));
    for (input, place) in [(json!({"order": "7"}), "string"), (json!({}), "`order`"), (json!([]), "Refund"), (json!(null), "null")] {
        let error = call::<refund>("k", &input).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{input}");
        assert!(error.message.contains(place), "{input}: {error}");
    }
    let error = call::<refund>("k", &json!({"order": 0})).unwrap_err();
    assert_eq!((error.kind, error.detail), (ErrorKind::NotFound, Some(json!({"order": 0}))));
}

#[test]
fn it_says_what_became_of_a_call() {
    let asked = |order: u64| refund::reconcile("k", &json!({"order": order}).to_string());
    assert_eq!(asked(7), Reconciliation::Happened(r#"{"id":"7-k"}"#.to_owned()));
    assert_eq!((asked(0), asked(1)), (Reconciliation::DidNotHappen, Reconciliation::Unknown));
    assert_eq!(refund::reconcile("k", "[]"), Reconciliation::DidNotHappen);
    assert_eq!(double::reconcile("k", "2"), Reconciliation::Unknown);
}

#[test]
fn it_is_listed_with_its_schemas() {
    let told = refund::describe();
    assert_eq!((told.name, told.description, told.effect), ("payments/refund", "Pays an order back.", Effect::Once));
    let schema = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (input, output) = (schema(&told.input_schema), schema(&told.output_schema));
    assert_eq!(input["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
    assert_eq!((&input["type"], &input["required"]), (&json!("object"), &json!(["order"])));
    assert_eq!((&output["type"], &output["required"]), (&json!("object"), &json!(["id"])));
    assert_eq!(double::describe().effect, Effect::Pure);
}
