//! The row that stands for a job: enough for a list, and the fence before its journal.
//!
//! Its job: the row and its bytes. Everything in it but the epoch follows from the journal and is written in the
//! same batch as the entries that change it. The rule: whoever appends guards with the exact bytes that it last
//! wrote here, so an append by someone who does not know the newest entry, or holds an older epoch, is refused.
//!
//! ```text
//! {"v":2,"status":"running","epoch":1,"worker":1763632000000,"next":4,"hash":"<64 hex digits>","bytes":1437,
//!  "playbook":"...","version":1,"created":1763632000000,"updated":1763632000512}
//! ```
//!
//! The names are short because the row is written anew with every durable step.
//!
//! Worker and epoch are the lease: whoever takes a job over writes a higher epoch with its own number, and whoever held it
//! before can write no more. A job that nobody needs to hold (it waits, it has ended) names no worker. Form 1 named none at all.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::chain::Tip;
use super::options::PRIORITY_DEFAULT;
use super::state::State;
use super::status::Status;
use super::stored::Unreadable;
use crate::ids::{Digest, PlaybookId};

/// The form that is written.
pub const VERSION: u32 = 2;

/// A job in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where it stands.
    pub status: Status,
    /// Raised by each worker that takes the job up; the one with the highest is the only one that can write.
    pub epoch: u64,
    /// The worker that holds it; none where nobody does, as while it waits.
    pub worker: Option<u64>,
    /// How urgent it is, 0 to 9.
    pub priority: u8,
    /// The place of the next entry; one more than there are entries.
    pub next_seq: u64,
    /// Hash of the last entry.
    pub last_hash: Digest,
    /// Bytes of all its entries.
    pub journal_bytes: u64,
    /// The playbook it runs.
    pub playbook_id: PlaybookId,
    /// The playbook's version.
    pub version: u32,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When its last entry was written.
    pub updated_at_ms: u64,
}

impl Head {
    /// The row that belongs to a journal that folds to `state` and ends at `tip`.
    #[must_use]
    pub fn of(state: &State, tip: &Tip, journal_bytes: u64, epoch: u64, worker: Option<u64>) -> Head {
        Head {
            status: state.status(),
            epoch,
            worker,
            priority: state.options.priority,
            next_seq: tip.next_seq,
            last_hash: tip.hash,
            journal_bytes,
            playbook_id: state.playbook_id.clone(),
            version: state.version,
            created_at_ms: state.created_at_ms,
            updated_at_ms: state.updated_at_ms,
        }
    }

    /// The end of the journal, as this row has it.
    #[must_use]
    pub fn tip(&self) -> Tip {
        Tip { next_seq: self.next_seq, hash: self.last_hash }
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.stored()).expect("text and numbers print")
    }

    /// Where this row is not what it should be, in words; none where both are the same.
    #[must_use]
    pub fn difference(&self, should_be: &Head) -> Option<String> {
        let fields = |head: &Head| serde_json::to_value(head.stored()).expect("text and numbers print");
        let (is, should_be) = (fields(self), fields(should_be));
        let is = is.as_object().into_iter().flatten();
        let differing = is.filter(|(name, value)| should_be[*name] != **value);
        let words: Vec<String> = differing.map(|(name, value)| format!("{name} is {value} and should be {}", should_be[name])).collect();
        if words.is_empty() { None } else { Some(words.join(", ")) }
    }

    fn stored(&self) -> Stored<'_> {
        Stored {
            v: VERSION,
            status: self.status,
            epoch: self.epoch,
            worker: self.worker,
            priority: Some(self.priority).filter(|p| *p != PRIORITY_DEFAULT),
            next: self.next_seq,
            hash: self.last_hash,
            bytes: self.journal_bytes,
            playbook: self.playbook_id.as_str().into(),
            version: self.version,
            created: self.created_at_ms,
            updated: self.updated_at_ms,
        }
    }

    /// Reads a stored row.
    ///
    /// # Errors
    /// Where `bytes` are not what [`Head::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Head, Unreadable> {
        let damaged = |e: &dyn std::fmt::Display| Unreadable::Damaged(format!("as a job's row: {e}"));
        let unread = |e: serde_json::Error| damaged(&super::stored::with_who_may_have_written_it(&e));
        let form: Form = serde_json::from_slice(bytes).map_err(unread)?;
        if form.v > u64::from(VERSION) {
            return Err(Unreadable::TooNew(form.v));
        }
        let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(unread)?;
        Ok(Head {
            status: stored.status,
            epoch: stored.epoch,
            worker: stored.worker,
            priority: stored.priority.unwrap_or(PRIORITY_DEFAULT),
            next_seq: stored.next,
            last_hash: stored.hash,
            journal_bytes: stored.bytes,
            playbook_id: PlaybookId::parse(&stored.playbook).map_err(|e| damaged(&e.message))?,
            version: stored.version,
            created_at_ms: stored.created,
            updated_at_ms: stored.updated,
        })
    }
}

#[derive(Deserialize)]
struct Form {
    v: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    v: u32,
    status: Status,
    epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    next: u64,
    hash: Digest,
    bytes: u64,
    #[serde(borrow)]
    playbook: Cow<'a, str>,
    version: u32,
    created: u64,
    updated: u64,
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;
    use crate::error::{Code, Error};
    use proptest::prelude::*;

    fn head_of(bodies: Vec<crate::journal::Body>, epoch: u64, worker: Option<u64>) -> Head {
        let (entries, rows) = sealed(&job(), bodies);
        let state = State::fold(&entries).unwrap();
        let tip = Tip::after(entries.last().unwrap());
        Head::of(&state, &tip, rows.iter().map(|row| row.len() as u64).sum(), epoch, worker)
    }

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was((bodies, expected) in legal_journal(), epoch: u64, worker: Option<u64>) {
            let head = head_of(bodies, epoch, worker);
            prop_assert_eq!(head.status, expected.status);
            let again = Head::decode(&head.encode()).unwrap();
            prop_assert_eq!(head.difference(&again), None);
            prop_assert_eq!(again, head);
        }
    }

    #[test]
    fn what_is_no_row_of_this_form_says_why() {
        let good = String::from_utf8(head_of(vec![created()], 1, Some(5)).encode()).unwrap();
        for (from, to, code, why) in [
            (r#"{"v":2,"#, r#"{"v":3,"later":[],"#, Code::DataDirTooNew, "form 3 was written by a newer version"),
            (r#""ready""#, r#""asleep""#, Code::DataCorrupt, "unknown variant `asleep`"),
            (r#""epoch":1,"#, "", Code::DataCorrupt, "missing field `epoch`"),
            (r#""epoch":1,"#, r#""epoch":1,"later":1,"#, Code::DataCorrupt, "unknown field `later`"),
            (r#""prepare-release""#, r#""a/b""#, Code::DataCorrupt, "not allowed"),
            ("{", "", Code::DataCorrupt, "as a job's row"),
        ] {
            assert!(good.contains(from), "{from} in {good}");
            let error = Error::from(Head::decode(good.replace(from, to).as_bytes()).unwrap_err());
            assert_eq!(error.code, code, "{to}: {error}");
            assert!(error.message.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn a_row_of_form_1_is_read_as_one_that_nobody_holds() {
        let head = head_of(vec![created()], 4, None);
        let form_1 = String::from_utf8(head.encode()).unwrap().replace(r#"{"v":2,"#, r#"{"v":1,"#);
        assert_eq!(Head::decode(form_1.as_bytes()).unwrap(), head);
        let held = head_of(vec![created()], 4, Some(9));
        assert_eq!(head.difference(&held), None, "a row of form 1 is compared by what it has");
        assert!(held.difference(&head).is_some_and(|words| words.contains("worker is 9")), "who holds the job is part of its row");
    }
}
