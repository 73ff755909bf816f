//! What a tool prints: kept up to a bound, counted beyond it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::limits;

/// Bytes that a stream takes before its guest gives way to others.
const CHUNK_BYTES: usize = 64 * 1024;

/// What was printed in one call. Clones are the same log.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    printed: u64,
}

impl Log {
    pub(super) fn write(&self, bytes: &[u8]) {
        // What is kept stays whole whatever panicked beside it.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.printed = kept.printed.saturating_add(bytes.len() as u64);
        let room = limits::TOOL_LOG_BYTES_MAX.saturating_sub(kept.bytes.len());
        kept.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The text, and how many bytes were printed in all.
    pub(super) fn take(&self) -> (String, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut kept.bytes);
        (String::from_utf8_lossy(&bytes).into_owned(), kept.printed)
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Printed { log: self.clone(), room: CHUNK_BYTES })
    }
}

/// A guest's standard output: whoever filled it waits for a turn.
struct Printed {
    log: Log,
    /// Bytes that it takes until then.
    room: usize,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {
        if self.room == 0 {
            tokio::task::yield_now().await;
            self.room = CHUNK_BYTES;
        }
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Some(room) = self.room.checked_sub(bytes.len()) else {
            let why = format!("{} bytes written to a stream that takes {} now", bytes.len(), self.room);
            return Err(StreamError::Trap(wasmtime::Error::msg(why)));
        };
        self.room = room;
        self.log.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.room)
    }
}

impl AsyncWrite for Log {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Log::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
