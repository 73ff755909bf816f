//! The same work for each of several runs, on as many threads as there are processors.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

/// What `work` makes of 0, 1, ... `count` - 1, in this order.
pub(super) fn side_by_side<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(count);
    let share = |first: usize| -> Vec<(usize, T)> { (first..count).step_by(threads).map(|at| (at, work(at))).collect() };
    let mut made: Vec<(usize, T)> = thread::scope(|scope| {
        let share = &share;
        let started: Vec<_> =
            (1..threads).map(|first| thread::Builder::new().spawn_scoped(scope, move || share(first)).map_err(|_| first)).collect();
        let own = if count == 0 { Vec::new() } else { share(0) };
        let others = started.into_iter().flat_map(|started| match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No thread is left to be had: then it is done here.
            Err(first) => share(first),
        });
        own.into_iter().chain(others).collect()
    });
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_made_once_and_in_its_place() {
        for count in 0..9 {
            assert_eq!(side_by_side(count, |at| at * at), (0..count).map(|at| at * at).collect::<Vec<_>>());
        }
    }
}
