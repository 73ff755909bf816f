//! Trying again: which errors may pass, how often, and with which pauses.
//!
//! It is pure but for the jitter. It knows no job.

use std::time::Duration;

use crate::contract::{Effect, ErrorKind};
use crate::{ids, limits};

/// True where the same call may come to something else later. For what must happen once only an error that promises that
/// nothing happened counts.
pub(super) fn may_pass(kind: ErrorKind, effect: Effect) -> bool {
    match kind {
        ErrorKind::Unavailable => true,
        ErrorKind::Timeout => effect != Effect::Once,
        _ => false,
    }
}

/// The pause after so many tries: doubled each time, and shortened by up to half at random, so that many who failed at
/// once do not come back at once.
pub(super) fn pause_ms(first_ms: u64, tries: u32) -> u64 {
    let doubled = first_ms.saturating_mul(1 << tries.saturating_sub(1).min(40)).min(limits::PAUSE_MS_MAX);
    doubled - jitter(doubled / 2)
}

fn jitter(most: u64) -> u64 {
    if most == 0 { 0 } else { ids::random_u64() % (most + 1) }
}

/// What is left of so many milliseconds that began at `since_ms`.
pub(super) fn left(since_ms: u64, most_ms: Option<u64>, now_ms: u64) -> Option<Duration> {
    most_ms.map(|most| Duration::from_millis(since_ms.saturating_add(most).saturating_sub(now_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_once_is_not_tried_again() {
        for kind in ErrorKind::ALL {
            assert_eq!(may_pass(kind, Effect::Once), kind == ErrorKind::Unavailable, "{kind:?}");
            let passes = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
            for effect in [Effect::Pure, Effect::Read, Effect::Idempotent] {
                assert_eq!(may_pass(kind, effect), passes, "{kind:?} {effect}");
            }
        }
    }

    #[test]
    fn pauses_double_and_stay_within_their_bounds() {
        for (tries, whole) in [(1, 100), (2, 200), (5, 1_600), (100, limits::PAUSE_MS_MAX)] {
            for _ in 0..100 {
                let pause = pause_ms(100, tries);
                assert!((whole / 2..=whole).contains(&pause), "{pause} after {tries} tries");
            }
        }
        assert_eq!(pause_ms(0, 3), 0);
    }
}
