//! A server, as the commands speak to it: the same requests as anybody's over HTTP.
//!
//! A data directory that a server has open cannot be opened here, so that what is to be said to its jobs is said to the server.
//! It does not know what the requests mean.

use std::path::Path;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::output::shell;
use crate::engine::operator_token;
use crate::error::{Code, Error, Issue, Result};
use crate::ids::Space;
use crate::limits;
use crate::outbound::reason;

/// A running server.
pub(super) struct Server {
    client: Client,
    base: Url,
    space: Space,
    /// What shows that an operator asks.
    token: Option<Token>,
}

/// The operator's token, and where it was found.
pub(super) struct Token {
    text: Zeroizing<String>,
    found: String,
}

/// The variable that holds the operator's token where the data directory is not at hand.
const TOKEN_VARIABLE: &str = "REPRISE_OPERATOR_TOKEN";

impl Token {
    /// From the environment, or from the data directory where that can be read.
    ///
    /// # Errors
    /// `invalid_configuration` where the file in the data directory is no secret any more.
    pub(super) fn find(data: &Path) -> Result<Option<Token>> {
        if let Ok(text) = std::env::var(TOKEN_VARIABLE) {
            return Ok(Some(Token { text: text.into(), found: TOKEN_VARIABLE.to_owned() }));
        }
        match operator_token(data) {
            Ok(file) => Ok(Some(Token { text: file.hex(), found: file.path().display().to_string() })),
            Err(e) if matches!(e.code, Code::FileNotFound | Code::StoreUnavailable) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Server {
    /// # Errors
    /// `invalid_request` where `url` is not that of a server.
    pub(super) fn at(url: &str, space: Space) -> Result<Server> {
        let base = address(url)?;
        let client = Client::builder().no_proxy().timeout(limits::HTTP_REQUEST_TIME_MAX).build();
        let client = client.map_err(|e| Error::new(Code::InternalError, format!("the HTTP client: {e}")))?;
        Ok(Server { client, base, space, token: None })
    }

    /// The same, asked by an operator.
    pub(super) fn asked_with(self, token: Option<Token>) -> Server {
        Server { token, ..self }
    }

    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let mut url = self.url(path);
        url.query_pairs_mut().append_pair("tenant_id", self.space.tenant()).append_pair("scope", self.space.scope()).extend_pairs(query);
        self.answer(self.client.get(url)).await
    }

    /// Puts these fields.
    ///
    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.client.put(self.url(path)).header(CONTENT_TYPE, "application/json").body(body.to_string())).await
    }

    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn delete(&self, path: &str) -> Result<Value> {
        self.answer(self.client.delete(self.url(path))).await
    }

    /// Posts these fields, without those that are null, for the space and in the name of `by`.
    ///
    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn post(&self, path: &str, by: Option<&str>, body: Value) -> Result<Value> {
        let fields = body.as_object().cloned().unwrap_or_default();
        let mut fields: Map<String, Value> =
            fields.into_iter().filter(|(name, value)| !value.is_null() || KEPT.contains(&name.as_str())).collect();
        fields.insert("tenant_id".to_owned(), self.space.tenant().into());
        fields.insert("scope".to_owned(), self.space.scope().into());
        if let Some(by) = by {
            fields.insert("actor".to_owned(), by.into());
        }
        let body = Value::Object(fields).to_string();
        self.answer(self.client.post(self.url(path)).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    /// Posts a component.
    ///
    /// # Errors
    /// `server_unreachable`, what the server answers with.
    pub(super) async fn post_component(&self, path: &str, query: &[(&str, String)], bytes: Vec<u8>) -> Result<Value> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.answer(self.client.post(url).header(CONTENT_TYPE, "application/wasm").body(bytes)).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        url
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.text.as_str()),
            None => request,
        };
        let response = request.send().await.map_err(|e| self.unreachable(&reason(e)))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&reason(e)))?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() && body.is_object() {
            return Ok(body);
        }
        let refused =
            refusal(&body).unwrap_or_else(|| self.unreachable(&format!("it answers with status {status}, and not as Reprise does")));
        Err(self.with_where_the_token_is(refused))
    }

    fn with_where_the_token_is(&self, e: Error) -> Error {
        let hint = match (e.code, &self.token) {
            (Code::OperatorTokenMissing, _) => format!("set {TOKEN_VARIABLE} to it, or name the server's data directory with --data"),
            (Code::OperatorTokenWrong, Some(token)) => {
                format!("what was sent is from {}; set {TOKEN_VARIABLE}, or name the server's data directory with --data", token.found)
            }
            _ => return e,
        };
        Error { message: format!("{}; {hint}", e.message), ..e }
    }

    fn unreachable(&self, why: &str) -> Error {
        unreachable(&self.base, why)
    }
}

/// Null is a value of its own here, and not the same as being left out.
const KEPT: [&str; 3] = ["payload", "output", "answer"];

/// # Errors
/// `invalid_request` where `url` is not that of a server.
pub(super) fn address(url: &str) -> Result<Url> {
    let right = "a server's address, such as http://127.0.0.1:7480";
    let wrong = |why: String| Error::invalid("--url", format!("{url:?} is not {right}: {why}"));
    let address = Url::parse(url).map_err(|e| wrong(e.to_string()))?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(wrong("it begins with neither http:// nor https://".to_owned()));
    }
    Ok(address)
}

/// A server's refusal, with each place that is wrong; none where the body is not one.
pub(super) fn refusal(body: &Value) -> Option<Error> {
    let code = Code::ALL.iter().copied().find(|code| body["error"] == code.as_str())?;
    let issue = |issue: &Value| Issue {
        path: issue["path"].as_str().unwrap_or_default().to_owned(),
        message: issue["message"].as_str().unwrap_or_default().to_owned(),
    };
    let issues = body["issues"].as_array().into_iter().flatten().map(issue).collect();
    let error = Error::new(code, body["message"].as_str().unwrap_or_default()).with_issues(issues);
    Some(if body["details"].is_object() { error.with_details(body["details"].clone()) } else { error })
}

pub(super) fn unreachable(url: &Url, why: &str) -> Error {
    let server = url.origin().ascii_serialization();
    Error::new(Code::ServerUnreachable, format!("the server {server} does not answer: {why}; is it running? `reprise serve` starts one"))
}

/// A directory in use is most often a server's, whose note says where it listens: ask there.
pub(super) fn served(e: Error) -> Error {
    if e.code != Code::DataDirInUse {
        return e;
    }
    let note = e.details.as_ref().and_then(|details| details["note"].as_str()).unwrap_or_default();
    let url = note.split([' ', ',']).find(|word| word.starts_with("http://")).map_or_else(|| "http://127.0.0.1:7480".to_owned(), shell);
    Error { message: format!("{}; where a server has it, add: --url {url}", e.message), ..e }
}
