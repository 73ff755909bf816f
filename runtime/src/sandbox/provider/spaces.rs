//! `wasi:keyvalue` for tools: a bucket is a granted space.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

use super::guest::ToolGuest;
use super::log::Log;
use super::reach::{Space, SpaceError, Spaces};
use crate::limits;

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";

/// Where a tool's buckets come from.
pub(super) struct Buckets {
    pub(super) spaces: Option<Arc<dyn Spaces>>,
    pub(super) log: Log,
}

/// A space that a guest opened.
struct Bucket(Arc<dyn Space>);

/// `wasi:keyvalue/store`, variant `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum WitError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// `wasi:keyvalue/store`, record `key-response`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct WitKeys {
    keys: Vec<String>,
    cursor: Option<u64>,
}

type Answer<T> = std::result::Result<T, WitError>;

fn told(log: &Log, error: SpaceError) -> WitError {
    match error {
        SpaceError::Denied(why) => {
            log.write(format!("[denied] {why}\n").as_bytes());
            WitError::AccessDenied
        }
        SpaceError::Failed(why) => WitError::Other(why),
    }
}

/// A bucket as one call of it needs it: nothing is borrowed while others are waited for.
struct Held {
    space: Arc<dyn Space>,
    log: Log,
}

impl Held {
    fn of(store: &mut StoreContextMut<'_, ToolGuest>, bucket: &Resource<Bucket>) -> Result<Held> {
        let guest = store.data_mut();
        let Bucket(space) = guest.table.get(bucket)?;
        Ok(Held { space: Arc::clone(space), log: guest.log.clone() })
    }

    async fn get(&self, key: String) -> Answer<Option<Vec<u8>>> {
        self.space.get(key).await.map_err(|e| told(&self.log, e))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Answer<()> {
        self.space.set(key, value).await.map_err(|e| told(&self.log, e))
    }

    async fn delete(&self, key: String) -> Answer<()> {
        self.space.delete(key).await.map_err(|e| told(&self.log, e))
    }

    async fn increment(&self, key: String, delta: u64) -> Answer<u64> {
        self.space.increment(key, delta).await.map_err(|e| told(&self.log, e))
    }
}

pub(super) fn link(linker: &mut Linker<ToolGuest>) -> Result<()> {
    link_store(linker)?;
    link_atomics(linker)?;
    link_batch(linker)
}

fn link_store(linker: &mut Linker<ToolGuest>) -> Result<()> {
    let mut store = linker.instance(STORE)?;
    store.resource("bucket", ResourceType::host::<Bucket>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Bucket>::new_own(rep))?;
        Ok(())
    })?;
    store.func_wrap("open", |mut store: StoreContextMut<'_, ToolGuest>, (space,): (String,)| {
        let guest = store.data_mut();
        let Some(spaces) = guest.buckets.spaces.clone() else {
            let why = format!("this tool has no kv grant; the space {space:?} is not opened");
            return Ok((Err(told(&guest.buckets.log, SpaceError::Denied(why))),));
        };
        match spaces.open(&space) {
            Ok(space) => Ok((Answer::Ok(guest.table.push(Bucket(space))?),)),
            Err(e) => Ok((Err(told(&guest.buckets.log, e)),)),
        }
    })?;
    store.func_wrap_async("[method]bucket.get", |mut store, (bucket, key): (Resource<Bucket>, String)| {
        Box::new(async move { Ok((Held::of(&mut store, &bucket)?.get(key).await,)) })
    })?;
    store.func_wrap_async("[method]bucket.set", |mut store, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| {
        Box::new(async move { Ok((Held::of(&mut store, &bucket)?.set(key, value).await,)) })
    })?;
    store.func_wrap_async("[method]bucket.delete", |mut store, (bucket, key): (Resource<Bucket>, String)| {
        Box::new(async move { Ok((Held::of(&mut store, &bucket)?.delete(key).await,)) })
    })?;
    store.func_wrap_async("[method]bucket.exists", |mut store, (bucket, key): (Resource<Bucket>, String)| {
        Box::new(async move { Ok((Held::of(&mut store, &bucket)?.get(key).await.map(|value| value.is_some()),)) })
    })?;
    store.func_wrap_async("[method]bucket.list-keys", |mut store, (bucket, cursor): (Resource<Bucket>, Option<u64>)| {
        Box::new(async move { Ok((list(&Held::of(&mut store, &bucket)?, cursor.unwrap_or(0)).await,)) })
    })
}

/// A cursor is a number of keys that were seen; the guest may make one up, and then sees other keys of the same space.
async fn list(held: &Held, cursor: u64) -> Answer<WitKeys> {
    let seen = usize::try_from(cursor).unwrap_or(usize::MAX);
    let (mut passed, mut after) = (0_usize, None::<String>);
    loop {
        let page = held.space.keys(after).await.map_err(|e| told(&held.log, e))?;
        let Some(last) = page.last().cloned() else { return Ok(WitKeys { keys: Vec::new(), cursor: None }) };
        if passed.saturating_add(page.len()) > seen {
            let keys: Vec<String> = page.into_iter().skip(seen - passed).collect();
            let next = cursor.saturating_add(keys.len() as u64);
            return Ok(WitKeys { keys, cursor: Some(next) });
        }
        (passed, after) = (passed.saturating_add(page.len()), Some(last));
    }
}

fn link_atomics(linker: &mut Linker<ToolGuest>) -> Result<()> {
    linker.instance(ATOMICS)?.func_wrap_async("increment", |mut store, (bucket, key, delta): (Resource<Bucket>, String, u64)| {
        Box::new(async move { Ok((Held::of(&mut store, &bucket)?.increment(key, delta).await,)) })
    })
}

fn link_batch(linker: &mut Linker<ToolGuest>) -> Result<()> {
    let mut batch = linker.instance(BATCH)?;
    batch.func_wrap_async("get-many", |mut store, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
        Box::new(async move {
            let held = Held::of(&mut store, &bucket)?;
            if let Err(e) = few(keys.len()) {
                return Ok((Err(e),));
            }
            let mut found = Vec::with_capacity(keys.len());
            let mut bytes = 0;
            for key in keys {
                let value = match held.get(key.clone()).await {
                    Ok(value) => value,
                    Err(e) => return Ok((Err(e),)),
                };
                bytes += value.as_ref().map_or(0, Vec::len);
                if bytes > limits::HOSTCALL_BYTES_MAX {
                    return Ok((Err(WitError::Other(format!("more than {} bytes at once", limits::HOSTCALL_BYTES_MAX))),));
                }
                found.push(value.map(|value| (key, value)));
            }
            Ok((Ok(found),))
        })
    })?;
    batch.func_wrap_async("set-many", |mut store, (bucket, pairs): (Resource<Bucket>, Vec<(String, Vec<u8>)>)| {
        Box::new(async move {
            let held = Held::of(&mut store, &bucket)?;
            if let Err(e) = few(pairs.len()) {
                return Ok((Err(e),));
            }
            for (key, value) in pairs {
                if let Err(e) = held.set(key, value).await {
                    return Ok((Err(e),));
                }
            }
            Ok((Ok(()),))
        })
    })?;
    batch.func_wrap_async("delete-many", |mut store, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
        Box::new(async move {
            let held = Held::of(&mut store, &bucket)?;
            if let Err(e) = few(keys.len()) {
                return Ok((Err(e),));
            }
            for key in keys {
                if let Err(e) = held.delete(key).await {
                    return Ok((Err(e),));
                }
            }
            Ok((Ok(()),))
        })
    })
}

fn few(keys: usize) -> Answer<()> {
    match keys > limits::KV_BATCH_KEYS_MAX {
        true => Err(WitError::Other(format!("{keys} keys at once; at most {}", limits::KV_BATCH_KEYS_MAX))),
        false => Ok(()),
    }
}
