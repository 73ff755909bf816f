//! Log lines to standard error, without the secrets of this process, and with the feature `otlp` spans to a collector.
//!
//! It is the only module that names OpenTelemetry. What is in a span is said by [`spans`](crate::spans).

use std::io::{self, Write};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::secrets::scrub_line;

/// Ends what sends spans, and sends those that are left; nothing where nothing sends any.
pub(super) struct Logging {
    #[cfg(feature = "otlp")]
    sender: Option<otlp::Sender>,
}

/// `REPRISE_LOG` says which lines are printed, in the words of tracing's filters; `default` does where it is not set.
pub(super) fn start(default: &str) -> Logging {
    let filter = EnvFilter::try_from_env("REPRISE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // The store underneath tells of every page it moves; its warnings are enough.
    let filter = filter.add_directive("sled=warn".parse().expect("a directive"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Clean(io::stderr())).with_ansi(colours).with_filter(filter);
    let registry = tracing_subscriber::registry().with(lines);
    #[cfg(not(feature = "otlp"))]
    {
        let _ = registry.try_init();
        Logging {}
    }
    #[cfg(feature = "otlp")]
    {
        let sender = otlp::Sender::of_environment();
        let _ = registry.with(sender.as_ref().map(otlp::Sender::layer)).try_init();
        Logging { sender }
    }
}

/// Passes whole lines on without secrets. Whatever a library logs of a request goes through here, too.
struct Clean<W>(W);

impl<W: Write> Write for Clean<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&scrub_line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Logging {
    /// Sends what is left; the process is about to end.
    pub(super) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(sender) = self.sender {
            sender.end();
        }
    }
}

#[cfg(feature = "otlp")]
mod otlp {
    //! Spans to an OpenTelemetry collector, as OTLP over HTTP in protobuf.

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Subscriber, level_filters::LevelFilter};
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::registry::LookupSpan;
    use tracing_subscriber::{Layer, layer};

    use crate::spans;

    /// Without one of these nothing is sent: the default address of the protocol is nobody's wish.
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

    /// Collects spans and sends them from a thread of its own.
    pub(super) struct Sender(SdkTracerProvider);

    impl Sender {
        /// None where no endpoint is given, or it cannot be used; then the reason is printed.
        pub(super) fn of_environment() -> Option<Sender> {
            ENDPOINTS.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))?;
            match SpanExporter::builder().with_http().build() {
                Ok(exporter) => Some(Sender::of(exporter)),
                Err(e) => {
                    eprintln!("note: spans are not sent: {e}");
                    None
                }
            }
        }

        pub(super) fn of(exporter: SpanExporter) -> Sender {
            let resource = Resource::builder();
            // The builder has read the standard's variables; what it is given wins over them.
            let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
            let resource = if named { resource } else { resource.with_service_name("reprise") };
            Sender(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
        }

        pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
            let ours = Targets::new().with_target(spans::TARGET, LevelFilter::DEBUG);
            layer::Layer::with_filter(tracing_opentelemetry::layer().with_tracer(self.0.tracer("reprise")), ours)
        }

        pub(super) fn end(self) {
            if let Err(e) = self.0.shutdown() {
                eprintln!("note: the last spans were not sent: {e}");
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::{Read as _, Write as _};
        use std::net::TcpListener;

        use opentelemetry_otlp::WithExportConfig as _;
        use tracing_subscriber::layer::SubscriberExt as _;

        use super::*;
        use crate::ids::JobId;

        /// The body of the first request that comes.
        fn collected(listener: &TcpListener) -> Vec<u8> {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            loop {
                let n = stream.read(&mut piece).unwrap();
                bytes.extend_from_slice(&piece[..n]);
                let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let length = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                let length: usize = length.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
                if bytes.len() >= head + 4 + length {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                    return bytes[head + 4..].to_vec();
                }
            }
        }

        #[test]
        fn the_span_of_a_jobs_attempt_reaches_the_collector_with_the_jobs_id() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
            let sender = Sender::of(SpanExporter::builder().with_http().with_endpoint(endpoint).build().unwrap());
            let job = JobId::fresh();
            let subscriber = tracing_subscriber::registry().with(sender.layer());
            tracing::subscriber::with_default(subscriber, || {
                let attempt = spans::job_attempt(&job).entered();
                drop(spans::tool_call("fs/read", "key-1").entered());
                attempt.record("status", "completed");
            });
            let body = std::thread::scope(|threads| {
                let body = threads.spawn(|| collected(&listener));
                sender.end();
                body.join().unwrap()
            });
            // Protobuf keeps texts as they are.
            let text = String::from_utf8_lossy(&body);
            for word in [job.to_string().as_str(), "job_attempt", "tool_call", "fs/read", "completed", "reprise"] {
                assert!(text.contains(word), "{word} is not in {text:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SecretName;
    use crate::secrets::{SecretText, Secrets};
    use crate::store::Store;

    #[tokio::test]
    async fn a_line_of_the_log_is_written_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&Store::open(dir.path()).unwrap()).unwrap();
        secrets.set(&SecretName::parse("log-token").unwrap(), SecretText::new("canary of the log".to_owned())).await.unwrap();
        let mut written = Vec::new();
        Clean(&mut written).write_all(b"guest: it says canary of the log, in full\n").unwrap();
        assert_eq!(written, b"guest: it says {{secret:log-token}}, in full\n");
    }
}
