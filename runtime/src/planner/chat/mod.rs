//! The planner that asks a model: says what a graph is and what it can be made of, reads the answer as a graph, and sends
//! what is wrong with it back once.
//!
//! A model's answer is input like any other: it is bounded, parsed and held against everything that a graph from a stranger is
//! held against. What it may do is what the operator granted, whatever it was talked into.

mod client;
mod patch;
mod prompt;

pub use patch::{PatchJudge, propose};

use serde_json::{Value, json};

use super::{Judge, Means, Planned, Wish, evidence, sha256};
use crate::compiler::graph::Graph;
use crate::config::ChatSettings;
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Digest;
use crate::json::Json;
use crate::limits;
use client::{Answer, Client};

pub(super) async fn plan(wish: Wish<'_>, means: &Means, settings: &ChatSettings, judge: Judge<'_>) -> Result<Planned> {
    let client = Client::new(settings)?;
    let mut messages = prompt::messages(wish, means);
    let prompt_sha256 = sha256(&Value::Array(messages.clone()).to_string());
    let mut heard = Heard::default();
    loop {
        let answer = client.ask(&messages).await?;
        heard.note(&answer);
        let refused = match read(&answer, wish, judge) {
            Ok(graph) => {
                let own = heard.evidence(settings, client.endpoint(), prompt_sha256);
                let evidence = evidence("chat", wish, &graph, own);
                return Ok(Planned { graph, input: wish.input.clone(), evidence });
            }
            Err(refused) => refused,
        };
        if refused.last || heard.rounds >= limits::PLANNER_ROUNDS_MAX {
            let own = heard.evidence(settings, client.endpoint(), prompt_sha256);
            let message = format!(
                "the planner made no graph that can be run, in {} of {} answers: {}",
                heard.rounds,
                limits::PLANNER_ROUNDS_MAX,
                refused.message
            );
            return Err(Error::new(Code::PlannerFailed, message).with_issues(refused.issues).with_details(json!({ "planner": own })));
        }
        messages.push(json!({"role": "assistant", "content": answer.content}));
        messages.push(prompt::repair(&refused.message, &refused.issues));
    }
}

/// What came so far.
#[derive(Default)]
struct Heard {
    rounds: u32,
    model: Option<String>,
    answer_sha256: Option<Digest>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Heard {
    fn note(&mut self, answer: &Answer) {
        let add = |sum: Option<u64>, more: Option<u64>| match (sum, more) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
        self.rounds += 1;
        self.model.clone_from(&answer.model);
        self.answer_sha256 = Some(sha256(&answer.content));
        self.prompt_tokens = add(self.prompt_tokens, answer.prompt_tokens);
        self.completion_tokens = add(self.completion_tokens, answer.completion_tokens);
    }

    fn evidence(&self, settings: &ChatSettings, endpoint: &str, prompt_sha256: Digest) -> Value {
        json!({
            "endpoint": endpoint, "requested_model": settings.model, "model": self.model, "rounds": self.rounds,
            "prompt_sha256": prompt_sha256, "answer_sha256": self.answer_sha256,
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
        })
    }
}

/// Why an answer is no graph that can be run.
struct Refused {
    message: String,
    issues: Vec<Issue>,
    /// Asking again would not help.
    last: bool,
}

fn read(answer: &Answer, wish: Wish<'_>, judge: Judge<'_>) -> Result<Graph, Refused> {
    let refused = |e: Error| {
        let issues = if e.issues.is_empty() { vec![Issue { path: String::new(), message: e.message.clone() }] } else { e.issues };
        Refused { message: e.message, issues, last: false }
    };
    if answer.cut_off {
        return Err(refused(Error::new(Code::InvalidGraph, "the answer was cut off before its end; write a shorter graph")));
    }
    let value = crate::json::parse(without_fence(&answer.content).as_bytes()).map_err(refused)?;
    if let (Some(why), None) = (value.get("cannot").and_then(Value::as_str), value.get("nodes")) {
        let why: String = why.chars().take(limits::PLANNER_REASON_CHARS_MAX).collect();
        return Err(Refused { message: format!("it says that it cannot: {why}"), issues: Vec::new(), last: true });
    }
    if Json::from(&value).as_str().len() > limits::JSON_BYTES_MAX {
        return Err(refused(Error::new(Code::TooLarge, format!("the graph has more than {} bytes", limits::JSON_BYTES_MAX))));
    }
    let graph = Graph::of(&value).map_err(refused)?;
    judge(&graph, wish.input).map_err(refused)?;
    Ok(graph)
}

/// Models like to put JSON between lines of backquotes, whatever they are told.
fn without_fence(content: &str) -> &str {
    let content = content.trim();
    let inner = content.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")).and_then(|rest| rest.split_once('\n'));
    inner.map_or(content, |(_, inner)| inner.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_between_backquotes_is_read_and_anything_else_is_left_as_it_is() {
        for (content, read) in
            [("{}", "{}"), (" {} \n", "{}"), ("```json\n{}\n```", "{}"), ("```\n{}```\n", "{}"), ("```{}", "```{}"), ("```", "```")]
        {
            assert_eq!(without_fence(content), read, "{content:?}");
        }
    }
}
