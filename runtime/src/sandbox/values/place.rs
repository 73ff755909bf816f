//! Where in a JSON document we are, without a string for every place that is fine.

use crate::error::Issue;
use crate::json::below;
use crate::limits;

/// A place, and the way up from it.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Top,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// As a JSON pointer.
    fn pointer(&self) -> String {
        match self {
            Place::Top => String::new(),
            Place::Field(up, name) => below(&up.pointer(), name),
            Place::Item(up, index) => format!("{}/{index}", up.pointer()),
        }
    }

    /// What is wrong here.
    pub(super) fn fault(&self, message: impl Into<String>) -> Issue {
        Issue { path: self.pointer(), message: message.into() }
    }
}

/// Counts the values that are made, those included that the JSON does not show: an object may leave out an optional field, and
/// a list of a million `{}` would otherwise be a million times all the fields that a record may have.
pub(super) struct Count {
    left: usize,
}

impl Count {
    pub(super) fn new() -> Self {
        Count { left: limits::COMPONENT_VALUE_PLACES_MAX }
    }

    /// One more value.
    pub(super) fn one(&mut self, at: &Place) -> Result<(), Issue> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(at.fault(format!(
                "is more than {} values together, counting each number, text, list and field",
                limits::COMPONENT_VALUE_PLACES_MAX
            ))),
        }
    }
}
