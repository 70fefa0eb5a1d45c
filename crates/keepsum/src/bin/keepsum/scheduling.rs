//! How the system shares its processors between this process and the application whose store it reads.

/// Has this thread, and those that it starts from now on, wait until who is running has had its turn.
///
/// Many threads of a backup sleep and wake all the time. Without this, each that wakes may take the
/// processor from a thread of the application in the middle of a commit. What the user chose for this
/// process already stays as it is.
#[cfg(target_os = "linux")]
pub(crate) fn let_others_finish() {
    use uapi::c::{SCHED_BATCH, SCHED_OTHER};

    /// The calling thread.
    const THIS: i32 = 0;

    let set = || match uapi::sched_getscheduler(THIS)? {
        SCHED_OTHER => {
            uapi::sched_setscheduler(THIS, SCHED_BATCH, &uapi::sched_getparam(THIS)?).map(drop)
        }
        _ => Ok(()),
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "the system keeps its way of sharing processors");
    }
}

/// Other systems have no such way.
#[cfg(not(target_os = "linux"))]
pub(crate) fn let_others_finish() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::thread;

    use uapi::c::{SCHED_BATCH, SCHED_IDLE, SCHED_OTHER};

    use super::*;

    /// What a thread is that one starts after [`let_others_finish`], where that one was `before`.
    fn inherited(before: i32) -> i32 {
        let child = || thread::spawn(|| uapi::sched_getscheduler(0).unwrap()).join().unwrap();
        let parent = move || {
            uapi::sched_setscheduler(0, before, &uapi::sched_getparam(0).unwrap()).unwrap();
            let_others_finish();
            child()
        };
        thread::spawn(parent).join().unwrap()
    }

    #[test]
    fn threads_wait_for_their_turn_unless_the_user_said_otherwise() {
        assert_eq!(inherited(SCHED_OTHER), SCHED_BATCH);
        assert_eq!(inherited(SCHED_IDLE), SCHED_IDLE);
    }
}
