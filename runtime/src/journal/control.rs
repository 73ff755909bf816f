//! The entries about control: tries, settling, pause, cancel, set aside.
//!
//! It does not know which may follow which; that is `state`. The rule: whoever steers a job from outside does it by one
//! of these, and nothing else ever changes what a job is.

use serde::{Deserialize, Serialize};

use super::entry::Failure;
use super::options::Budget;
use crate::contract::ToolError;
use crate::store::Payload;

/// A call failed in a way that may pass, and is to be made again with the same key. The call no longer stands in the
/// ledger until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrying {
    /// The number that the call had and will have.
    pub call: u64,
    /// How often it has been tried.
    pub tries: u32,
    /// What it came to this time.
    pub error: ToolError,
    /// Not before, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// The playbook failed, or had failed, and is to go on from the calls that led to it: these are made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reattempted {
    /// The first call that is made again. It and all after it either failed or only looked.
    pub from_call: u64,
    /// How often the job has failed.
    pub tries: u32,
    /// How it failed this time.
    pub failure: Failure,
    /// Who asked for it; none where the job's own options did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Someone said what became of an uncertain call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Its number.
    pub call: u64,
    /// What they said.
    pub decision: Decision,
    /// Who, as far as they said; `reconcile` where the tool itself knew.
    pub by: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Resolved {
    /// Who says so where the tool itself knew. No client calls itself so.
    pub const BY_RECONCILING: &'static str = "reconcile";
}

/// What became of an uncertain call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// It took effect, and this is its output.
    Happened(Payload),
    /// It did not take effect, or may be repeated: it is made again with the same key.
    Retry,
    /// The guest is told that it failed.
    Fail(ToolError),
}

/// Someone asked for the job to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequested {
    /// Who, as far as they said.
    pub by: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CancelRequested {
    /// Who asks where a job asks for its child to end.
    pub const BY_PARENT: &'static str = "parent";
}

/// The job ended by request. Nothing follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancelled {
    /// What the playbook said on its way out, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Fuel used by the attempt that ended so.
    pub fuel_used: u64,
}

/// A person stopped the job until they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paused {
    /// Who, as far as they said.
    pub by: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A paused or parked job may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continued {
    /// Who said so, as far as they said.
    pub by: String,
    /// What it may use up from now on; what is not named is as before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub budget: Budget,
}

/// The job was set aside. Its work is not lost: it goes on once someone says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parked {
    /// Why.
    pub reason: ParkReason,
    /// The same for people, with figures.
    pub message: String,
}

/// Why a job was set aside. The names are stored; one never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ParkReason {
    /// Its tries are used up.
    Retries,
    /// Its fuel is used up.
    Fuel,
    /// It would make more calls than it may.
    Calls,
    /// It would move more bytes than it may.
    Bytes,
    /// It has taken more time than it may.
    WallTime,
    /// It ended its worker each time it was taken up.
    Poison,
    /// The world is no longer as a recorded answer says.
    Drift,
}

impl Parked {
    /// True where it stands because it failed, and not because whoever started it gave it too little.
    #[must_use]
    pub fn gives_up(&self) -> bool {
        matches!(self.reason, ParkReason::Retries | ParkReason::Poison)
    }
}

impl ParkReason {
    /// The snake_case text that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ParkReason::Retries => "retries",
            ParkReason::Fuel => "fuel",
            ParkReason::Calls => "calls",
            ParkReason::Bytes => "bytes",
            ParkReason::WallTime => "wall_time",
            ParkReason::Poison => "poison",
            ParkReason::Drift => "drift",
        }
    }
}

/// The world is no longer as a recorded answer says; the job went on all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drifted {
    /// The call whose answer it was.
    pub call: u64,
    /// What is different.
    pub what: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
