//! What the model is told. The text is `prompt.md`; the schema and the tools are put behind it.

use serde_json::{Value, json};

use crate::compiler::graph;
use crate::error::Issue;

use super::super::{Means, Offer, Wish};

/// Issues that are sent back; a model that made more of them begins anew anyway.
const ISSUES_SENT: usize = 40;

/// The two messages of the first round. The same wish and means give the same text.
pub(super) fn messages(wish: Wish<'_>, means: &Means) -> Vec<Value> {
    let tools: Vec<Value> = means.tools.iter().map(offered).collect();
    let system = format!(
        "{}\n## Schema of a graph\n\n{}\n\n## Tools\n\n{}\n\n## Granted to the job\n\n{}\n",
        include_str!("prompt.md"),
        graph::schema(),
        Value::Array(tools),
        Value::from(means.grants.clone()),
    );
    let user = json!({"goal": wish.goal, "context": wish.context.value(), "input": wish.input.value()});
    vec![json!({"role": "system", "content": system}), json!({"role": "user", "content": user.to_string()})]
}

fn offered(offer: &Offer) -> Value {
    json!({
        "tool": offer.id, "does": offer.description, "effect": offer.effect, "input": offer.input_schema, "output": offer.output_schema,
    })
}

/// Asks for a better one.
pub(super) fn repair(message: &str, issues: &[Issue]) -> Value {
    let issues = &issues[..issues.len().min(ISSUES_SENT)];
    let wrong = json!({"refused": message, "issues": issues});
    json!({"role": "user", "content": format!("Your graph was refused. Mend every issue and answer with the whole graph again.\n{wrong}")})
}
