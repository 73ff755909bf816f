//! `/v1/runs`: what was recorded.

use axum::Json;
use axum::extract::State;

use super::caller::Asked;
use super::openapi::{self, Kind, field};
use super::playbooks::page_fields;
use super::route::{Gives, Route};
use crate::blocking;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::ids::RunId;
use crate::limits;
use crate::runs::view::RunsPage;
use crate::runs::{RunFilter, RunState};

pub(super) fn routes() -> Vec<Route> {
    let mut fields = page_fields();
    fields.push(field("status", openapi::words(RunState::NAMES), "Only runs that stand so."));
    fields.push(field("tool", Kind::Text, "Only runs with a step that calls this tool, named as it was recorded."));
    vec![
        Route::get("/v1/runs", list, "list_runs", "Recorded runs in the order of their ids.")
            .query(fields)
            .gives(200, "A page. It may be shorter than asked for and still not the last.", Gives::Json(openapi::of::<RunsPage>))
            .fails(&[Code::InvalidRequest]),
    ]
}

async fn list(State(engine): State<Engine>, Asked { space, mut query }: Asked) -> Result<Json<RunsPage>> {
    let after = query.parsed("cursor", "a cursor that a page gave as `next`", |text| RunId::parse(text).ok());
    let limit = query.limit();
    let state = query.parsed("status", "in_progress, success, failed or partial", RunState::parse);
    let tool = query.parsed("tool", &format!("a tool's name of 1 to {} characters", limits::TEXT_CHARS_MAX), |text| {
        (1..=limits::TEXT_CHARS_MAX).contains(&text.chars().count()).then(|| text.to_owned())
    });
    query.done()?;
    let filter = RunFilter { state, tool };
    blocking::run(move || Ok(Json(RunsPage::of(&space, engine.runs().page(&space, &filter, after.as_ref(), limit)?)))).await
}
