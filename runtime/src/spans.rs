//! Spans for traces: what happened within what, and how long it took.
//!
//! Its job: the names and fields of all spans, in one place, since others build on them; `docs/OBSERVING.md` lists
//! them. It opens none by itself and sends none anywhere. All are of level `debug` under the target `reprise::span`,
//! so that a log without them looks as it does without this module.

use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::ids::JobId;

/// The target of every span.
pub const TARGET: &str = "reprise::span";

/// Around one HTTP request: its head to its answer's. `status` and `request_id` are recorded with the answer.
#[must_use]
pub fn http_request(method: &str, route: &str) -> Span {
    debug_span!(target: "reprise::span", "http_request", method, route, status = Empty, request_id = Empty)
}

/// Around one attempt at a job, from the moment it has a place to run. `status` is recorded at its end.
#[must_use]
pub fn job_attempt(job: &JobId) -> Span {
    debug_span!(target: "reprise::span", "job_attempt", %job, status = Empty)
}

/// Around one tool call. `outcome` (`ok`, or the kind of the error) is recorded at its end.
#[must_use]
pub fn tool_call(tool: &str, key: &str) -> Span {
    debug_span!(target: "reprise::span", "tool_call", tool, key, outcome = Empty)
}

/// Around one group of batches: judged, applied, flushed. It belongs to several jobs at once, so it stands alone.
#[must_use]
pub fn commit_group(batches: usize) -> Span {
    debug_span!(target: "reprise::span", parent: None, "commit_group", batches, outcome = Empty)
}
