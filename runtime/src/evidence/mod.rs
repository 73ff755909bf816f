//! What can be proved of a job, and what can be asked of its past.
//!
//! ```text
//! sign     a key, and what it signed                          ┐
//! bundle   the one file that is handed to a stranger          │
//! export   a bundle out of the store, verified first          │ proof
//! verify   a bundle held against itself, on any machine       ┘
//! record   a guest's questions, answered from a journal alone ┐
//! replay   the guest once more, and where it differs          │
//! fork     the same with one answer exchanged                 │ questions
//! why      who had an entry done, on what, allowed by whom    │
//! packet   a job that came to a halt, for whoever repairs it  ┘
//! ```
//!
//! It knows journals, plans and the sandbox; it has no tool and no scheduler, so nothing that it is asked can touch the
//! world or change a job. The rule that must stay true: a mismatch is an error that names its place, never repaired and never
//! hashed anew.

mod bundle;
mod export;
mod fork;
mod packet;
mod record;
mod replay;
mod sign;
mod verify;
mod why;

#[cfg(test)]
mod tests;

pub use bundle::{Approval, Blob, Bundle, Manifest, VERSION};
pub use export::{export, export_as_of_its_end};
pub use fork::{Asked, Fork, ForkEnding, fork};
pub use packet::{Done, Failing, Place, Reached, Remaining, RepairPacket, packet};
pub use record::Would;
pub use replay::{Replay, Verdict, replay};
pub use sign::{PublicKey, Signer};
pub use verify::{Open, Verified, verify};
pub use why::{Origin, Why, why};
