//! A job's journal as server-sent events.
//!
//! Its job: entries to events, in the client's own time, until the job has ended or the server stops. Nothing is
//! made before the connection can take it, so that a slow client costs one piece of its journal and no more.
//! It does not know how news of a job arrive; [`Watch`] does, and sees to it that none is missed or told twice.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::jobs::without_host_paths;
use crate::engine::{News, Watch};
use crate::error::{Code, Error, Result};
use crate::journal::view;
use crate::{limits, metrics};

/// The last event that a client saw before its connection broke.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The streams that one server has open.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl Streams {
    pub(super) fn new() -> Streams {
        let places = Arc::new(Semaphore::new(limits::JOURNAL_STREAMS_MAX));
        Streams(Arc::new(Shared { places, stopping: watch::channel(false).0 }))
    }

    /// Ends those that are open, after the event that is under way.
    pub(super) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// The answer that sends what `watch` tells.
    ///
    /// # Errors
    /// `too_busy` where as many are open as the limit allows.
    pub(super) fn send(&self, watch: Watch) -> Result<Response> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| {
            Error::new(Code::TooBusy, format!("{} journals are being sent as events; at most as many at once", limits::JOURNAL_STREAMS_MAX))
        })?;
        let open =
            Open { watch, stopping: self.0.stopping.subscribe(), over: false, _place: place, _counted: metrics::OpenStream::begin() };
        let events = Sse::new(events(open)).keep_alive(KeepAlive::new().interval(limits::EVENTS_SILENCE_MAX));
        Ok(events.into_response())
    }
}

/// One stream under way; it gives its place back when it is dropped.
struct Open {
    watch: Watch,
    stopping: watch::Receiver<bool>,
    over: bool,
    _place: OwnedSemaphorePermit,
    _counted: metrics::OpenStream,
}

fn events(open: Open) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let pieces = stream::unfold(open, |mut open| async move {
        if open.over {
            return None;
        }
        let news = tokio::select! {
            biased;
            _ = open.stopping.wait_for(|stopping| *stopping) => return None,
            news = open.watch.next() => news,
        };
        open.over = !matches!(news, Ok(News::Entries(_)));
        Some((stream::iter(piece(news, &open)), open))
    });
    pieces.flatten().map(Ok)
}

/// What there is to tell, as events.
fn piece(news: Result<News>, open: &Open) -> Vec<Event> {
    match news {
        Ok(News::Entries(entries)) => {
            let event = |entry| {
                let shown = without_host_paths(view::object(entry));
                Event::default().id(entry.seq.to_string()).event(entry.body.kind()).data(shown.to_string())
            };
            entries.iter().map(event).collect()
        }
        Ok(News::End(status)) => {
            let end = json!({"job_id": open.watch.job_id(), "status": status.as_str()});
            vec![Event::default().event("end").data(end.to_string())]
        }
        Err(e) => {
            tracing::error!(job = %open.watch.job_id(), "its journal cannot be sent further: {e}");
            vec![Event::default().event("problem").data(problem(&e).to_string())]
        }
    }
}

/// The head of the answer went out long ago; this is what it would have said. The rest is in the log.
fn problem(e: &Error) -> Value {
    json!({"error": e.code.as_str(), "message": e.code.meaning()})
}

/// True where the client asks for events.
pub(super) fn are_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    accepted.map(|range| range.split(';').next().unwrap_or_default().trim()).any(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// The number of the last entry that the client has, where it says so.
///
/// # Errors
/// `invalid_request` where it is no number.
pub(super) fn last_seen(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Error::invalid("last-event-id", format!("{value:?} is not an entry's number; send the `id` of the last event"))),
    }
}
