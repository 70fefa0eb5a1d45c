//! Hashing, compression and file operations, off the executor's threads.

use crate::Result;

/// Where hashing, compression and file operations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blocking {
    /// On tokio's threads for blocking work, so that they delay no other task.
    #[default]
    Threads,
    /// On the thread that polls the caller: for a simulation, which takes the same course each time
    /// only where nothing runs beside it.
    Caller,
}

impl Blocking {
    /// Runs `work` and waits for it.
    pub(crate) async fn run<T, F>(self, what: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        match self {
            Self::Threads => run(what, work).await,
            Self::Caller => work(),
        }
    }
}

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
