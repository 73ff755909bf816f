//! Where a job stands, in one word.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands. It follows from the journal alone ([`State`](super::State)); rows that hold it are an index.
///
/// The numbers stand in keys of the store and the names in its rows: neither ever changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// Accepted; nothing of it is in the journal yet.
    Ready = 1,
    /// Under way, or was when its worker died.
    Running = 2,
    /// Parked until a signal, a timer, an approval or a child comes.
    Waiting = 3,
    /// Stopped by a person until they say otherwise.
    Paused = 4,
    /// Stopped until someone says whether a call took effect.
    Uncertain = 5,
    /// Set aside with its reason: retries or budgets are used up.
    Parked = 6,
    /// Ended with an output.
    Completed = 7,
    /// Ended with a failure.
    Failed = 8,
    /// Ended by a person.
    Cancelled = 9,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 9] = [
        Status::Ready,
        Status::Running,
        Status::Waiting,
        Status::Paused,
        Status::Uncertain,
        Status::Parked,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    /// What a worker takes up without being asked; those that were under way stand first.
    pub const RUNNABLE: [Status; 2] = [Status::Running, Status::Ready];

    /// The snake_case text that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ready => "ready",
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Paused => "paused",
            Status::Uncertain => "uncertain",
            Status::Parked => "parked",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// From its text; none where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// The number in keys.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// True where nothing more can happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_what_is_on_disk() {
        let on_disk = [
            (1, "ready"),
            (2, "running"),
            (3, "waiting"),
            (4, "paused"),
            (5, "uncertain"),
            (6, "parked"),
            (7, "completed"),
            (8, "failed"),
            (9, "cancelled"),
        ];
        assert_eq!(Status::ALL.map(|s| (s.number(), s.as_str())), on_disk);
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("done"), None);
    }
}
