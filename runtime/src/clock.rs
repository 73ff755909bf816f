//! The one place that reads the time. Guests never see it except through the journal.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since the Unix epoch, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the module that other code is sent to")]
#[must_use]
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(scripted) = SCRIPTED_MS.get() {
        return scripted;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970");
    u64::try_from(since.as_millis()).expect("the year is before 584 million")
}

/// `ms` since the Unix epoch as RFC 3339 in UTC with milliseconds, `2026-11-20T10:04:00.000Z`.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| format!("{t:.3}"))
}

#[cfg(test)]
thread_local! {
    /// What this thread takes for the time, where a test scripts it.
    pub(crate) static SCRIPTED_MS: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}
