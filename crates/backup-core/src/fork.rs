//! What a process that was just forked holds: all descriptors and locks of its parent, for the moment until it
//! runs the program that it was made for.

use std::thread;
use std::time::Duration;

/// How often, and after which pauses, is looked.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Whether something stays so for longer than a fork takes until its `exec`. It is looked at ten times in 0.2 s, and
/// the first look at which it is not so answers; the call blocks meanwhile.
pub fn outlasts_a_fork(mut is_so: impl FnMut() -> bool) -> bool {
    (0..LOOKS).all(|look| {
        if look > 0 {
            thread::sleep(PAUSE);
        }
        is_so()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fork_holds_for_a_moment_does_not_last() {
        let mut looks = [true, true, false].into_iter();
        assert!(!outlasts_a_fork(|| looks.next().unwrap()));
        assert!(outlasts_a_fork(|| true));
    }
}
