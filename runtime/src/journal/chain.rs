//! The hash chain over stored entries.
//!
//! Its job: follow stored bytes entry by entry and say where they stop being what was written. It knows neither
//! the store nor what may follow what. The rule: verification fails, it never repairs.
//!
//! ```text
//! job id ──hash──> prev of 1 │ entry 1 │ ──hash──> prev of 2 │ entry 2 │ ──hash──> the tip, kept in the job's row
//! ```
//!
//! Each entry names the SHA-256 of the stored bytes before it, and the first one a value made of the job's id, so
//! that a journal cannot pass for another job's. An edited, missing, added or swapped entry breaks the link beside
//! it; an edited or missing *last* entry shows only against the tip. Someone who can rewrite every entry and the
//! tip can make a new chain: against that a signature helps, not a hash.

use super::entry::Entry;
use super::stored::{self, Unreadable};
use crate::error::{Code, Error};
use crate::ids::{Digest, JobId};

/// Where a chain ends: all that is needed to check it, or to put the next entry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The place of the next entry; the first is 1.
    pub next_seq: u64,
    /// The hash that the next entry names as the one before it.
    pub hash: Digest,
}

/// The first place at which a journal is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq}: {what}")]
pub struct Broken {
    /// The entry at which it shows.
    pub seq: u64,
    /// What is wrong there.
    pub what: Break,
}

/// What is wrong at a place of a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The bytes are no entry.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Another entry stands in its place.
    #[error("entry {found} stands in its place")]
    Misplaced {
        /// The number that stands there.
        found: u64,
    },
    /// The link to the entry before does not hold: one of the two was altered.
    #[error("names {named} as the hash of the entry before it, which is {is}")]
    Unlinked {
        /// What the entry says.
        named: Digest,
        /// What the bytes before it hash to.
        is: Digest,
    },
    /// The journal should go on here and does not.
    #[error("is missing; the job's row counts {count} entries")]
    Missing {
        /// How many entries there should be.
        count: u64,
    },
    /// The journal goes on after it should have ended.
    #[error("stands after the end; the job's row counts {count} entries")]
    Surplus {
        /// How many entries there should be.
        count: u64,
    },
    /// The last entry is not the one that was written last.
    #[error("hashes to {is}, but the job's row has {recorded} for it")]
    NotTheLast {
        /// What the job's row says.
        recorded: Digest,
        /// What the bytes hash to.
        is: Digest,
    },
}

impl Tip {
    /// The beginning of this job's journal, before its first entry.
    #[must_use]
    pub fn first(job_id: &JobId) -> Tip {
        Tip { next_seq: 1, hash: Digest::of_parts(&[b"reprise:journal", job_id.as_bytes()]) }
    }

    /// The tip once `entry` stands at the end.
    #[must_use]
    pub fn after(entry: &Entry) -> Tip {
        Tip { next_seq: entry.seq + 1, hash: entry.hash }
    }

    /// Reads the next entry and moves on to its end.
    ///
    /// # Errors
    /// Where the bytes are not the entry that belongs here.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Entry, Broken> {
        let broken = |what| Broken { seq: self.next_seq, what };
        let entry = stored::decode(bytes).map_err(|e| broken(e.into()))?;
        if entry.seq != self.next_seq {
            return Err(broken(Break::Misplaced { found: entry.seq }));
        }
        if entry.prev != self.hash {
            return Err(broken(Break::Unlinked { named: entry.prev, is: self.hash }));
        }
        *self = Tip::after(&entry);
        Ok(entry)
    }

    /// Compares the end that was reached with the one on record.
    ///
    /// # Errors
    /// Where the journal is shorter, longer or ends with other bytes.
    pub fn must_be(&self, recorded: &Tip) -> Result<(), Broken> {
        let count = recorded.next_seq - 1;
        if self.next_seq < recorded.next_seq {
            return Err(Broken { seq: self.next_seq, what: Break::Missing { count } });
        }
        if self.next_seq > recorded.next_seq {
            return Err(Broken { seq: recorded.next_seq, what: Break::Surplus { count } });
        }
        if self.hash != recorded.hash {
            return Err(Broken { seq: count, what: Break::NotTheLast { recorded: recorded.hash, is: self.hash } });
        }
        Ok(())
    }
}

/// Follows a whole journal from its first entry, and compares its end with the one on record.
///
/// # Errors
/// The first place at which it is not what was written.
pub fn verify<'a>(job_id: &JobId, entries: impl IntoIterator<Item = &'a [u8]>, recorded: &Tip) -> Result<(), Broken> {
    let mut tip = Tip::first(job_id);
    for bytes in entries {
        tip.follow(bytes)?;
    }
    tip.must_be(recorded)
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        let details = serde_json::json!({ "seq": broken.seq });
        let code = match broken.what {
            Break::Unreadable(Unreadable::TooNew(_)) => Code::DataDirTooNew,
            _ => Code::DataCorrupt,
        };
        Error::new(code, broken.to_string()).with_details(details)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use crate::contract::Effect;
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// Checks `rows` against the end of the journal that was written.
    fn check(rows: &[Vec<u8>], tip: &Tip) -> Result<(), Broken> {
        verify(&job(), rows.iter().map(Vec::as_slice), tip)
    }

    fn written() -> impl Strategy<Value = (Vec<Vec<u8>>, Tip)> {
        legal_journal().prop_map(|(bodies, _)| {
            let (entries, rows) = sealed(&job(), bodies);
            (rows, Tip::after(entries.last().expect("a journal has a first entry")))
        })
    }

    proptest! {
        #[test]
        fn what_was_written_verifies((rows, tip) in written()) {
            prop_assert_eq!(check(&rows, &tip), Ok(()));
        }

        #[test]
        fn any_edit_is_found_where_it_is_or_at_the_next_link((mut rows, tip) in written(), at: Index, byte: Index, bits in 1u8..) {
            let at = at.index(rows.len());
            let byte = byte.index(rows[at].len());
            rows[at][byte] ^= bits;
            let seq = at as u64 + 1;
            let broken = check(&rows, &tip).unwrap_err();
            prop_assert!(broken.seq == seq || broken.seq == seq + 1, "edited {}, found {}", seq, broken);
        }

        #[test]
        fn a_missing_entry_is_found_at_its_place((mut rows, tip) in written(), at: Index) {
            let at = at.index(rows.len());
            rows.remove(at);
            prop_assert_eq!(check(&rows, &tip).unwrap_err().seq, at as u64 + 1);
        }

        #[test]
        fn swapped_entries_are_found_at_the_first((mut rows, tip) in written(), a: Index, b: Index) {
            let (a, b) = (a.index(rows.len()), b.index(rows.len()));
            prop_assume!(a != b);
            rows.swap(a, b);
            prop_assert_eq!(check(&rows, &tip).unwrap_err().seq, a.min(b) as u64 + 1);
        }

        #[test]
        fn a_cut_end_is_found_where_it_was_cut((mut rows, tip) in written(), keep: Index) {
            let keep = keep.index(rows.len());
            rows.truncate(keep);
            prop_assert_eq!(check(&rows, &tip).unwrap_err().seq, keep as u64 + 1);
        }

        #[test]
        fn an_entry_put_in_is_found((mut rows, tip) in written(), from: Index, to: Index) {
            let copy = rows[from.index(rows.len())].clone();
            let to = to.index(rows.len() + 1);
            rows.insert(to, copy);
            let found = check(&rows, &tip).unwrap_err().seq;
            prop_assert!(found == to as u64 + 1 || found == to as u64 + 2, "put in at {}, found at {}", to + 1, found);
        }
    }

    #[test]
    fn a_chain_that_goes_on_past_its_recorded_end_is_found() {
        let (entries, rows) = sealed(&job(), vec![created(), called(1, Effect::Once), returned(1)]);
        let broken = check(&rows, &Tip::after(&entries[1])).unwrap_err();
        assert_eq!(broken.to_string(), "entry 3: stands after the end; the job's row counts 2 entries");
    }

    #[test]
    fn the_journal_of_another_job_is_found_at_its_first_entry() {
        let other = JobId::from_bytes([7; 16]);
        let (entries, rows) = sealed(&other, vec![created(), recorded(1)]);
        let broken = check(&rows, &Tip::after(&entries[1])).unwrap_err();
        assert!(matches!(broken, Broken { seq: 1, what: Break::Unlinked { .. } }), "{broken}");
    }

    #[test]
    fn an_error_names_the_entry_for_people_and_programs() {
        let (entries, mut rows) = sealed(&job(), vec![created(), recorded(1), recorded(2)]);
        rows.remove(1);
        let error = Error::from(check(&rows, &Tip::after(&entries[2])).unwrap_err());
        assert_eq!(error.code, Code::DataCorrupt);
        assert_eq!(error.message, "entry 2: entry 3 stands in its place");
        assert_eq!(error.details, Some(serde_json::json!({ "seq": 2 })));
    }
}
