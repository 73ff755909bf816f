//! Connections that do not stay for nothing.
//!
//! hyper waits for ever for a client that never finishes its headers, never sends a second request, or never
//! reads its answer. Here a connection is ended once nothing was answered for a given time: counted from the last
//! byte written, and anew from the first byte of the next request. It knows no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// Accepts connections that end after `silence`, with small answers sent at once.
pub(super) struct Patient {
    listener: TcpListener,
    silence: Duration,
}

impl Patient {
    pub(super) fn new(listener: TcpListener, silence: Duration) -> Self {
        Patient { listener, silence }
    }
}

impl Listener for Patient {
    type Io = Watched;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Watched, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Otherwise an answer of two packets waits for the client's delayed acknowledgement, 40 ms.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!(%peer, "TCP_NODELAY: {e}");
        }
        (Watched { stream, silence: self.silence, since: Instant::now(), asked: false, alarm: None }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection with its patience.
pub(super) struct Watched {
    stream: TcpStream,
    silence: Duration,
    /// When the connection's present silence began.
    since: Instant,
    /// True once something came in after the last answer.
    asked: bool,
    /// Made at the first wait; it rings late rather than being set anew at each byte.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// What waiting comes to: more waiting, or the end of patience.
    fn waiting<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let due = self.since + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was answered for too long")));
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn written(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match progress {
            Poll::Pending => self.waiting(cx),
            Poll::Ready(done) => {
                self.since = Instant::now();
                self.asked = false;
                Poll::Ready(done)
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.waiting(cx),
            ready => {
                if !self.asked {
                    self.asked = true;
                    self.since = Instant::now();
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, progress)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Everything a client hears that sends `parts`, waiting for an answer after each but the last.
    async fn heard(parts: &[&str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let mut client = TcpStream::connect(address).await.unwrap();
        let talk = async move {
            let mut heard = Vec::new();
            for (n, part) in parts.iter().enumerate() {
                client.write_all(part.as_bytes()).await.unwrap();
                while n + 1 < parts.len() && !heard.ends_with(b"hello") {
                    assert!(client.read_buf(&mut heard).await.unwrap() > 0, "closed before the answer");
                }
            }
            // The server hangs up: an end or a reset, whichever the kernel makes of it.
            let _ = client.read_to_end(&mut heard).await;
            String::from_utf8(heard).unwrap()
        };
        let talk = tokio::time::timeout(Duration::from_secs(20), talk);
        tokio::select! {
            heard = talk => heard.expect("the server hangs up"),
            ended = async { axum::serve(Patient::new(listener, Duration::from_millis(80)), router).await } => panic!("{ended:?}"),
        }
    }

    #[tokio::test]
    async fn a_small_answer_is_sent_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (watched, _) = Patient::new(listener, Duration::from_secs(1)).accept().await;
        assert!(watched.stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_its_headers_is_hung_up_on() {
        assert_eq!(heard(&["GET / HTT"]).await, "");
        assert_eq!(heard(&[]).await, "");
    }

    #[tokio::test]
    async fn a_client_that_asks_is_answered_and_hung_up_on_once_it_falls_silent() {
        let heard = heard(&["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET / HTTP/1.1\r\n"]).await;
        assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("hello"), "{heard}");
    }
}
