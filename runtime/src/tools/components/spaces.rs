//! Keys and values for components: the spaces of the `kv` tools, as `wasi:keyvalue` has them.

use std::sync::Arc;

use crate::blocking;
use crate::contract::{ErrorKind, ToolError};
use crate::limits;
use crate::sandbox::{Reached, Space, SpaceError, Spaces};
use crate::tools::Grants;
use crate::tools::kv::{self, Bucket};

/// What the component's namespace was granted.
pub(super) struct Granted {
    pub(super) spaces: kv::Spaces,
    pub(super) grants: Grants,
}

impl Spaces for Granted {
    fn open(&self, space: &str) -> Result<Arc<dyn Space>, SpaceError> {
        let bucket = self.spaces.open(&self.grants, space).map_err(refusal)?;
        Ok(Arc::new(Opened(bucket)))
    }
}

/// One space, as far as a grant opens it.
struct Opened(Bucket);

impl Space for Opened {
    fn get(&self, key: String) -> Reached<Result<Option<Vec<u8>>, SpaceError>> {
        let bucket = self.0.clone();
        Box::pin(async move { bucket.get(&key).map_err(refusal) })
    }

    fn set(&self, key: String, value: Vec<u8>) -> Reached<Result<(), SpaceError>> {
        let bucket = self.0.clone();
        Box::pin(async move { bucket.set(&key, value).await.map_err(refusal) })
    }

    fn delete(&self, key: String) -> Reached<Result<(), SpaceError>> {
        let bucket = self.0.clone();
        Box::pin(async move { bucket.delete(&key).await.map_err(refusal) })
    }

    fn keys(&self, after: Option<String>) -> Reached<Result<Vec<String>, SpaceError>> {
        let bucket = self.0.clone();
        Box::pin(async move {
            let page = blocking::run(move || bucket.list("", after.as_deref(), limits::KV_LIST_ROWS_AT_ONCE)).await;
            page.map(|page| page.keys).map_err(refusal)
        })
    }

    fn increment(&self, key: String, delta: u64) -> Reached<Result<u64, SpaceError>> {
        let bucket = self.0.clone();
        Box::pin(async move {
            let sum = std::sync::Mutex::new(0);
            let added = bucket.change(&key, |old| {
                let now = added(old, delta)?;
                // Asked again where another change came in between: the last answer is the one that is written.
                *sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
                Ok(Some(now.to_string().into_bytes()))
            });
            added.await.map_err(refusal)?;
            Ok(sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        })
    }
}

/// A number that is not there is 0.
fn added(old: Option<&[u8]>, delta: u64) -> Result<u64, ToolError> {
    let failed = |why: &str| ToolError::new(ErrorKind::Failed, format!("the value {why}"));
    let old = match old {
        None => 0,
        Some(old) => {
            let text = std::str::from_utf8(old).map_err(|_| failed("is not a number"))?;
            text.parse::<u64>().map_err(|_| failed("is not a whole number in decimal digits"))?
        }
    };
    old.checked_add(delta).ok_or_else(|| failed("would not fit into 64 bits"))
}

fn refusal(error: ToolError) -> SpaceError {
    match error.kind {
        ErrorKind::Denied => SpaceError::Denied(error.message),
        _ => SpaceError::Failed(error.message),
    }
}
