//! Only who asked for this machine by its own name is answered.
//!
//! A page on the web cannot read answers of another origin, but it can make its own host name point to
//! 127.0.0.1 (DNS rebinding), and then it is the same origin. Its name stands in `Host`, so that is looked at.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::{Code, Error};

/// Lets a request through whose `Host` is a loopback name or address, with any port; or that has none, as only
/// programs send it.
pub(super) async fn is_ours(request: Request, next: Next) -> Response {
    let named = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default().to_owned());
    let named = named.or_else(|| request.uri().authority().map(|authority| authority.as_str().to_owned()));
    match named {
        Some(host) if !is_loopback(&host) => {
            let message = format!("this server answers for localhost, 127.0.0.1 and [::1] only, not for {host:?}");
            Error::new(Code::HostNotAllowed, message).into_response()
        }
        _ => next.run(request).await,
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for ours in ["localhost", "LOCALHOST:7480", "127.0.0.1:7480", "127.9.9.9", "[::1]:7480", "[::1]"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]:80", "evil:localhost"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
