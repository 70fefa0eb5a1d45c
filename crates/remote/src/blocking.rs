//! Hashing, compression and file operations, off the executor's threads.

use crate::Result;

/// Runs `work` on a thread for blocking work and waits for it.
pub(crate) async fn run<T, F>(what: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(backup_core::Error::engine("keepsum", what)(error).into()),
    }
}
