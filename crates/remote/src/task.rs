//! Work that goes on beside its caller, and ends with it.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::Result;

/// Work on a task of its own. Dropped, it is stopped.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    /// Begins `work`, which goes on whether anybody waits for it or not.
    pub(crate) fn spawn(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for the work; `what` it was, for the message if it panicked.
    pub(crate) async fn join(mut self, what: &'static str) -> Result<T> {
        match (&mut self.0).await {
            Ok(done) => done,
            Err(error) => Err(backup_core::Error::engine("keepsum", what)(error).into()),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
