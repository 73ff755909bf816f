//! Whose a request is, and what its URL says.
//!
//! A request with a JSON body says whose it is there; any other one says so in its query. It checks names and
//! shapes and reports every wrong place of the query at once; it knows no route.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use crate::error::{Code, Error, Issue, Result};
use crate::ids::{JobId, PlaybookId, SecretName, Space};
use crate::jobs::{ApprovalId, CallId};
use crate::journal::Resolved;
use crate::lifecycle::BY_POLICY;
use crate::tools::grants::GrantName;
use crate::{fields, limits};

/// Tenant, scope and actor of a body.
pub(super) fn of_body(fields: &Map<String, Value>) -> Result<(Space, Option<String>)> {
    let text = |name: &str, code: Code| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Error::new(code, format!("{name} is not a text"))),
    };
    let space = Space::parse(text("tenant_id", Code::InvalidTenantId)?, text("scope", Code::InvalidScope)?)?;
    let actor = match text("actor", Code::InvalidRequest) {
        Ok(actor) => actor.map(checked_actor).transpose()?,
        Err(e) => return Err(Error::invalid("/actor", e.message)),
    };
    Ok((space, actor))
}

fn checked_actor(actor: &str) -> Result<String> {
    let n = actor.chars().count();
    if n == 0 || n > limits::ID_CHARS_MAX {
        return Err(Error::invalid("/actor", format!("has {n} characters; an actor has 1 to {}", limits::ID_CHARS_MAX)));
    }
    for (name, who) in [(BY_POLICY, "the policy"), (Resolved::BY_RECONCILING, "a tool that knows what became of its call")] {
        if actor.trim().eq_ignore_ascii_case(name) {
            return Err(Error::invalid("/actor", format!("{name:?} is the name under which {who} itself acts; take another one")));
        }
    }
    Ok(actor.to_owned())
}

/// The query of a request, and whose it is.
pub(super) struct Asked {
    pub space: Space,
    pub query: Query,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut query = Query::of(parts)?;
        let (tenant, scope) = (query.text("tenant_id"), query.text("scope"));
        let space = Space::parse(tenant.as_deref(), scope.as_deref())?;
        Ok(Asked { space, query })
    }
}

/// A query while it is being read. A name that nobody asks for is an issue, and so is one that stands twice.
pub(super) struct Query {
    given: BTreeMap<String, String>,
    asked: Vec<&'static str>,
    issues: Vec<Issue>,
}

impl Query {
    fn of(parts: &Parts) -> Result<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|e| Error::invalid("?", format!("the query does not read as name=value&...: {e}")))?.0;
        let mut query = Query { given: BTreeMap::new(), asked: Vec::new(), issues: Vec::new() };
        for (name, value) in pairs {
            if query.given.insert(name.clone(), value).is_some() {
                query.issue(&name, "stands twice".to_owned());
            }
        }
        Ok(query)
    }

    /// The value of `name`.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.given.get(name).cloned()
    }

    /// The value of `name` as `parse` reads it; `right` says what it takes.
    pub(super) fn parsed<T>(&mut self, name: &'static str, right: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            let shown: String = text.chars().take(40).collect();
            self.issue(name, format!("{shown:?} is not {right}"));
        }
        value
    }

    /// A whole number within `range`.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let right = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, &right, |text| text.parse().ok().filter(|n| range.contains(n)))
    }

    /// `limit`: rows on a page.
    pub(super) fn limit(&mut self) -> usize {
        let rows = self.number("limit", 1..=limits::PAGE_ROWS_MAX as u64);
        rows.and_then(|n| usize::try_from(n).ok()).unwrap_or(limits::PAGE_ROWS_DEFAULT)
    }

    fn issue(&mut self, name: &str, message: String) {
        self.issues.push(Issue { path: format!("?{name}"), message });
    }

    /// # Errors
    /// `invalid_request` with every name that is wrong or unknown.
    pub(super) fn done(mut self) -> Result<()> {
        let unknown: Vec<String> = self.given.keys().filter(|name| !self.asked.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            self.issue(&name, format!("is not known here; this route takes {}", self.asked.join(", ")));
        }
        if self.issues.is_empty() { Ok(()) } else { Err(fields::refusal(Code::InvalidRequest, self.issues)) }
    }
}

/// The playbook that the path names.
pub(super) struct OfPlaybook(pub PlaybookId);

/// The version that the path names.
pub(super) struct OfVersion(pub PlaybookId, pub u32);

/// The grant that the path names.
pub(super) struct OfGrant(pub GrantName);

/// The secret that the path names.
pub(super) struct OfSecret(pub SecretName);

/// The job that the path names.
pub(super) struct OfJob(pub JobId);

/// The approval that the path names.
pub(super) struct OfApproval(pub ApprovalId);

/// The external call that the path names.
pub(super) struct OfCall(pub CallId);

impl<S: Sync + Send> FromRequestParts<S> for OfPlaybook {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        PlaybookId::parse(&named(parts, state, "id").await?).map(OfPlaybook)
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfVersion {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let id = PlaybookId::parse(&named(parts, state, "id").await?)?;
        let text = named(parts, state, "version").await?;
        match text.parse::<u32>().ok().filter(|n| *n > 0) {
            Some(version) => Ok(OfVersion(id, version)),
            None => Err(Error::invalid("/version", format!("{text:?} is not a version; versions are numbered 1, 2, 3, ..."))),
        }
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfGrant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let name = named(parts, state, "name").await?;
        GrantName::parse(&name).map(OfGrant).map_err(|e| Error::invalid("/name", e.message))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfSecret {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        SecretName::parse(&named(parts, state, "name").await?).map(OfSecret)
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfJob {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        JobId::parse(&named(parts, state, "id").await?).map(OfJob)
    }
}

/// The job, and the entry of its journal, that the path names.
pub(super) struct OfEntry(pub JobId, pub u64);

impl<S: Sync + Send> FromRequestParts<S> for OfEntry {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let job_id = JobId::parse(&named(parts, state, "id").await?)?;
        let text = named(parts, state, "seq").await?;
        let seq = text.parse().map_err(|_| Error::invalid("/seq", format!("{text:?} is not an entry's number; they are 1, 2, 3, ...")))?;
        Ok(OfEntry(job_id, seq))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfApproval {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        ApprovalId::parse(&named(parts, state, "id").await?).map(OfApproval)
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OfCall {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        CallId::parse(&named(parts, state, "id").await?).map(OfCall)
    }
}

/// The part of the path that the route calls `name`, decoded.
async fn named<S: Sync + Send>(parts: &mut Parts, state: &S, name: &str) -> Result<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|e| Error::invalid("", format!("the path: {e}")))?;
    let value = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Error::new(Code::InternalError, format!("the route has no part {name:?}")))
}
