//! What clients see of runs: the answers of the recording routes, field by field as Aionis has them, and
//! what is ours beside.
//!
//! Pure: values in, values out. The rule: a field that Aionis has keeps its name, its type and its meaning,
//! and is null where there is nothing to say. A field of ours is left out then.

mod answers;
mod list;
mod run;

pub use answers::{AnsweredView, CommitFields, EndedView, OpenedView, StartedView, answered, ended, opened, started};
pub use list::{RunRow, RunsPage};
pub use run::{Counters, Include, RunFields, RunView, StepFields, TimelineEntry, run};
