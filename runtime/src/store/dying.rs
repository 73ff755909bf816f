//! A store that ends its own process at a chosen flush: how crash tests reach every moment of a job exactly.
//!
//! Its job: count the flushes of one opening, and die just before or just after the chosen one, as a kill would. It knows
//! neither jobs nor journals. What must stay true: only a data directory that holds the file `SCRATCH`, which nothing but
//! a test makes, can be opened so; what anybody relies on never dies by request.

use std::fmt;
use std::path::Path;

use crate::error::{Code, Error, Result};
use crate::store::tree::Flush;

/// Marks a data directory whose content nobody will miss.
pub const SCRATCH_FILE: &str = "SCRATCH";

/// Which side of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// What was to be flushed was handed over and nobody was told that it is there: it may be lost.
    Before,
    /// It is on disk, and nobody was told.
    After,
}

/// Where a process is to die: before or after a flush of the store, counted from 1 since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// Which side of it.
    pub moment: Moment,
    /// Which flush.
    pub flush: u64,
}

impl CrashPoint {
    /// `before:3`, `after:1`.
    ///
    /// # Errors
    /// `invalid_request` that says how one is written.
    pub fn parse(text: &str) -> Result<CrashPoint> {
        let moment = |name: &str| match name {
            "before" => Some(Moment::Before),
            "after" => Some(Moment::After),
            _ => None,
        };
        let parsed = text.split_once(':').and_then(|(name, flush)| Some((moment(name)?, flush.parse().ok().filter(|flush| *flush > 0)?)));
        let (moment, flush) =
            parsed.ok_or_else(|| Error::invalid("--die-at", format!("{text:?} is not before:N or after:N; flushes are counted from 1")))?;
        Ok(CrashPoint { moment, flush })
    }

    /// # Errors
    /// `data_dir_not_ours` where the directory is not a scratch one.
    pub(super) fn allowed_in(self, dir: &Path) -> Result<()> {
        if dir.join(SCRATCH_FILE).exists() {
            return Ok(());
        }
        let message = format!("{} does not hold the file {SCRATCH_FILE}, so nothing dies in it by request", dir.display());
        Err(Error::new(Code::DataDirNotOurs, message))
    }

    /// The flush that ends the process at this point.
    pub(super) fn around(self, mut flush: Flush) -> Flush {
        let mut begun = 0;
        Box::new(move || {
            begun += 1;
            if begun == self.flush && self.moment == Moment::Before {
                std::process::abort();
            }
            let flushed = flush();
            if begun == self.flush {
                std::process::abort();
            }
            flushed
        })
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = if self.moment == Moment::Before { "before" } else { "after" };
        write!(f, "{moment}:{}", self.flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_as_it_is_written() {
        for text in ["before:1", "after:17"] {
            assert_eq!(CrashPoint::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "after", "after:0", "after:-1", "during:1", "before:x", "before:1:2"] {
            assert!(CrashPoint::parse(wrong).unwrap_err().message.contains("before:N"), "{wrong}");
        }
    }

    #[test]
    fn nothing_dies_by_request_where_the_mark_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let point = CrashPoint::parse("after:1").unwrap();
        assert_eq!(crate::store::Store::open_to_die(dir.path(), point).unwrap_err().code, Code::DataDirNotOurs);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it is not even opened");
    }
}
