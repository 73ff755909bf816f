//! Asks a model for the patch that mends a playbook.
//!
//! What it is told is data; what it answers is a patch like any other, bounded, parsed and put on before anybody sees it, and put
//! into force by nobody but a review.

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::{Heard, without_fence};
use crate::config::ChatSettings;
use crate::error::{Code, Error, Issue, Result};
use crate::json::Json;
use crate::limits;
use crate::planner::sha256;

/// Whether a patch can be put on; the issues of its error say why not.
pub type PatchJudge<'a> = &'a (dyn Fn(&Value) -> Result<()> + Send + Sync);

/// A patch that `judge` accepts, and where it came from.
///
/// # Errors
/// `planner_failed`, `planner_unavailable`.
pub async fn propose(told: &Value, settings: &ChatSettings, judge: PatchJudge<'_>) -> Result<(Value, Json)> {
    let client = Client::new(settings)?;
    let mut messages =
        vec![json!({"role": "system", "content": include_str!("patch.md")}), json!({"role": "user", "content": told.to_string()})];
    let prompt_sha256 = sha256(&Value::Array(messages.clone()).to_string());
    let mut heard = Heard::default();
    loop {
        let answer = client.ask(&messages).await?;
        heard.note(&answer);
        let evidence = || heard.evidence(settings, client.endpoint(), prompt_sha256);
        let (message, issues, last) = match read(&answer, judge) {
            Ok(patch) => {
                let mut evidence = evidence();
                evidence["kind"] = "chat".into();
                return Ok((patch, Json::from(&evidence)));
            }
            Err(refused) => refused,
        };
        if last || heard.rounds >= limits::PLANNER_ROUNDS_MAX {
            let said = format!(
                "the planner made no patch that can be put on, in {} of {} answers: {message}",
                heard.rounds,
                limits::PLANNER_ROUNDS_MAX
            );
            return Err(Error::new(Code::PlannerFailed, said).with_issues(issues).with_details(json!({"planner": evidence()})));
        }
        let wrong = json!({"refused": message, "issues": issues});
        messages.push(json!({"role": "assistant", "content": answer.content}));
        messages.push(json!({"role": "user", "content": format!("Your patch was refused. Mend every issue and answer with the whole patch again.\n{wrong}")}));
    }
}

/// The patch, or what is wrong with it and whether asking again would not help.
fn read(answer: &Answer, judge: PatchJudge<'_>) -> Result<Value, (String, Vec<Issue>, bool)> {
    let refused = |e: Error| (e.message, e.issues, false);
    if answer.cut_off {
        return Err(("the answer was cut off before its end; write a shorter patch".to_owned(), Vec::new(), false));
    }
    let value = crate::json::parse(without_fence(&answer.content).as_bytes()).map_err(refused)?;
    if let Some(why) = value.get("cannot").and_then(Value::as_str) {
        let why: String = why.chars().take(limits::PLANNER_REASON_CHARS_MAX).collect();
        return Err((format!("it says that it cannot: {why}"), Vec::new(), true));
    }
    judge(&value).map_err(refused)?;
    Ok(value)
}
