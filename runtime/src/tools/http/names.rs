//! Which addresses a name has: asked once for each connection, and judged before it is used.
//!
//! It does not know what is sent. The rule that must stay true: a connection goes to an address that was judged, since
//! the judge's answer is what the connection is made of; nobody asks a second time.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::Reach;

/// The addresses of a name, as they come.
pub type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Says which addresses a name has.
pub trait Names: Send + Sync {
    /// Asks once. An answer may differ from the one before.
    fn look_up(&self, host: &str) -> LookUp;
}

/// As this machine does it: its hosts file, then its name server.
pub(in crate::tools) struct OfThisMachine;

impl Names for OfThisMachine {
    fn look_up(&self, host: &str) -> LookUp {
        // The port is the request's.
        let host = (host.to_owned(), 0);
        Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.map(|address| address.ip()).collect()) })
    }
}

/// Lets nothing through that is beyond its reach.
pub(super) struct Judge {
    pub(super) names: Arc<dyn Names>,
    pub(super) reach: Reach,
}

impl Resolve for Judge {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, reach) = (name.as_str().to_owned(), self.reach);
        let asked = self.names.look_up(&host);
        Box::pin(async move {
            let addresses = asked.await?;
            // One that is not allowed spoils the answer: whoever mixes them has no good reason.
            for address in &addresses {
                reach.judge(*address).map_err(|kind| Forbidden(format!("{host} stands for {address}, {kind}")))?;
            }
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")).into());
            }
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// A name leads where no grant lets it.
#[derive(Debug, Clone)]
pub(super) struct Forbidden(String);

impl Forbidden {
    /// The one among the reasons of a failure, if that is why it failed.
    pub(super) fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Forbidden> {
        let mut reason = Some(error);
        while let Some(error) = reason {
            if let Some(forbidden) = error.downcast_ref() {
                return Some(forbidden);
            }
            reason = error.source();
        }
        None
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Forbidden {}
