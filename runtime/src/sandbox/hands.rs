//! Threads for the guests of tools and for playbooks that compute for long, apart from those that serve everyone.
//!
//! A guest gives way often, but not within one instruction or one call of the host: filling its memory for the first time takes
//! milliseconds. On threads of their own, with less claim on the processors, such guests hold up each other and nobody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::limits;

/// The threads.
pub(super) struct Hands(Option<Runtime>);

/// How the calls of one component, or the runs of one playbook, were so far. The way to the threads and back takes longer than a
/// small call.
#[derive(Default)]
pub(super) struct Manner(AtomicU8);

impl Manner {
    const QUICK: u8 = 1;
    const SLOW: u8 = 2;

    fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Manner::QUICK
    }

    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Manner::SLOW
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
        let runtime = Builder::new_multi_thread().thread_name("guest").on_thread_start(step_back).enable_all().build()?;
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
        let done = self.take(work).await;
        if begun.elapsed() <= limits::TOOL_QUICK_TIME_MAX {
            manner.was_quick();
        }
        done
    }

    /// Does `work` where it is, for as long as it leaves most of the processor to others; from then on, and from the beginning the
    /// next time, it is done here. Dropping the future stops it.
    ///
    /// A playbook waits for its tools again and again, so what counts is not the time that passes but what its thread works for it.
    pub(super) async fn run_patiently<T: Send + 'static>(&self, manner: &Manner, work: impl Future<Output = T> + Send + 'static) -> T {
        let mut work: Work<T> = Box::pin(work.in_current_span());
        let mut worked = Duration::ZERO;
        let stayed = std::future::poll_fn(|context| {
            if manner.is_slow() {
                return Poll::Ready(None);
            }
            let before = thread_time();
            let polled = work.as_mut().poll(context);
            worked += thread_time().saturating_sub(before);
            match polled {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if worked > limits::PLAYBOOK_QUICK_TIME_MAX => {
                    manner.was_slow();
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }
        });
        match stayed.await {
            Some(done) => done,
            None => self.take(work).await,
        }
    }

    async fn take<T: Send + 'static>(&self, work: Work<T>) -> T {
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        Ending(runtime.spawn(work)).await
    }
}

/// What this thread has worked so far. Time in which others had its processor does not count.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Where a thread's own time is not to be had, the time that passes stands for it.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGUN.elapsed()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_thread_for_guests() -> bool {
        std::thread::current().name() == Some("guest")
    }

    /// Gives way after each millisecond of work.
    async fn works_for(milliseconds: u128) {
        for _ in 0..milliseconds {
            let begun = thread_time();
            while thread_time() - begun < Duration::from_millis(1) {}
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_waits_stays_and_what_computes_for_long_goes_and_is_not_tried_again() {
        let (hands, patient, greedy) = (Hands::new().unwrap(), Manner::default(), Manner::default());
        let waits = || async {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            on_a_thread_for_guests()
        };
        for _ in 0..3 {
            assert!(!hands.run_patiently(&patient, waits()).await);
        }
        let computes = async {
            let began = on_a_thread_for_guests();
            works_for(limits::PLAYBOOK_QUICK_TIME_MAX.as_millis() * 2).await;
            (began, on_a_thread_for_guests())
        };
        assert_eq!(hands.run_patiently(&greedy, computes).await, (false, true));
        assert!(hands.run_patiently(&greedy, waits()).await);
        assert!(!hands.run_patiently(&patient, waits()).await, "each playbook for itself");
    }
}
