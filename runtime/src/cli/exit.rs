//! Exit codes. A code never changes its meaning; `docs/CLI.md` and `--help` list them.

use crate::error::Class;

pub(super) const OK: u8 = 0;
/// The job ended as failed.
pub(super) const JOB_FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NOT_FOUND: u8 = 3;
pub(super) const CONFLICT: u8 = 4;
pub(super) const UNPROCESSABLE: u8 = 5;
pub(super) const UNAVAILABLE: u8 = 6;
/// The job is not done: interrupted, or it waits for somebody's word.
pub(super) const JOB_NOT_DONE: u8 = 7;
pub(super) const UNSUPPORTED: u8 = 8;
/// Who asks is not an operator, or did not show it.
pub(super) const NOT_ALLOWED: u8 = 9;
pub(super) const INTERNAL: u8 = 70;

pub(super) const TABLE: &str = "\
Exit codes:
  0  done
  1  the job ended as failed, or a test did not pass
  2  the command or what it was given is malformed
  3  not found
  4  it disagrees with what is stored: a replay that differs, an id that was used before
  5  well-formed, but it cannot be done: a component with unknown imports, an input that does not fit, evidence that was altered
  6  the data directory, the disk or the address cannot be used now
  7  the job is not done: interrupted, or it waits for somebody's word
  8  not in this version
  9  only an operator may do it, and the operator's token is missing or wrong
 70  a mistake of ours

Start with `reprise demo`.";

/// The exit code for an error.
pub(super) fn of(class: Class) -> u8 {
    match class {
        Class::Invalid | Class::TooLarge | Class::MethodNotAllowed => USAGE,
        Class::NotFound => NOT_FOUND,
        Class::Conflict => CONFLICT,
        Class::Unprocessable => UNPROCESSABLE,
        Class::Unauthenticated | Class::Forbidden => NOT_ALLOWED,
        Class::Unavailable => UNAVAILABLE,
        Class::Unsupported => UNSUPPORTED,
        Class::Internal => INTERNAL,
    }
}
