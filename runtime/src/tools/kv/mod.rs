//! The key-value tools: `kv/get`, `kv/set`, `kv/delete` and `kv/list`, one file each, in the spaces that are granted.
//!
//! Its job: JSON in, JSON out; what a space keeps is the JSON's text. It does not know how a space is kept.

mod delete;
mod get;
mod list;
mod set;
mod spaces;

use std::future::Future;

use crate::contract::{Confirmation, ErrorKind, ToolError};

use super::tool::Recorded;
use super::{Access, Call, Grants, Info, Tool, input};
pub(crate) use spaces::{Bucket, Spaces};

/// What the description of an input says of its key.
const KEY: &str = "Any text without control characters.";

/// Each of them; without spaces, they can be looked at and not called.
pub(super) fn tools(spaces: Option<Spaces>) -> Vec<Tool> {
    let kv = Kv(spaces);
    vec![
        Tool::waiting(get::info(), over(kv.clone(), get::perform)).confirmed_waiting(over(kv.clone(), get::confirm)),
        Tool::waiting(set::info(), over(kv.clone(), set::perform)).confirmed_waiting(over(kv.clone(), set::confirm)),
        Tool::waiting(delete::info(), over(kv.clone(), delete::perform)).confirmed_waiting(over(kv.clone(), delete::confirm)),
        Tool::waiting(list::info(), over(kv.clone(), list::perform)).confirmed_waiting(over(kv.clone(), list::confirm)),
    ]
}

/// A function of a tool, over these spaces.
fn over<A, F: Future>(kv: Kv, run: impl Fn(Kv, Call, A) -> F) -> impl Fn(Call, A) -> F {
    move |call, argument| run(kv.clone(), call, argument)
}

/// The spaces, where there are any.
#[derive(Clone)]
struct Kv(Option<Spaces>);

impl Kv {
    fn open(&self, grants: &Grants, space: &str) -> Result<Bucket, ToolError> {
        let no_store = || ToolError::new(ErrorKind::Unavailable, "there is no store here in which keys could be kept");
        self.0.as_ref().ok_or_else(no_store)?.open(grants, space)
    }
}

/// What an answer that could not be had says of one that was recorded.
fn unknown(error: ToolError) -> Confirmation {
    Confirmation::Unknown(error.message)
}
