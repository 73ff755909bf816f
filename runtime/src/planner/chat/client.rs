//! One request to `/chat/completions`, and its answer, bounded while it comes.
//!
//! It knows the form of completions and no graphs. The rule that must stay true: the key goes into the request's header and
//! nowhere else, not even where the endpoint repeats it.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::config::ChatSettings;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::outbound::{client, reason};

/// What the model said.
pub(super) struct Answer {
    pub(super) content: String,
    /// True where it ran out of tokens.
    pub(super) cut_off: bool,
    /// As the endpoint names it.
    pub(super) model: Option<String>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
}

/// An endpoint, with the key that was there when it was made.
pub(super) struct Client<'a> {
    settings: &'a ChatSettings,
    url: reqwest::Url,
    endpoint: String,
    key: Option<String>,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a ChatSettings) -> Result<Client<'a>> {
        let wrong = |why: String| Error::new(Code::PlannerUnavailable, format!("the planner's endpoint is not usable: {why}"));
        let url = reqwest::Url::parse(&format!("{}/chat/completions", settings.url)).map_err(|e| wrong(e.to_string()))?;
        let endpoint = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let key = match &settings.api_key_env {
            None => None,
            Some(name) => Some(key(name).map_err(|what| wrong(format!("the environment variable {name} {what}")))?),
        };
        Ok(Client { settings, url, endpoint, key })
    }

    /// `api.example.com`
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// `planner_unavailable`.
    pub(super) async fn ask(&self, messages: &[Value]) -> Result<Answer> {
        let time = self.settings.timeout;
        let answered = tokio::time::timeout(time, self.exchange(messages)).await;
        answered.unwrap_or_else(|_| Err(format!("did not answer within {} ms", time.as_millis()))).map_err(|why| self.unavailable(&why))
    }

    fn unavailable(&self, why: &str) -> Error {
        // A server that repeats what it was sent must not spread the key.
        let why = self.key.as_ref().map_or_else(|| why.to_owned(), |key| why.replace(key.as_str(), "…"));
        Error::new(Code::PlannerUnavailable, format!("the planner's endpoint {} {why}; nothing was started", self.endpoint))
    }

    async fn exchange(&self, messages: &[Value]) -> Result<Answer, String> {
        let body = json!({
            "model": self.settings.model, "messages": messages, "temperature": 0, "response_format": {"type": "json_object"},
        });
        let client = client(self.url.scheme()).map_err(|why| format!("cannot be reached from here: {why}"))?;
        let mut request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body.to_string());
        if let Some(key) = &self.key {
            let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| "cannot be sent the key: it is no header text")?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        let mut response = request.send().await.map_err(|e| format!("cannot be reached: {}", reason(e)))?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| format!("broke off its answer: {}", reason(e)))? {
            if bytes.len() + chunk.len() > limits::PLANNER_ANSWER_BYTES_MAX {
                return Err(format!("answered with more than {} bytes", limits::PLANNER_ANSWER_BYTES_MAX));
            }
            bytes.extend_from_slice(&chunk);
        }
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        if status != 200 {
            let said = value.as_ref().and_then(|value| value["error"]["message"].as_str().or(value["error"].as_str()));
            let said: String =
                said.unwrap_or_default().chars().filter(|c| !c.is_control()).take(limits::PLANNER_REASON_CHARS_MAX).collect();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            return Err(format!("answered with {status}{said}"));
        }
        value.as_ref().and_then(completion).ok_or_else(|| "answered with something that is no chat completion".to_owned())
    }
}

/// The first choice of a completion.
fn completion(value: &Value) -> Option<Answer> {
    let choice = value["choices"].get(0)?;
    let message = choice.get("message")?;
    // A refusal is an answer too: it is no graph.
    let content = message["content"].as_str().or(message["refusal"].as_str())?;
    let model = value["model"].as_str().map(|model| model.chars().take(limits::ID_CHARS_MAX).collect());
    Some(Answer {
        content: content.to_owned(),
        cut_off: choice["finish_reason"] == "length",
        model,
        prompt_tokens: value["usage"]["prompt_tokens"].as_u64(),
        completion_tokens: value["usage"]["completion_tokens"].as_u64(),
    })
}

fn key(name: &str) -> Result<String, &'static str> {
    let key = std::env::var(name).map_err(|e| match e {
        std::env::VarError::NotPresent => "is not set in this process",
        std::env::VarError::NotUnicode(_) => "is not text",
    })?;
    let key = key.trim().to_owned();
    if key.is_empty() { Err("is empty") } else { Ok(key) }
}
