//! What happened to each job: the only truth about it.
//!
//! A job is the fold of its journal's entries. Its status, the lists it stands in and the ledger of its calls are
//! written together with the entries that change them, or are made from them when someone asks.
//!
//! ```text
//! entry    what can happen                        ┐
//! status   where a job stands                     │
//! state    what may follow what: the fold         │ pure: values in, values out
//! replay   what a resumed guest is answered from  │
//! stored   the bytes of an entry                  │
//! chain    the hash chain over those bytes        ┘
//! head     the row that stands for a job
//! room     how much a journal may hold
//! log      writing: push, flush, reopen           ┐ on top of `store`
//! read     reading: entries, folds, lists         ┘
//! view     entries as people and programs see them
//! ```
//!
//! It deliberately knows no tool, no guest and no schedule: what an entry is written *for* is the caller's. Leases,
//! waits, signals and control will be entries and a renewal of the row's epoch; there is no other place for them.
//! The rule that must stay true: entries are only appended, each in one atomic batch that is refused to whoever does
//! not hold the newest row. See `docs/JOURNAL.md`.

pub mod entry;
pub mod status;
pub mod state;
pub mod replay;
pub mod stored;
pub mod chain;
pub mod head;
mod room;
pub mod log;
pub mod read;
pub mod view;

#[cfg(test)]
mod samples;

pub use chain::{Broken, Tip};
pub use entry::{Answer, Body, Cause, Entry, Failure, Recorded, RecordedKind};
pub use head::Head;
pub use log::{CreateError, Log};
pub use read::{Filter, Page, fold, head as head_of, list, read, runnable};
pub use replay::{Cursor, Diverged, Next, NextRecorded};
pub use state::{CallState, Illegal, LedgerRow, State, UncertainCall};
pub use status::Status;
