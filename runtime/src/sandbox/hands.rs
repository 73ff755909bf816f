//! Threads for the guests of tools, apart from those that serve everyone.
//!
//! A guest gives way often, but not within one instruction or one call of the host: filling its memory for the first time takes
//! milliseconds. On threads of their own, with less claim on the processors, such guests hold up each other and nobody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::limits;

/// The threads.
pub(super) struct Hands(Option<Runtime>);

/// How the calls of one component were so far. The way to the threads and back takes longer than a small call.
#[derive(Default)]
pub(super) struct Manner(AtomicU8);

impl Manner {
    const QUICK: u8 = 1;
    const SLOW: u8 = 2;

    fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Manner::QUICK
    }

    /// One call at a time was over at once; from then on it is tried where it is made.
    fn was_quick(&self) {
        // One that was slow where it held others up stays slow.
        let _ = self.0.compare_exchange(0, Manner::QUICK, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn was_slow(&self) {
        self.0.store(Manner::SLOW, Ordering::Relaxed);
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Hands {
    /// As many threads as there are processors.
    ///
    /// # Errors
    /// The machine has no room for them.
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().thread_name("tool").on_thread_start(step_back).enable_all().build()?;
        Ok(Hands(Some(runtime)))
    }

    /// Does `work`. Dropping the future stops it.
    pub(super) async fn run<T: Send + 'static>(&self, manner: &Manner, work: impl Future<Output = T> + Send + 'static) -> T {
        let begun = Instant::now();
        let mut work: Work<T> = Box::pin(work.in_current_span());
        if manner.is_quick() {
            let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
            if begun.elapsed() > limits::TOOL_QUICK_TIME_MAX {
                manner.was_slow();
            }
            if let Poll::Ready(done) = first {
                return done;
            }
        }
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        let done = Ending(runtime.spawn(work)).await;
        if begun.elapsed() <= limits::TOOL_QUICK_TIME_MAX {
            manner.was_quick();
        }
        done
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        // Dropped as it is, it would wait for its threads, which no task may do.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work under way, which ends with whoever waits for it.
struct Ending<T>(JoinHandle<T>);

impl<T> Future for Ending<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(|done| match done {
            Ok(value) => value,
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a sandbox that is gone stops work that somebody waits for.
                Err(_) => panic!("the sandbox is gone"),
            },
        })
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets the threads that serve everyone go first.
#[cfg(target_os = "linux")]
fn step_back() {
    // On Linux this is about the thread that asks. Where it is refused, all are equal.
    let _ = rustix::process::setpriority_process(None, limits::TOOL_THREADS_NICE);
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}
