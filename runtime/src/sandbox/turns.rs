//! Whose turn it is: a guest gives way to others by its fuel and by the clock, and is ended where it does not come back.
//!
//! Fuel alone is not enough: what the host does for a guest within a call takes time and no fuel. So a guest gives way at each tick
//! of the engine's epoch too.

use std::time::Duration;

use wasmtime::{Store, Trap, UpdateDeadline};

use crate::limits;

/// What a store carries for it.
pub(super) struct Turns {
    /// Ticks at which the guest was found on the processor since it last came back by itself.
    taken: u128,
    most: u128,
    /// Fuel that the host's work for it took since it last gave way.
    unpaid: u64,
    /// It is to give way at the next chance, since that was enough.
    due: bool,
}

impl Turns {
    /// At most for `busy` at a stretch.
    pub(super) fn for_at_most(busy: Duration) -> Self {
        Turns { unpaid: 0, due: false, taken: 0, most: busy.as_millis() / limits::EPOCH_TICK.as_millis() }
    }

    /// The host worked for the guest. Charging for it begins the interval anew after which the guest gives way by its fuel, so this
    /// keeps count; true where it is to give way now.
    pub(super) fn worked(&mut self, fuel: u64) -> bool {
        self.unpaid = self.unpaid.saturating_add(fuel);
        self.due = self.unpaid >= limits::FUEL_YIELD_INTERVAL;
        self.due
    }

    /// The guest came back by itself.
    pub(super) fn begin_anew(&mut self) {
        self.taken = 0;
    }
}

/// The data of a store whose guest takes turns.
pub(super) trait TakesTurns: 'static {
    fn turns(&mut self) -> &mut Turns;
}

/// Has the guest of `store` take turns with all others. Its fuel must be set.
pub(super) fn take<T: TakesTurns>(store: &mut Store<T>) {
    store.fuel_async_yield_interval(Some(limits::FUEL_YIELD_INTERVAL)).expect("the interval is not zero");
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let turns = store.data_mut().turns();
        turns.taken += u128::from(!turns.due);
        (turns.unpaid, turns.due) = (0, false);
        match turns.taken > turns.most {
            true => Err(Trap::Interrupt.into()),
            false => Ok(UpdateDeadline::Yield(1)),
        }
    });
}
