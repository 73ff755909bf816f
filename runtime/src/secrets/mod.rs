//! Secrets: kept sealed on disk, known to nobody but the gate that sends them, and taken out of whatever comes back.
//!
//! Its job: keep values under names, find them wherever they turn up, and say which there are without saying what they are. Guests,
//! journals and people see a [`placeholder`]. It does not know grants, requests or jobs: whether a value may go somewhere is decided
//! by who asks for it. Alone in naming chacha20poly1305.
//!
//! ```text
//! sealed        one row, under the key in DIR/secrets.key
//! placeholder   {{secret:NAME}}
//! forms, views  how a secret may be written      ┐
//! scrub         a text without secrets           ┘ of everything that comes back
//! ```
//!
//! The rules that must stay true: a value leaves through [`Known::reveal`] alone; nothing prints one; where the secrets cannot be read,
//! nothing runs that could show one.
//!
//! Values are wiped from this module's memory when they are replaced, removed or the process ends in order. What a request to set one
//! passed through, and what the network layer copies while it sends one, is not.

mod forms;
mod placeholder;
mod scrub;
mod sealed;
mod views;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};

use zeroize::Zeroizing;

pub use self::placeholder::{Found, placeholder, placeholders, placeholders_without};
pub use self::scrub::Scrubber;
pub use self::views::Coding;

use self::sealed::Sealed;
use crate::error::{Code, Error, Result};
use crate::ids::SecretName;
use crate::store::{Batch, KeyFile, SecretKey, Store};
use crate::{blocking, clock, limits};

/// The name of the key's file in the data directory. It is made when the first secret is set, and stays.
pub const KEY_FILE_NAME: &str = "secrets.key";

/// A text that is wiped from memory when it is dropped, and never printed.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a value.
    #[must_use]
    pub fn new(text: String) -> SecretText {
        SecretText(Zeroizing::new(text))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({} bytes)", self.0.len())
    }
}

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: SecretName,
    /// Bytes of its value.
    pub bytes: usize,
    /// When it was set first, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it was set last.
    pub updated_ms: u64,
}

/// All secrets at one moment. Those who send a request keep this until its answer is scrubbed, so that a value which is replaced in
/// between is still found.
#[derive(Default)]
pub struct Known {
    values: BTreeMap<SecretName, SecretText>,
    scrubber: Scrubber,
}

impl Known {
    /// The value of a secret, for the gate that puts it into a request which a grant covers, and for nobody else.
    pub(crate) fn reveal(&self, name: &SecretName) -> Option<&str> {
        self.values.get(name).map(SecretText::as_str)
    }

    /// Takes these secrets out of what comes back.
    #[must_use]
    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    fn of(values: BTreeMap<SecretName, SecretText>) -> Known {
        let scrubber = Scrubber::new(values.iter().map(|(name, value)| (name, value.as_str())));
        Known { values, scrubber }
    }

    /// These, for tests that keep none.
    #[cfg(test)]
    pub(crate) fn for_test(values: &[(&str, &str)]) -> Known {
        let each = values.iter().map(|(name, value)| (SecretName::parse(name).unwrap(), SecretText::new((*value).to_owned())));
        Known::of(each.collect())
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// The secrets of one data directory. Cheap to clone; the default has none, and keeps none.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: Option<Kept>,
    state: Arc<RwLock<State>>,
    /// Taken by whoever changes a secret.
    writing: tokio::sync::Mutex<()>,
}

struct Kept {
    store: Store,
}

/// A secret's name, and its row where that is one.
type Row = (SecretName, Option<Sealed>);

/// What was read from disk last. Locked to look or to exchange it, for a moment.
#[derive(Default)]
struct State {
    about: Vec<About>,
    known: Arc<Known>,
    /// Why the values could not be read.
    locked: Option<Error>,
}

/// Those that are open in this process, for its log.
static OPEN: Mutex<Vec<Weak<RwLock<State>>>> = Mutex::new(Vec::new());

impl Secrets {
    /// Without any.
    #[must_use]
    pub fn none() -> Secrets {
        Secrets::default()
    }

    /// These, which no store keeps.
    #[cfg(test)]
    pub(crate) fn for_test(values: &[(&str, &str)]) -> Secrets {
        let secrets = Secrets::none();
        secrets.exchange(values);
        secrets
    }

    /// From now on these, as if others had been set and removed.
    #[cfg(test)]
    pub(crate) fn exchange(&self, values: &[(&str, &str)]) {
        self.0.state.write().unwrap().known = Arc::new(Known::for_test(values));
    }

    /// Reads the secrets of a data directory. Blocks.
    ///
    /// Where they are there and cannot be opened, that is no error yet, since they can still be listed and removed:
    /// [`Secrets::check`] tells.
    ///
    /// # Errors
    /// `store_unavailable`, `data_corrupt` where the store itself does not read.
    pub fn open(store: &Store) -> Result<Secrets> {
        let kept = Kept { store: store.clone() };
        let state = kept.read()?;
        let state = Arc::new(RwLock::new(state));
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|state| state.strong_count() > 0);
        open.push(Arc::downgrade(&state));
        drop(open);
        Ok(Secrets(Arc::new(Inner { kept: Some(kept), state, writing: tokio::sync::Mutex::default() })))
    }

    /// # Errors
    /// `secrets_locked` where there are secrets and they cannot be opened, with what to do.
    pub fn check(&self) -> Result<()> {
        self.state().locked.clone().map_or(Ok(()), Err)
    }

    /// All secrets as they are now.
    #[must_use]
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.state().known)
    }

    /// Which there are, by name.
    #[must_use]
    pub fn list(&self) -> Vec<About> {
        self.state().about.clone()
    }

    /// Keeps a value under a name, in the place of the one that was there. It is on disk, sealed, when this returns. Whether it is
    /// new is told beside it.
    ///
    /// # Errors
    /// `invalid_request` for a value that cannot be a secret, `too_large` for one that is too long or one too many, `secrets_locked`,
    /// `store_unavailable`, `store_poisoned`.
    pub async fn set(&self, name: &SecretName, value: SecretText) -> Result<(About, bool)> {
        check_value(&value)?;
        let _writing = self.0.writing.lock().await;
        let kept = self.kept()?;
        self.check()?;
        let before = self.list();
        let old = before.iter().find(|about| about.name == *name);
        if old.is_none() && before.len() >= limits::SECRETS_MAX {
            let why = format!("there are {} secrets, which is as many as there may be; remove one that is no longer used", before.len());
            return Err(Error::new(Code::TooLarge, why));
        }
        let now = clock::now_ms();
        let (inner, row_name, created) = (Arc::clone(&self.0), name.clone(), old.map_or(now, |old| old.created_ms));
        let row = blocking::run(move || {
            // Made where there is none: the key of an earlier secret would have been missed by now.
            let key = inner.kept()?.store.key_file(KEY_FILE_NAME).map_err(locked)?;
            Ok::<_, Error>(Sealed::seal(&key, &row_name, value.as_str(), created, now)?.to_row())
        })
        .await?;
        let mut batch = Batch::new();
        batch.put(&SecretKey { name: name.clone() }, row);
        kept.store.commit(batch).await?;
        self.read_again().await?;
        let about = self.list().into_iter().find(|about| about.name == *name);
        let about = about.ok_or_else(|| Error::new(Code::InternalError, format!("the secret {name} was set, and is not there")))?;
        Ok((about, old.is_none()))
    }

    /// Forgets a secret. It is gone from the store when this returns.
    ///
    /// # Errors
    /// `secret_not_found`, `store_unavailable`, `store_poisoned`.
    pub async fn remove(&self, name: &SecretName) -> Result<()> {
        let _writing = self.0.writing.lock().await;
        let kept = self.kept()?;
        let all = self.list();
        if !all.iter().any(|about| about.name == *name) {
            let names: Vec<&str> = all.iter().map(|about| about.name.as_str()).collect();
            let there = if names.is_empty() { "none is set".to_owned() } else { format!("there are {}", names.join(", ")) };
            return Err(Error::new(Code::SecretNotFound, format!("no secret {name}; {there}")));
        }
        let mut batch = Batch::new();
        batch.delete(&SecretKey { name: name.clone() });
        kept.store.commit(batch).await?;
        self.read_again().await
    }

    fn kept(&self) -> Result<&Kept> {
        self.0.kept()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_again(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        blocking::run(move || {
            let state = inner.kept()?.read()?;
            *inner.state.write().unwrap_or_else(PoisonError::into_inner) = state;
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn kept(&self) -> Result<&Kept> {
        self.kept.as_ref().ok_or_else(|| Error::new(Code::InternalError, "there is no data directory here to keep secrets in"))
    }
}

impl Kept {
    fn key_path(&self) -> PathBuf {
        self.store.dir().join(KEY_FILE_NAME)
    }

    fn read(&self) -> Result<State> {
        let rows = self.store.scan(&SecretKey::all(), None, limits::SECRETS_MAX + 1)?;
        let rows: Vec<Row> = rows.into_iter().map(|(key, row)| (key.name, Sealed::of_row(&row))).collect();
        let about = |(name, row): &Row| {
            let told = |of: fn(&Sealed) -> u64| row.as_ref().map(of).unwrap_or_default();
            let bytes = row.as_ref().map(Sealed::bytes).unwrap_or_default();
            About { name: name.clone(), bytes, created_ms: told(|row| row.created_ms), updated_ms: told(|row| row.updated_ms) }
        };
        let about = rows.iter().map(about).collect();
        Ok(match self.open(&rows) {
            Ok(values) => State { about, known: Arc::new(Known::of(values)), locked: None },
            Err(e) => State { about, known: Arc::default(), locked: Some(e) },
        })
    }

    fn open(&self, rows: &[Row]) -> Result<BTreeMap<SecretName, SecretText>> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        let path = self.key_path();
        let key = KeyFile::read(&path).map_err(|e| match e.code {
            Code::FileNotFound => {
                let why = format!(
                    "{} is not there, so the secrets {} cannot be opened; put it back, or remove them with `reprise secrets remove` and \
                     set them anew",
                    path.display(),
                    names.join(", ")
                );
                Error::new(Code::SecretsLocked, why)
            }
            _ => locked(e),
        })?;
        let open = |(name, row): &Row| match row.as_ref().and_then(|row| row.open(&key, name)) {
            Some(value) => Ok((name.clone(), SecretText(value))),
            None => {
                let why = format!(
                    "the secret {name} does not open under {}, which is the key of other secrets, or its row was changed; \
                     put the right key there, or remove it with `reprise secrets remove {name}` and set it anew",
                    path.display()
                );
                Err(Error::new(Code::SecretsLocked, why))
            }
        };
        rows.iter().map(open).collect()
    }
}

/// The key is there and is none.
fn locked(e: Error) -> Error {
    match e.code {
        Code::InvalidConfiguration => {
            let why = format!("{}; without the key that they were set under, secrets cannot be opened", e.message);
            Error::new(Code::SecretsLocked, why)
        }
        _ => e,
    }
}

/// A line of the log without the secrets of this process.
#[must_use]
pub fn scrub_line(line: &[u8]) -> Cow<'_, [u8]> {
    // Nothing of this may log: it is the log that asks.
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter().filter_map(Weak::upgrade).fold(Cow::Borrowed(line), |line, state| {
        let known = Arc::clone(&state.read().unwrap_or_else(PoisonError::into_inner).known);
        match known.scrubber().bytes(&line) {
            Cow::Borrowed(_) => line,
            Cow::Owned(clean) => Cow::Owned(clean),
        }
    })
}

/// # Errors
/// `invalid_request` that does not repeat the value.
fn check_value(value: &SecretText) -> Result<()> {
    let text = value.as_str();
    let wrong = |why: String| Err(Error::invalid("/value", why));
    if text.len() < limits::SECRET_BYTES_MIN {
        return wrong(format!(
            "has {} bytes; a secret has at least {}, since each of its occurrences is replaced wherever it turns up, and a shorter one would \
             turn up by chance",
            text.len(),
            limits::SECRET_BYTES_MIN
        ));
    }
    if text.len() > limits::SECRET_BYTES_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!("/value: has {} bytes; a secret has at most {}", text.len(), limits::SECRET_BYTES_MAX),
        ));
    }
    if placeholders(text.as_bytes()).next().is_some() {
        return wrong("holds a placeholder; give the value itself".to_owned());
    }
    Ok(())
}
