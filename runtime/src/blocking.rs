//! The one place from which blocking work leaves the threads that serve everyone.

/// Runs `work` on a thread that may block, and waits for it.
///
/// Dropping the future does not stop work that has begun.
///
/// # Panics
/// Where `work` panics: the panic goes on in the caller.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away and took the work with it; so will the caller be.
            Err(_) => std::future::pending().await,
        },
    }
}
