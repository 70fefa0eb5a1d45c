//! The thread behind a restore of records: batches go to it in the order of the plan, a few ahead of
//! what it has written.

mod records_restore;

use std::thread::{self, JoinHandle};

use crate::progress::Context;
use crate::record::RecordBatch;
use crate::{Error, Result};

/// How many batches wait for the thread.
const AHEAD: usize = 2;

/// A thread that takes batches and makes `T` of them. Dropping it ends the thread and waits for it, so
/// that what it writes into can be swept afterwards.
#[derive(Debug)]
pub struct Loading<T> {
    engine: &'static str,
    databases: usize,
    context: Context,
    /// The database that the last batch was for.
    current: usize,
    batches: async_channel::Sender<(usize, RecordBatch)>,
    thread: Option<JoinHandle<Result<T>>>,
}

/// The batches as the thread takes them, each with the number of its database in the plan. The numbers
/// never sink, and all are of the plan.
#[derive(Debug)]
pub struct Batches(async_channel::Receiver<(usize, RecordBatch)>);

impl Batches {
    /// The next batch, once it is there; none when all have come.
    pub fn next(&self) -> Option<(usize, RecordBatch)> {
        self.0.recv_blocking().ok()
    }
}

impl<T: Send + 'static> Loading<T> {
    /// Starts the thread that loads a plan of `databases` into `engine`.
    ///
    /// # Errors
    /// [`Error::Engine`] where no thread can be started.
    pub fn start(
        engine: &'static str,
        databases: usize,
        context: &Context,
        work: impl FnOnce(&Batches) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let (batches, incoming) = async_channel::bounded(AHEAD);
        let thread = thread::Builder::new()
            .name(format!("{engine} restore"))
            .spawn(move || work(&Batches(incoming)))
            .map_err(Error::engine("keepsum", "start a thread for a restore of records"))?;
        let context = context.clone();
        Ok(Self { engine, databases, context, current: 0, batches, thread: Some(thread) })
    }

    /// Hands over the next batch, waiting while the thread is behind.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a database that is not in the plan or came before; [`Error::Cancelled`];
    /// those of the thread.
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        self.context.check()?;
        if database >= self.databases || database < self.current {
            let detail = format!("database number {database} is not in the plan, or came before");
            return Err(self.refuse(detail));
        }
        self.current = database;
        if self.batches.send((database, batch)).await.is_ok() {
            return Ok(());
        }
        // The thread has ended, so it has an error, and joining it does not wait.
        self.join().map(drop)
    }

    /// What is said to a piece of a file.
    fn refuse_files(&mut self) -> Error {
        self.refuse("takes no files; it was begun for records".to_owned())
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Those of the thread; [`Error::Cancelled`].
    fn finish(&mut self) -> Result<T> {
        let written = self.join()?;
        self.context.check()?;
        Ok(written)
    }

    /// Ends the thread, for what was refused must not be published without it.
    fn refuse(&mut self, detail: String) -> Error {
        self.give_up();
        Error::invalid("a restore of records", detail)
    }
}

impl<T> Loading<T> {
    fn join(&mut self) -> Result<T> {
        self.batches.close();
        let stopped = || {
            let cause = "its thread panicked; the message was printed before";
            let action = "restore records".into();
            Error::Engine { engine: self.engine, action, source: cause.into() }
        };
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(stopped())),
            None => Err(Error::invalid("a restore of records", "goes on after it failed")),
        }
    }

    fn give_up(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.join()
        {
            tracing::debug!(%error, "a restore that was given up had failed");
        }
    }
}

impl<T> Drop for Loading<T> {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts batches, and fails at one for database 2.
    fn count(batches: &Batches) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        while let Some((database, _)) = batches.next() {
            if database == 2 {
                return Err(Error::invalid("database 2", "is refused"));
            }
            found.push(database);
        }
        Ok(found)
    }

    fn start() -> Loading<Vec<usize>> {
        Loading::start("test", 3, &Context::default(), count).unwrap()
    }

    fn load(loading: &mut Loading<Vec<usize>>, database: usize) -> Result<()> {
        pollster::block_on(loading.load(database, RecordBatch::default()))
    }

    #[test]
    fn batches_come_in_order() {
        let mut loading = start();
        for database in [0, 0, 1, 1, 1] {
            load(&mut loading, database).unwrap();
        }
        assert_eq!(loading.finish().unwrap(), [0, 0, 1, 1, 1]);
    }

    #[test]
    fn what_was_refused_is_never_finished_without_it() {
        for refused in [3, 0] {
            let mut loading = start();
            load(&mut loading, 1).unwrap();
            let error = load(&mut loading, refused).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            assert!(load(&mut loading, 1).is_err());
            assert!(loading.finish().is_err());
        }
        let mut loading = start();
        assert!(loading.refuse_files().to_string().contains("takes no files"));
        assert!(loading.finish().is_err());
    }

    #[test]
    fn an_error_of_the_thread_comes_out_once_and_nothing_after_it_passes() {
        let mut loading = start();
        load(&mut loading, 2).unwrap();
        let error = std::iter::repeat_with(|| load(&mut loading, 2)).find_map(Result::err);
        assert!(error.unwrap().to_string().contains("is refused"));
        assert!(loading.finish().unwrap_err().to_string().contains("after it failed"));
    }

    #[test]
    fn a_panic_is_an_error() {
        let context = Context::default();
        let work = |_: &Batches| -> Result<()> { panic!("planned") };
        let error = Loading::start("test", 1, &context, work).unwrap().finish().unwrap_err();
        assert!(matches!(error, Error::Engine { engine: "test", .. }), "{error}");
    }

    #[test]
    fn a_restore_that_was_cancelled_is_not_finished() {
        let context = Context::default();
        let mut loading = Loading::start("test", 1, &context, |_: &Batches| Ok(())).unwrap();
        context.cancel();
        assert!(matches!(loading.finish(), Err(Error::Cancelled)));
    }
}
