//! The one way out: every request passes here, whether a tool of this program sends it or a component does.
//!
//! In this order: a grant must cover the URL, the headers must be the caller's to send, the key is put in, then the secrets,
//! and the connection goes to an address that was judged. A redirect that is followed begins again at the first of these.
//! It does not know what an answer means to a job.
//!
//! The rules that must stay true: nothing is sent that a grant does not cover; a name is looked up once, and the
//! connection goes to what was judged; credentials for one origin do not reach another.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap};

use crate::contract::{Effect, ErrorKind, ToolError};
use crate::secrets::{Known, Secrets};
use crate::{limits, outbound};

use super::address::Reach;
use super::client::{self, Broken, Came};
use super::names::{Judge, Names};
use super::secret::{self, Outgoing};
use super::target::Target;
use super::{Answered, Grants, HttpGrant, Method, headers};

/// What is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
    /// For all of it, redirects and answer included.
    pub(crate) time: Duration,
    /// How many redirects are followed; only what looks is sent on.
    pub(crate) redirects: u32,
    pub(crate) key: Key,
}

/// Whose key a request carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    /// The call's, put in by the gate where the request changes something. No header of the caller's may hold one.
    OfCall(String),
    /// Whatever the caller wrote: a component sends several requests within one call, and only it knows which is which.
    OfCaller,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) why: Why,
    /// As a job is told.
    pub(crate) error: ToolError,
}

/// Why there is no answer, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is no request that is sent from here.
    Malformed,
    /// No grant covers the URL, or the address behind its name.
    Denied,
    /// No connection came about, so nothing was sent.
    NotSent,
    /// It may have been sent, and no whole answer came.
    Cut,
    /// The time was over; it may have been sent.
    Late,
    /// An answer began that is larger than the limit.
    TooLarge,
    /// It was redirected more often than asked for.
    Redirects,
}

/// The way out. Clones share their connections' settings.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Ways>);

struct Ways {
    names: Arc<dyn Names>,
    /// Put in where a grant says so, and taken out of what comes back.
    secrets: Secrets,
    /// Made when first asked for, since making one for `https` reads all certificates of the system: by scheme, by reach.
    clients: [[OnceLock<Result<Client, String>>; Reach::ALL.len()]; 2],
}

impl Gate {
    pub(crate) fn new(names: Arc<dyn Names>, secrets: Secrets) -> Gate {
        Gate(Arc::new(Ways { names, secrets, clients: Default::default() }))
    }

    /// Sends it as far as the grants go, and reads the answer. Dropping the future closes the connection.
    pub(crate) async fn send(&self, request: Request, grants: &Grants) -> Result<Answered, Lost> {
        self.pass(Hop::first(request, grants)?).await
    }

    /// Sends what was checked.
    pub(super) async fn pass(&self, hop: Hop) -> Result<Answered, Lost> {
        let (time, line, effect) = (hop.request.time, hop.line(), hop.effect());
        let late = |_| Err(Lost::of(Why::Late, &line, effect, &format!("within {} ms", time.as_millis())));
        tokio::time::timeout(time, self.follow(hop)).await.unwrap_or_else(late)
    }

    async fn follow(&self, mut hop: Hop) -> Result<Answered, Lost> {
        // Those of the beginning to the end: what was sent is what is looked for.
        let known = self.0.secrets.known();
        loop {
            let lost = |broken| Lost::from_broken(broken, &hop.line(), hop.effect());
            let outgoing = hop.filled(&known)?;
            let carries = outgoing.carries;
            let client = self.client(hop.target.url.scheme(), reach(&hop.target)).map_err(lost)?;
            match client::exchange(client, &hop, outgoing).await.map_err(lost)? {
                Came::Answer(mut answered) => {
                    let came = secret::Came { headers: &mut answered.headers, body: &mut answered.body };
                    secret::scrubbed(&known, carries, came).await.map_err(|why| lost(Broken::Cut(why)))?;
                    return Ok(answered);
                }
                // A secret that the other side repeats in it is put in again where it may stand there, and nowhere else.
                Came::Elsewhere(place) => hop = hop.next(&known.scrubber().text(&place))?,
            }
        }
    }

    fn client(&self, scheme: &str, reach: Reach) -> Result<&Client, Broken> {
        let kept = &self.0.clients[usize::from(scheme == "https")][reach as usize];
        let made = kept.get_or_init(|| outbound::client_that_asks(scheme, Judge { names: Arc::clone(&self.0.names), reach }));
        made.as_ref().map_err(|why| Broken::NotSent(format!("no connection can be made from here: {why}")))
    }
}

/// Where the host's name may lead. An address that stands in the origin itself was named by the operator, and is not looked up.
fn reach(target: &Target) -> Reach {
    match target.url.host_str() {
        _ if target.grant.private => Reach::Near,
        Some("localhost") => Reach::ThisMachine,
        _ => Reach::Public,
    }
}

/// One request of a chain: it was checked, and nothing of it is left to the other side.
#[derive(Debug)]
pub(super) struct Hop {
    /// As the caller asked; what is sent is in the other fields.
    request: Request,
    grants: Grants,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    /// Where the one before it went.
    redirected_from: Option<String>,
    followed: u32,
}

impl Hop {
    /// Checks everything but the address, which is judged when it is known.
    pub(super) fn first(request: Request, grants: &Grants) -> Result<Hop, Lost> {
        let target = Target::of(&request.url, request.method, grants)?;
        let headers = headers::of_request(&request, &target.grant)?;
        Ok(Hop { request, grants: grants.clone(), target, headers, redirected_from: None, followed: 0 })
    }

    pub(super) fn method(&self) -> Method {
        self.request.method
    }

    pub(super) fn body(&self) -> Option<&[u8]> {
        self.request.body.as_deref()
    }

    /// As it goes over the wire.
    fn filled(&self, known: &Known) -> Result<Outgoing, ToolError> {
        secret::filled(known, &self.grants, &self.target.grant, self.target.url.clone(), self.headers.clone(), self.body())
    }

    pub(super) fn grant(&self) -> &HttpGrant {
        &self.target.grant
    }

    /// True where a redirect is not the answer.
    pub(super) fn follows(&self) -> bool {
        self.request.redirects > 0 && self.request.method.looks()
    }

    /// What a repeat would do.
    pub(super) fn effect(&self) -> Effect {
        match (self.request.method, &self.request.key) {
            (Method::Get | Method::Head, _) => Effect::Read,
            (Method::Put | Method::Delete, _) => Effect::Idempotent,
            (Method::Post | Method::Patch, Key::OfCall(_)) => of_keyed(&self.target.grant),
            (Method::Post | Method::Patch, Key::OfCaller) => Effect::Once,
        }
    }

    /// For messages, without the query.
    pub(super) fn line(&self) -> String {
        let from = self.redirected_from.as_ref().map(|from| format!(", where {from} redirected it,")).unwrap_or_default();
        format!("{}{from}", self.target.line(self.request.method))
    }

    /// The question what became of this call, at a place that the operator named in the same grant.
    pub(super) fn question(mut self, url: &str) -> Result<Hop, Lost> {
        self.target = self.target.at(url)?;
        self.request = Request { method: Method::Get, url: url.to_owned(), body: None, redirects: 0, ..self.request };
        // What lets the call in lets the question in; what speaks of its body does not belong here.
        self.headers.remove(CONTENT_TYPE);
        Ok(self)
    }

    /// The same request at the place that the other side named, checked as if the caller had named it.
    fn next(self, place: &str) -> Result<Hop, Lost> {
        let before = format!("{}{}", self.target.url.origin().ascii_serialization(), self.target.url.path());
        if self.followed == self.request.redirects {
            return Err(Lost::of(Why::Redirects, &self.line(), self.effect(), &format!("more than {} times", self.followed)));
        }
        let told = |lost: Lost, to: &str| {
            let message = format!("{} was redirected to {to}: {}", self.line(), lost.error.message);
            Lost { error: ToolError { message, ..lost.error }, ..lost }
        };
        let mut url = self
            .target
            .url
            .join(place)
            .map_err(|e| told(Lost::plain(Why::Malformed, ErrorKind::Failed, format!("that is no URL: {e}")), "somewhere"))?;
        // A fragment is for whoever asks, and is never sent.
        url.set_fragment(None);
        let mut request = Request { url: url.to_string(), ..self.request.clone() };
        if url.origin() != self.target.url.origin() {
            // Any other header may be a credential.
            let kept = [ACCEPT, ACCEPT_LANGUAGE];
            let all = std::mem::take(&mut request.headers);
            request.headers =
                all.into_iter().filter_map(|(name, value)| name.filter(|name| kept.contains(name)).map(|name| (name, value))).collect();
        }
        let shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let next = Hop::first(request, &self.grants).map_err(|lost| {
            // What the other side wrote is no mistake of the caller's.
            let kind = if lost.why == Why::Denied { ErrorKind::Denied } else { ErrorKind::Failed };
            told(Lost { error: ToolError { kind, ..lost.error }, ..lost }, &shown)
        })?;
        Ok(Hop { redirected_from: Some(before), followed: self.followed + 1, ..next })
    }
}

/// Where the grant names the header that carries the key, the other side performs a call once per key.
pub(super) fn of_keyed(grant: &HttpGrant) -> Effect {
    if grant.key_header.is_some() { Effect::Idempotent } else { Effect::Once }
}

impl Lost {
    fn plain(why: Why, kind: ErrorKind, message: String) -> Lost {
        Lost { why, error: ToolError::new(kind, message) }
    }

    /// `line` says what was asked, `what` the rest.
    fn of(why: Why, line: &str, effect: Effect, what: &str) -> Lost {
        let looks = effect.touches_nothing();
        let known = if looks { "" } else { "; whether it took effect is not known" };
        let (kind, message) = match why {
            Why::Malformed => (ErrorKind::InvalidInput, format!("{line}: {what}")),
            Why::Denied => (ErrorKind::Denied, format!("{line} was not sent: {what}, where the grant does not let it go")),
            Why::NotSent => (ErrorKind::Unavailable, format!("{line} could not be sent: {what}; nothing was sent")),
            // Where nothing was to be changed, trying again is all there is to do.
            Why::Cut if looks => (ErrorKind::Unavailable, format!("{line} got no whole answer: {what}")),
            Why::Cut => (ErrorKind::Timeout, format!("{line} got no whole answer: {what}{known}")),
            Why::Late => (ErrorKind::Timeout, format!("{line} was not answered {what}{known}")),
            Why::TooLarge => {
                let max = limits::HTTP_ANSWER_BYTES_MAX;
                (ErrorKind::Failed, format!("{line} was answered with {what} and a body of more than the {max} bytes that are read"))
            }
            Why::Redirects => (ErrorKind::Failed, format!("{line} was redirected {what}")),
        };
        Lost::plain(why, kind, message)
    }

    fn from_broken(broken: Broken, line: &str, effect: Effect) -> Lost {
        match broken {
            Broken::Forbidden(what) => Lost::of(Why::Denied, line, effect, &what),
            Broken::NotSent(what) => Lost::of(Why::NotSent, line, effect, &what),
            Broken::Cut(what) => Lost::of(Why::Cut, line, effect, &what),
            Broken::TooLarge(status) => Lost::of(Why::TooLarge, line, effect, &status.to_string()),
        }
    }
}

/// What a check says before anything is sent.
impl From<ToolError> for Lost {
    fn from(error: ToolError) -> Self {
        let why = if error.kind == ErrorKind::Denied { Why::Denied } else { Why::Malformed };
        Lost { why, error }
    }
}

impl From<Lost> for ToolError {
    fn from(lost: Lost) -> Self {
        lost.error
    }
}
