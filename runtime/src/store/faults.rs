//! Commits that fail where a test wants them to, and a store that does not wait for the disk.
//!
//! A commit that fails before it is written leaves nothing; one that fails after it is there, and nobody was told. A
//! process that is dead writes nothing more until the test says that the next one lives.

use std::sync::{Mutex, PoisonError};

use super::{CommitError, Store};
use crate::error::{Code, Error, Result};

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// It fails; nothing of it is written.
    FailsBefore,
    /// It is written, and whoever asked is told that it failed.
    FailsAfter,
    /// As the two, and the process is dead: nothing is written any more.
    DiesBefore,
    /// See [`Fate::DiesBefore`].
    DiesAfter,
}

/// Says what becomes of each commit.
type Script = Box<dyn FnMut() -> Fate + Send>;

#[derive(Default)]
pub(super) struct Fates(Mutex<(Option<Script>, bool)>);

impl Fates {
    fn next(&self) -> Fate {
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fates.1 {
            return Fate::DiesBefore;
        }
        let fate = fates.0.as_mut().map_or(Fate::Lives, |script| script());
        fates.1 = matches!(fate, Fate::DiesBefore | Fate::DiesAfter);
        fate
    }

    pub(super) async fn meet(&self, write: impl Future<Output = Result<(), CommitError>>) -> Result<(), CommitError> {
        let failed = || CommitError::Store(Error::new(Code::StoreUnavailable, "the test wants it so"));
        match self.next() {
            Fate::Lives => write.await,
            Fate::FailsBefore | Fate::DiesBefore => Err(failed()),
            Fate::FailsAfter | Fate::DiesAfter => {
                write.await?;
                Err(failed())
            }
        }
    }
}

impl Store {
    /// A store whose flushes are taken for done: for tests that end with their process.
    pub(crate) fn unflushed(dir: &std::path::Path) -> Store {
        Store::open_with(dir, |_| Box::new(|| Ok(()))).unwrap()
    }

    /// From now on, commits end as `script` says.
    pub(crate) fn script(&self, script: impl FnMut() -> Fate + Send + 'static) {
        *self.0.fates.0.lock().unwrap() = (Some(Box::new(script)), false);
    }

    /// True once a commit has killed its process.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.fates.0.lock().unwrap().1
    }

    /// The next process lives.
    pub(crate) fn revive(&self) {
        self.0.fates.0.lock().unwrap().1 = false;
    }

    /// From now on, commits end as they do.
    pub(crate) fn unscript(&self) {
        *self.0.fates.0.lock().unwrap() = (None, false);
    }
}
