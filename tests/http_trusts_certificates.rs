//! `https`: a server with a certificate that this machine trusts is spoken to, any other is not sent anything.
//!
//! Which certificates are trusted is read from the environment once in a process, so the side that asks is a process of its
//! own: this test binary, run again with `SSL_CERT_FILE`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reprise::contract::ToolId;
use reprise::json::Json;
use reprise::tools::{Grant, Grants, Registry};
use serde_json::json;

/// Set where this is the process that asks: the origins, and what is to become of each.
const ORIGINS: &str = "REPRISE_TEST_ORIGINS";

/// Speaks TLS with a certificate for these names, and counts what it is asked.
struct Secure {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Secure {
    fn start(issuer: &CertifiedIssuer<'_, KeyPair>, names: &[&str]) -> Secure {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, issuer).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counts = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // A client that turns away is no failure of the server's.
                let _ = answer(rustls::StreamOwned::new(session, stream.unwrap()), &counts);
            }
        });
        Secure { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    asked.fetch_add(1, Ordering::SeqCst);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret")?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn a_server_is_spoken_to_where_its_certificate_is_trusted_and_names_it() {
    if let Ok(origins) = std::env::var(ORIGINS) {
        return ask(&origins);
    }
    let (trusted, unknown) = (issuer(), issuer());
    let good = Secure::start(&trusted, &["127.0.0.1", "localhost"]);
    let other_name = Secure::start(&trusted, &["pay.example"]);
    let nobody_knows = Secure::start(&unknown, &["127.0.0.1", "localhost"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trusted.pem");
    std::fs::write(&file, trusted.pem()).unwrap();
    let origins = json!([
        [format!("https://{}", good.address), "answers"],
        [format!("https://localhost:{}", good.address.port()), "answers"],
        [format!("https://{}", other_name.address), "refused"],
        [format!("https://{}", nobody_knows.address), "refused"],
    ]);
    let asks = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "http_trusts_certificates::a_server_is_spoken_to_where_its_certificate_is_trusted_and_names_it", "--nocapture"])
        .env("SSL_CERT_FILE", &file)
        .env_remove("SSL_CERT_DIR")
        .env(ORIGINS, origins.to_string())
        .output()
        .unwrap();
    assert!(asks.status.success(), "{}{}", String::from_utf8_lossy(&asks.stdout), String::from_utf8_lossy(&asks.stderr));
    assert_eq!((good.asked(), other_name.asked(), nobody_knows.asked()), (2, 0, 0));
}

fn ask(origins: &str) {
    let origins: Vec<(String, String)> = serde_json::from_str(origins).unwrap();
    assert_eq!(origins.len(), 4);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::builtin();
    for (origin, expected) in origins {
        let grants = Grants::open(&[Grant::parse_flag(&format!("http:{origin}")).unwrap()]).unwrap();
        let input = Json::from(&json!({ "url": format!("{origin}/x") }));
        match runtime.block_on(registry.call(&ToolId::parse("http/get").unwrap(), "k", &input, &grants)) {
            Ok(output) => assert!(expected == "answers" && output.value()["body"] == "secret", "{origin}: {output:?}"),
            Err(error) => {
                assert!(expected == "refused" && error.message.ends_with("nothing was sent"), "{origin}: {error}");
                assert!(error.message.contains("certificate"), "{origin}: {error}");
            }
        }
    }
}
