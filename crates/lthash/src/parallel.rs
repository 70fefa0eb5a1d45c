//! The sum of many elements by several threads.

use core::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread;

use crate::{Accumulator, Hasher, LtHash};

/// Elements a thread takes at a time: some hundred microseconds of hashing at least, so the queue
/// costs nothing, and few enough that long elements spread.
const BLOCK: usize = 256;

impl Hasher {
    /// The sum of all `elements`, hashed by up to `threads` threads, of which the caller's is one.
    ///
    /// It equals the serial sum, whichever thread takes what. Where the system gives no more
    /// threads, those that run do all the work.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use lthash::{Accumulator, Hasher};
    ///
    /// let rows: Vec<String> = (0..1000).map(|row| format!("row {row}")).collect();
    /// let mut serial = Accumulator::new(Hasher::new());
    /// serial.insert_all(&rows);
    ///
    /// let threads = NonZeroUsize::new(4).expect("four");
    /// assert_eq!(Hasher::new().sum_parallel(&rows, threads), serial.finish());
    /// ```
    ///
    /// # Panics
    ///
    /// When `E::as_ref` does.
    pub fn sum_parallel<E>(&self, elements: &[E], threads: NonZeroUsize) -> LtHash
    where
        E: AsRef<[u8]> + Sync,
    {
        let blocks = elements.chunks(BLOCK);
        let helpers = (threads.get() - 1).min(blocks.len().saturating_sub(1));
        let queue = Mutex::new(blocks);
        let work = || {
            let mut accumulator = Accumulator::new(self.clone());
            loop {
                let block = queue.lock().expect("no holder can panic").next();
                let Some(block) = block else {
                    return accumulator.finish();
                };
                accumulator.insert_slices(block);
            }
        };
        thread::scope(|scope| {
            let helpers: alloc::vec::Vec<_> = (0..helpers)
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut sum = work();
            for helper in helpers {
                match helper.join() {
                    Ok(part) => sum += &part,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            sum
        })
    }
}
