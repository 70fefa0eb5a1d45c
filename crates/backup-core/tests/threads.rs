//! Blocking calls: on threads that are kept, and none that is given up is cut off.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use backup_core::{Error, thread};
use pollster::FutureExt as _;

#[test]
fn calls_share_threads() {
    let threads: HashSet<_> = (0..500)
        .map(|_| thread::call("look", || Ok(std::thread::current().id())).block_on().unwrap())
        .collect();
    assert!(threads.len() < 100, "{} threads for 500 calls, one after the other", threads.len());
}

#[test]
fn a_call_that_panics_is_an_error_and_the_next_one_runs() {
    let error = thread::call::<(), _>("fail", || panic!("on purpose")).block_on().unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error}");
    assert!(error.to_string().contains("finish fail"), "{error}");
    assert_eq!(thread::call("go on", || Ok(7)).block_on().unwrap(), 7);
}

#[test]
fn a_call_that_is_dropped_goes_on_to_its_end() {
    let (allow, allowed) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    {
        let work = move || {
            allowed.recv().unwrap();
            tell.send(()).unwrap();
            Ok(())
        };
        let mut call = pin!(thread::call("go on", work));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    allow.send(()).unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
}

/// Streams have threads of their own: as many as there are do not keep a call waiting.
#[test]
fn streams_that_nobody_reads_hold_up_no_call() {
    let streams: Vec<_> = (0..600)
        .map(|_| {
            thread::stream("wait", 1, |sender| {
                loop {
                    sender.send(())?;
                }
            })
        })
        .collect();
    assert_eq!(thread::call("go on", || Ok(7)).block_on().unwrap(), 7);
    drop(streams);
}
