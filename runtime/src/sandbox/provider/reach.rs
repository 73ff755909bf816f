//! What one call of a tool component may reach, as plain data and two doors.
//!
//! Who fills it in knows grants; here they are not known. The default reaches nothing.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A boxed answer of one of the doors.
pub type Reached<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Everything that a call may reach. What is not named is not there, or stands still.
#[derive(Clone, Default)]
pub struct Reach {
    /// Directories of the host, each under the name that the guest sees.
    pub directories: Vec<Directory>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// What `wasi:config` answers.
    pub configuration: Vec<(String, String)>,
    /// True where the clocks go. Otherwise it is always the beginning of 1970.
    pub clock: bool,
    /// True where random numbers are random. Otherwise they are the same in every call.
    pub random: bool,
    /// Where requests go out; none refuses them all.
    pub web: Option<Arc<dyn Web>>,
    /// Where keys and values are kept; none refuses every bucket.
    pub spaces: Option<Arc<dyn Spaces>>,
}

/// One directory.
#[derive(Clone, Debug)]
pub struct Directory {
    /// As the guest sees it: `/name`.
    pub name: String,
    /// Where it is on the host.
    pub path: PathBuf,
    /// True where it may be changed.
    pub writable: bool,
}

/// The way out to web servers. It decides what may go out.
pub trait Web: Send + Sync {
    /// Sends one request, and reads the whole answer.
    fn send(&self, request: WebRequest) -> Reached<Result<WebAnswer, WebRefusal>>;
}

/// A request, not yet judged.
#[derive(Debug, Clone)]
pub struct WebRequest {
    /// As it goes over the wire.
    pub method: String,
    /// With scheme and host.
    pub url: String,
    /// In their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Bounded by [`crate::limits::HTTP_REQUEST_BYTES_MAX`].
    pub body: Vec<u8>,
    /// For the whole exchange, where the guest says.
    pub timeout: Option<Duration>,
}

/// An answer, as it came.
#[derive(Debug, Clone)]
pub struct WebAnswer {
    /// 100 to 599.
    pub status: u16,
    /// In their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Bounded by the gate.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebRefusal {
    /// It was not sent, since nothing allows it. The text says what would.
    Denied(String),
    /// It was not sent, since it reads in two ways or is too large.
    Malformed(String),
    /// No connection came about.
    Unreachable(String),
    /// The time was over.
    Late,
    /// The answer is larger than what is read.
    TooLarge,
    /// The connection broke.
    Broken(String),
}

/// The way to the spaces of keys and values. It decides which may be used.
pub trait Spaces: Send + Sync {
    /// A space, if it may be looked into.
    ///
    /// # Errors
    /// Why not.
    fn open(&self, space: &str) -> Result<Arc<dyn Space>, SpaceError>;
}

/// One space.
pub trait Space: Send + Sync {
    /// A value.
    fn get(&self, key: String) -> Reached<Result<Option<Vec<u8>>, SpaceError>>;
    /// Puts a value; durable when it returns.
    fn set(&self, key: String, value: Vec<u8>) -> Reached<Result<(), SpaceError>>;
    /// Takes a value away; what is not there is fine.
    fn delete(&self, key: String) -> Reached<Result<(), SpaceError>>;
    /// Keys in their order, behind `after`: as many as fit on a page, none at the end.
    fn keys(&self, after: Option<String>) -> Reached<Result<Vec<String>, SpaceError>>;
    /// Adds to a number that is kept as decimal text; what it is then.
    fn increment(&self, key: String, delta: u64) -> Reached<Result<u64, SpaceError>>;
}

/// Why a space does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpaceError {
    /// Nothing allows it. The text says what would.
    Denied(String),
    /// Too large, or the disk refuses.
    Failed(String),
}
