//! The connections that this process makes to others, set up in one place.
//!
//! It does not know what is asked, nor what an answer means. The rule that must stay true: a request goes to the address that
//! it names and nowhere else, once.

use std::error::Error as _;
use std::sync::OnceLock;

use reqwest::dns::Resolve;

use crate::limits;

/// What an operator's configuration names is found as this machine finds names.
///
/// # Errors
/// Why no client can be made.
pub(crate) fn client(scheme: &str) -> Result<&'static reqwest::Client, &'static str> {
    static PLAIN: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    static SECURE: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let kept = if scheme == "http" { &PLAIN } else { &SECURE };
    kept.get_or_init(|| build(of_scheme(scheme))).as_ref().map_err(String::as_str)
}

/// A client that finds names only through `names`, and speaks this scheme.
///
/// # Errors
/// Why none can be made.
pub(crate) fn client_that_asks(scheme: &str, names: impl Resolve + 'static) -> Result<reqwest::Client, String> {
    build(of_scheme(scheme).dns_resolver(names))
}

/// That for `https` reads the system's certificates; that for `http` works where there are none.
fn of_scheme(scheme: &str) -> reqwest::ClientBuilder {
    match scheme {
        "http" => reqwest::Client::builder().tls_certs_only([]),
        _ => reqwest::Client::builder().https_only(true),
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    // Another part of the process may have chosen one before; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .user_agent(concat!("reprise/", env!("CARGO_PKG_VERSION")))
        // Where a request goes, and a secret with it, is for grants and configuration to say, not for HTTP_PROXY or a redirect.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Whether it is repeated is for the job to decide.
        .retry(reqwest::retry::never())
        // A connection that was kept could be closed by the other side just when the next request goes out, and then nobody
        // knows whether that request was seen.
        .pool_max_idle_per_host(0)
        .http1_only()
        .connect_timeout(limits::HTTP_CONNECT_TIME_MAX)
        .build()
        .map_err(reason)
}

/// The innermost reason, without the URL, whose query may hold a secret.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}
