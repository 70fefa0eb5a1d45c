//! Work that goes on beside a test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backup_core::Result;

/// Runs `work(1)`, `work(2)`, … on a thread of its own until `test` is done, and ends it also where
/// `test` panics.
///
/// # Errors
/// Those of `test`, then those of `work`.
///
/// # Panics
/// Where `work` was never run to its end: nothing was tested then.
pub fn beside<T>(
    mut work: impl FnMut(u64) -> Result<()> + Send,
    test: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut rounds = 0;
            while rounds == 0 || !stop.load(Ordering::Acquire) {
                work(rounds + 1)?;
                rounds += 1;
            }
            Ok(rounds)
        });
        let tested = {
            let _stop = StopWhenDropped(&stop);
            test()
        };
        let worked = working.join().expect("the work beside a test does not panic");
        let tested = tested?;
        assert!(worked? > 0, "nothing was done beside the test");
        Ok(tested)
    })
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
