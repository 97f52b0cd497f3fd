// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work on all processors at once; each run has a host of its own, so that none disturbs another.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The results in the order of the items. After a result that is the last, nothing new is begun, and what was not
/// begun has no result.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    is_last: impl Fn(&R) -> bool + Sync,
) -> Vec<R> {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Vec<(usize, R)>> = Mutex::default();
    let worker = || {
        while !is_over.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            if is_last(&result) {
                is_over.store(true, Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker))));
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_in_order() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = map(&items, |item| item * 2, |_| false);
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(map(&[] as &[usize], |item| *item, |_| false), [0; 0]);
    }

    #[test]
    fn nothing_new_after_the_last() {
        let items: Vec<usize> = (0..10_000).collect();
        let work = |item: &usize| {
            thread::sleep(std::time::Duration::from_micros(50));
            *item
        };
        let begun = map(&items, work, |item| *item == 5);
        assert!(begun.contains(&5) && begun.len() < 5_000, "{} were begun", begun.len());
    }
}
