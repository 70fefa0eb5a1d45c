//! Running blocking engines without blocking an executor, and without requiring one.
//!
//! A call runs on a thread of a pool. A stream has a thread of its own, since it may last: it hands over through a
//! bounded channel, so that a slow consumer slows the engine down instead of filling memory, and a consumer that
//! goes away ends the thread.

use std::thread;

use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use crate::{Error, Result};

/// Runs `work`, which an error calls `name`, on a thread of the pool and waits for its result.
///
/// Dropping the future does not stop `work`; its result is then thrown away.
///
/// # Errors
/// Those of `work`; [`Error::Engine`] if it panicked.
pub async fn call<T, F>(name: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let (sender, receiver) = async_channel::bounded(1);
    let run = move || {
        // A caller that no longer listens has dropped the future; nothing is owed to it.
        let _ = sender.send_blocking(work());
    };
    blocking::unblock(run).detach();
    receiver.recv().await.unwrap_or_else(|_| Err(stopped(name)))
}

/// Hands the items of a [`stream`] over to its consumer.
#[derive(Debug)]
pub struct Sender<T>(async_channel::Sender<Result<T>>);

impl<T> Sender<T> {
    /// Hands over one item, waiting while the channel is full.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the consumer has gone: the work should end.
    pub fn send(&self, item: T) -> Result<()> {
        self.0.send_blocking(Ok(item)).map_err(|_| Error::Cancelled)
    }
}

/// Runs `work` on a thread named `name`; what it sends is the stream, at most `capacity` items ahead.
///
/// An error that `work` returns is the stream's last item; a panic is one too.
pub fn stream<T, F>(name: &'static str, capacity: usize, work: F) -> BoxStream<'static, Result<T>>
where
    T: Send + 'static,
    F: FnOnce(&Sender<T>) -> Result<()> + Send + 'static,
{
    let (sender, receiver) = async_channel::bounded(capacity.max(1));
    let started = spawn(name, move || {
        let sender = Sender(sender);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&sender)));
        let last = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => stopped(name),
        };
        // As above: nobody may be listening any more.
        let _ = sender.0.send_blocking(Err(last));
    });
    match started {
        Ok(()) => receiver.boxed(),
        Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
    }
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(Error::engine("keepsum", format!("start a thread for {name}")))
}

fn stopped(name: &str) -> Error {
    let cause = format!("the thread for {name} panicked; its message was printed before");
    Error::Engine { engine: "keepsum", action: format!("finish {name}"), source: cause.into() }
}
