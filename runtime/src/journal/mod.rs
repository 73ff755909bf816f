//! What happened to each job: the only truth about it.
//!
//! A job is the fold of its journal's entries. Its status, the lists it stands in and the ledger of its calls are
//! written together with the entries that change them, or are made from them when someone asks.
//!
//! ```text
//! options  how a job is to be run                 ┐
//! waits    what can happen: waits and children    │
//! control  what can happen: tries, cancel, ...    │
//! entry    what can happen                        │
//! status   where a job stands                     │
//! state    what a job is: the fold                │
//! moves    what may follow what                   │ pure: values in, values out
//! replay   what a resumed guest is answered from  │
//! stored   the bytes of an entry                  │
//! chain    the hash chain over those bytes        ┘
//! head     the row that stands for a job
//! index    the rows by which a job is found
//! mail     what others want entered
//! room     how much a journal may hold
//! log      writing: push, flush, reopen           ┐ on top of `store`
//! read     reading: entries, folds, lists         ┘
//! view     entries as people and programs see them
//! ```
//!
//! It deliberately knows no tool, no guest and no schedule: what an entry is written *for* is the caller's.
//! The rule that must stay true: entries are only appended, each in one atomic batch that is refused to whoever does
//! not hold the newest row. See `docs/JOURNAL.md`.

pub mod options;
pub mod waits;
pub mod control;
pub mod checked;
pub mod entry;
pub mod status;
pub mod state;
mod moves;
pub mod replay;
pub mod stored;
pub mod chain;
pub mod head;
mod index;
pub mod mail;
mod room;
pub mod log;
pub mod read;
pub mod view;

#[cfg(test)]
mod samples;

pub use chain::{Broken, Tip};
pub use checked::{Checked, FailedCheck, HandedOver, Refused, Standing};
pub use control::{CancelRequested, Cancelled, Continued, Decision, Drifted, ParkReason, Parked, Paused, Reattempted, Resolved, Retrying};
pub use entry::{Answer, Body, Cause, Entry, Failure, Recorded, RecordedKind};
pub use head::Head;
pub use index::{OpenApproval, OpenCall};
pub use log::{AtEnd, CreateError, Log};
pub use mail::Mail;
pub use options::{Budget, Confirm, Mode, Options, Parent, WhenExhausted};
pub use read::{Exact, Filter, Page, exact, fold, head as head_of, list, read, runnable};
pub use replay::{AskedChild, Cursor, Diverged, Ended, Next, NextCheck, NextChild, NextRecorded, NextWait};
pub use state::{CallState, Child, Illegal, LedgerRow, State, UncertainCall, Untaken, Wait};
pub use status::Status;
pub use waits::{ChildCancelled, ChildEnd, ChildEnded, ChildStarted, On, Signalled, Verdict, Waiting, Wake, Woken, shown, signal_content};
