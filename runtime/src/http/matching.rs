//! `/v1/playbooks/match`: which playbooks apply to a task.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::Posted;
use super::openapi::{self, Kind, field, required};
use super::route::{Gives, Route, Takes};
use crate::engine::{Engine, MatchRequest, Matches};
use crate::error::{Code, Result};
use crate::limits;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/playbooks/match",
            matches,
            "match_playbooks",
            "Which playbooks apply to a task, with what is known filled in, and what they would touch. Nothing runs.",
        )
        .takes(Takes::Json(vec![
            required("goal", Kind::Text, "What is to be reached, in words."),
            field("context", Kind::Object, "What is known: names and values."),
            field("tools", Kind::Texts, "The tools that are at hand; what is here where it is left out."),
            field("include_shadow", Kind::Flag, "Playbooks that are shadows too, and not active ones alone."),
            field("limit", Kind::Index, "How many at the most; 5 where it is left out, at most 50."),
        ]))
        .gives(200, "The playbooks, best first.", Gives::Json(openapi::of::<MatchesView>))
        .fails(&[Code::InvalidRequest]),
    ]
}

async fn matches(State(engine): State<Engine>, posted: Posted) -> Result<Json<MatchesView>> {
    let mut fields = posted.fields()?;
    fields.require(&["goal"]);
    let goal = fields.text("goal", limits::TEXT_CHARS_MAX);
    let context = fields.json_object("context").map(|context| context.value());
    let tools = match fields.value("tools") {
        None => None,
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        Some(_) => {
            fields.issue("tools", "is not a list of texts".to_owned());
            None
        }
    };
    let include_shadow = fields.flag("include_shadow").unwrap_or(false);
    let limit = fields.index("limit").map_or(limits::MATCHES_DEFAULT, |n| n as usize);
    if limit > limits::MATCHES_MAX {
        fields.issue("limit", format!("is {limit}; at most {}", limits::MATCHES_MAX));
    }
    fields.refuse_unknown("a task");
    let goal = fields.build(goal)?;
    let context = context.and_then(|context| context.as_object().cloned()).unwrap_or_default();
    let request = MatchRequest { goal, context, tools, include_shadow, limit }.checked()?;
    let found = engine.match_playbooks(&posted.space, request).await?;
    Ok(Json(MatchesView { tenant_id: posted.space.tenant().to_owned(), scope: posted.space.scope().to_owned(), found }))
}

/// The playbooks that apply.
#[derive(Serialize, ToSchema)]
struct MatchesView {
    /// Whose they are.
    tenant_id: String,
    /// Whose they are.
    scope: String,
    #[serde(flatten)]
    found: Matches,
}
