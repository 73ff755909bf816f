//! Who may run now: a bounded number of jobs, the most urgent first, and no more of one kind than an operator allows.
//!
//! It knows neither jobs nor tools, only numbers and names. What must stay true: a place that is given back goes to the
//! most urgent of those who wait, and of equally urgent ones to the one who has waited longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A bounded number of places, given out by priority. Cheap to clone.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<Inner>>);

struct Inner {
    free: usize,
    closed: bool,
    arrivals: u64,
    waiting: BTreeMap<(Reverse<u8>, u64), oneshot::Sender<Slot>>,
}

/// A place, until it is dropped.
pub(super) struct Slot(Option<Slots>);

impl Slots {
    pub(super) fn new(places: usize) -> Self {
        Slots(Arc::new(Mutex::new(Inner { free: places, closed: false, arrivals: 0, waiting: BTreeMap::new() })))
    }

    /// A place; none once it is closed.
    pub(super) async fn acquire(&self, priority: u8) -> Option<Slot> {
        let granted = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.closed {
                return None;
            }
            if inner.free > 0 {
                inner.free -= 1;
                return Some(Slot(Some(self.clone())));
            }
            let (grant, granted) = oneshot::channel();
            inner.arrivals += 1;
            let place = (Reverse(priority), inner.arrivals);
            inner.waiting.insert(place, grant);
            granted
        };
        granted.await.ok()
    }

    /// Nobody gets a place any more; who waits is told.
    pub(super) fn close(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.closed = true;
        inner.waiting.clear();
    }

    /// How many wait for a place.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    fn give_back(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, grant)) = inner.waiting.pop_first() {
            match grant.send(Slot(Some(self.clone()))) {
                Ok(()) => return,
                // Whoever waited has gone; its place must not come back through its own drop, which would lock again.
                Err(mut refused) => refused.0 = None,
            }
        }
        inner.free += 1;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.give_back();
        }
    }
}

/// How many at a time, by name; a name that is not listed has no bound of its own.
#[derive(Clone, Default)]
pub(super) struct Gates(Arc<HashMap<String, Arc<Semaphore>>>);

impl Gates {
    pub(super) fn new(bounds: impl IntoIterator<Item = (String, usize)>) -> Self {
        Gates(Arc::new(bounds.into_iter().map(|(name, most)| (name, Arc::new(Semaphore::new(most)))).collect()))
    }

    /// Waits until this name has room; held until dropped. None where the name has no bound.
    pub(super) async fn enter(&self, name: &str) -> Option<OwnedSemaphorePermit> {
        let gate = Arc::clone(self.0.get(name)?);
        gate.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_most_urgent_goes_first_and_then_who_came_first() {
        let slots = Slots::new(1);
        let first = slots.acquire(5).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for (name, priority) in [("low", 1), ("usual", 5), ("high", 9), ("usual too", 5)] {
            let (waiter, order) = (slots.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                let slot = waiter.acquire(priority).await.unwrap();
                order.lock().unwrap().push(name);
                drop(slot);
            });
            // Each is in the queue before the next comes.
            while slots.0.lock().unwrap().arrivals < tasks.len() as u64 {
                tokio::task::yield_now().await;
            }
        }
        drop(first);
        while tasks.join_next().await.is_some() {}
        assert_eq!(*order.lock().unwrap(), ["high", "usual", "usual too", "low"]);
        assert_eq!(slots.0.lock().unwrap().free, 1);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_place() {
        let slots = Slots::new(1);
        let first = slots.acquire(5).await.unwrap();
        let waiter = slots.clone();
        let gave_up = tokio::spawn(async move { waiter.acquire(5).await.is_some() });
        while slots.0.lock().unwrap().arrivals == 0 {
            tokio::task::yield_now().await;
        }
        gave_up.abort();
        assert!(gave_up.await.unwrap_err().is_cancelled());
        drop(first);
        assert_eq!(slots.0.lock().unwrap().free, 1);
        slots.close();
        assert!(slots.acquire(9).await.is_none());
    }
}
