//! How much a journal may hold, and how much may wait in memory.
//!
//! Its job: say whether one more entry fits. It is pure. The rule: what ends something (a call, an attempt, the job), and what
//! lets a job go on or stop, always fits into a journal that is full, so that a job that meets a limit can still say so in its own journal.

use super::entry::Body;
use crate::limits;

/// What there is before the entry that asks for room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    /// Entries of the journal, pending ones included.
    pub(super) entries: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Entries that wait for a flush.
    pub(super) pending: usize,
    /// Their bytes.
    pub(super) pending_bytes: usize,
}

impl Filled {
    /// Whether an entry with this body, of so many bytes when stored, fits; says what is full where it does not.
    pub(super) fn takes(&self, body: &Body, bytes: usize) -> Result<(), String> {
        if !body.ends_something() {
            if self.entries >= limits::JOURNAL_ENTRIES_MAX {
                return Err(format!("the journal has {} entries; one job may have {}", self.entries, limits::JOURNAL_ENTRIES_MAX));
            }
            let after = self.bytes + bytes as u64;
            if after > limits::JOURNAL_BYTES_MAX {
                return Err(format!(
                    "with this entry the journal would have {after} bytes; one job may have {}",
                    limits::JOURNAL_BYTES_MAX
                ));
            }
        }
        if self.pending >= limits::JOURNAL_PENDING_MAX {
            return Err(format!("{} entries wait for a flush; {} may", self.pending, limits::JOURNAL_PENDING_MAX));
        }
        let after = self.pending_bytes + bytes;
        if after > limits::JOURNAL_PENDING_BYTES_MAX {
            return Err(format!("with this entry {after} bytes would wait for a flush; {} may", limits::JOURNAL_PENDING_BYTES_MAX));
        }
        Ok(())
    }

    /// True where so much waits that a flush is due, though more would still fit.
    pub(super) fn should_flush(&self) -> bool {
        self.pending >= limits::JOURNAL_PENDING_MAX / 2 || self.pending_bytes >= limits::JOURNAL_PENDING_BYTES_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use crate::contract::Effect;

    const EMPTY: Filled = Filled { entries: 1, bytes: 500, pending: 0, pending_bytes: 0 };

    #[test]
    fn a_full_journal_takes_only_what_ends_something() {
        let last_entry = Filled { entries: limits::JOURNAL_ENTRIES_MAX - 1, ..EMPTY };
        let no_entry = Filled { entries: limits::JOURNAL_ENTRIES_MAX, ..EMPTY };
        let last_bytes = Filled { bytes: limits::JOURNAL_BYTES_MAX - 100, ..EMPTY };
        let no_bytes = Filled { bytes: limits::JOURNAL_BYTES_MAX - 99, ..EMPTY };
        for body in [called(1, Effect::Once), recorded(1)] {
            assert_eq!(last_entry.takes(&body, 100), Ok(()));
            assert_eq!(no_entry.takes(&body, 100).unwrap_err(), "the journal has 100000 entries; one job may have 100000");
            assert_eq!(last_bytes.takes(&body, 100), Ok(()));
            let why = no_bytes.takes(&body, 100).unwrap_err();
            assert_eq!(why, "with this entry the journal would have 67108865 bytes; one job may have 67108864");
        }
        for body in [returned(1), uncertain(1), completed(), failed(), Body::Resumed { attempt: 1 }] {
            assert_eq!(no_entry.takes(&body, 100), Ok(()));
            assert_eq!(no_bytes.takes(&body, 100), Ok(()));
        }
    }

    #[test]
    fn what_waits_is_bounded_for_every_entry() {
        for body in [recorded(1), completed()] {
            let last = Filled { pending: limits::JOURNAL_PENDING_MAX - 1, pending_bytes: limits::JOURNAL_PENDING_BYTES_MAX - 100, ..EMPTY };
            assert_eq!(last.takes(&body, 100), Ok(()));
            assert!(last.should_flush());
            let why = last.takes(&body, 101).unwrap_err();
            assert_eq!(why, "with this entry 4194305 bytes would wait for a flush; 4194304 may");
            let full = Filled { pending: limits::JOURNAL_PENDING_MAX, ..EMPTY };
            assert_eq!(full.takes(&body, 100).unwrap_err(), "256 entries wait for a flush; 256 may");
        }
        assert!(!EMPTY.should_flush());
    }
}
