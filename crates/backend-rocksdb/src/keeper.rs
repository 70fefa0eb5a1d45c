//! Keeping an engine snapshot for as long as something reads under it.
//!
//! An engine snapshot borrows its database. It lives on the stack of a thread of its own, the
//! keeper, which starts the scans that are asked of it as threads that borrow it too, and ends when
//! nobody can ask any more and the last scan is done. Only then are the database, and whatever else
//! was given to the keeper (a scratch folder), let go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_channel::{Receiver, Sender, WeakSender};
use backup_core::record::RecordBatch;
use backup_core::source::{BatchStream, Layout};
use backup_core::{Error, Result};
use futures_util::StreamExt;
use rocksdb::SnapshotWithThreadMode;

use crate::ENGINE;
use crate::foreign::KeyOrder;
use crate::layout::{self, DEFAULT, MARK_FAMILY, MARK_KEY};
use crate::open_database::OpenDatabase;
use crate::scan::FamilyView;

/// How many batches a scan may be ahead of its reader.
const AHEAD: usize = 4;

/// How often the column families are listed until all that are listed have a handle.
const LISTINGS: u32 = 100;

/// How long it waits between two listings.
const LISTING_WAIT: Duration = Duration::from_millis(10);

/// A column family that a store has.
#[derive(Debug, Clone)]
pub(crate) struct ListedFamily {
    pub(crate) name: String,
    pub(crate) order: KeyOrder,
    /// Whether it is a database even where it is the default one, beside others, and empty.
    pub(crate) always: bool,
}

/// What a keeper found under its snapshot.
#[derive(Debug)]
pub(crate) struct Found {
    /// How each database is read, in the order of the list and of the scans' indices.
    pub(crate) databases: Vec<FamilyView>,
    pub(crate) layout: Layout,
    /// The number of the last write that the snapshot sees.
    pub(crate) sequence: u64,
}

/// A scan that is asked for.
struct Request {
    database: usize,
    from: Option<Vec<u8>>,
    batches: Sender<Result<RecordBatch>>,
}

/// The engine snapshot under which a source's snapshot reads its records.
#[derive(Debug)]
pub(crate) struct Keeper {
    requests: Sender<Request>,
    scans: Mutex<Vec<WeakSender<Result<RecordBatch>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Takes an engine snapshot of `db` and then finds the databases among what `list` gives:
    /// after the snapshot, so that no column family it sees is missed.
    ///
    /// `guard` is let go after the database.
    pub(crate) fn start<D, G>(
        db: Arc<D>,
        guard: G,
        store: String,
        list: impl FnMut() -> Result<Vec<ListedFamily>> + Send + 'static,
    ) -> Result<(Self, Found)>
    where
        D: OpenDatabase,
        G: Send + 'static,
    {
        let (requests, asked) = async_channel::unbounded();
        let (tell, told) = async_channel::bounded(1);
        let thread = thread::Builder::new()
            .name("rocksdb snapshot".into())
            .spawn(move || {
                keep(db.as_ref(), &store, list, &tell, &asked);
                drop(db);
                drop(guard);
            })
            .map_err(Error::engine("keepsum", "start a thread for a RocksDB snapshot"))?;
        let keeper = Self { requests, scans: Mutex::default(), thread: Some(thread) };
        let found = told.recv_blocking().unwrap_or_else(|_| Err(stopped()))?;
        Ok((keeper, found))
    }

    /// The records of a database from the RocksDB key `from` on.
    pub(crate) fn scan(&self, database: usize, from: Option<Vec<u8>>) -> BatchStream {
        let (batches, stream) = async_channel::bounded(AHEAD);
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.retain(|scan| scan.upgrade().is_some());
        scans.push(batches.downgrade());
        match self.requests.try_send(Request { database, from, batches }) {
            Ok(()) => stream.boxed(),
            Err(_) => futures_util::stream::once(async { Err(stopped()) }).boxed(),
        }
    }

    /// Whether a stream that somebody still holds is being filled.
    fn is_read(&self) -> bool {
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.iter().filter_map(WeakSender::upgrade).any(|scan| !scan.is_closed())
    }
}

impl Drop for Keeper {
    /// Waits until everything is let go, unless a stream is still held: then that goes on, and
    /// everything is let go when it ends.
    fn drop(&mut self) {
        self.requests.close();
        if !self.is_read()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of a RocksDB snapshot panicked");
        }
    }
}

/// What the keeper's thread does.
fn keep<D: OpenDatabase>(
    db: &D,
    store: &str,
    list: impl FnMut() -> Result<Vec<ListedFamily>>,
    tell: &Sender<Result<Found>>,
    asked: &Receiver<Request>,
) {
    let snapshot = SnapshotWithThreadMode::new(db);
    let databases =
        open_families(db, store, list).and_then(|families| databases(&snapshot, store, families));
    // Who waits for this answer is there to take it.
    match databases {
        Ok((layout, databases)) => {
            let views = databases.iter().map(|(view, _)| view.clone()).collect();
            let sequence = snapshot.sequence_number();
            let _ = tell.send_blocking(Ok(Found { databases: views, layout, sequence }));
            serve(&snapshot, &databases, asked);
        }
        Err(error) => {
            let _ = tell.send_blocking(Err(error));
        }
    }
}

/// A handle of a column family. The default one may have none: the binding makes one for it only
/// where it was named when the database was opened.
type Handle<'a, D> = Option<<D as OpenDatabase>::Handle<'a>>;

type Databases<'a, D> = Vec<(FamilyView, Handle<'a, D>)>;

/// The listed column families with their handles, which keep them readable even after they are
/// dropped. One that is listed and has no handle is just being dropped, and then soon not listed.
fn open_families<'a, D: OpenDatabase>(
    db: &'a D,
    store: &str,
    mut list: impl FnMut() -> Result<Vec<ListedFamily>>,
) -> Result<Vec<(ListedFamily, Handle<'a, D>)>> {
    let mut without = String::new();
    for _ in 0..LISTINGS {
        let families: Vec<_> = list()?
            .into_iter()
            .map(|family| {
                let handle = db.handle(&family.name);
                (family, handle)
            })
            .collect();
        let closed =
            families.iter().find(|(family, handle)| handle.is_none() && family.name != DEFAULT);
        let Some((family, _)) = closed else { return Ok(families) };
        without.clone_from(&family.name);
        thread::sleep(LISTING_WAIT);
    }
    Err(Error::unsupported(
        format!("reading records of {store}"),
        format!(
            "its column family {without:?} is not open here; open the database with all of them"
        ),
    ))
}

/// The databases of a store under a snapshot.
fn databases<'a, D: OpenDatabase>(
    snapshot: &SnapshotWithThreadMode<'_, D>,
    store: &str,
    families: Vec<(ListedFamily, Handle<'a, D>)>,
) -> Result<(Layout, Databases<'a, D>)> {
    let mut layout = Layout::Plain;
    let marked = families.iter().find(|(family, _)| family.name == MARK_FAMILY);
    if let Some((_, Some(handle))) = marked {
        let mark = snapshot
            .get_cf(handle, MARK_KEY)
            .map_err(Error::engine(ENGINE, format!("read the layout of {store}")))?;
        layout = layout::of_mark(store, mark.as_deref())?;
    }
    let mut databases = Vec::new();
    let mut may_be_left_out = false;
    for (ListedFamily { name, order, always }, handle) in families {
        if layout::is_database(&name) {
            may_be_left_out |= name == DEFAULT && !always;
            databases.push((FamilyView { name, order, layout }, handle));
        }
    }
    if may_be_left_out
        && databases.len() > 1
        && let Some(at) = databases.iter().position(|(view, _)| view.name == DEFAULT)
        && !databases[at].0.has_records(snapshot, databases[at].1.as_ref())?
    {
        databases.remove(at);
    }
    Ok((layout, databases))
}

fn serve<D: OpenDatabase>(
    snapshot: &SnapshotWithThreadMode<'_, D>,
    databases: &Databases<'_, D>,
    asked: &Receiver<Request>,
) {
    thread::scope(|scope| {
        while let Ok(Request { database, from, batches }) = asked.recv_blocking() {
            let refused = batches.clone();
            let started =
                thread::Builder::new().name("rocksdb scan".into()).spawn_scoped(scope, move || {
                    let scan = || scan(snapshot, databases, database, from.as_deref(), &batches);
                    let outcome = catch_unwind(AssertUnwindSafe(scan));
                    if let Err(error) = outcome.unwrap_or_else(|_| Err(stopped())) {
                        // Nobody may be listening any more.
                        let _ = batches.send_blocking(Err(error));
                    }
                });
            if let Err(error) = started {
                let error = Error::engine("keepsum", "start a thread for a scan")(error);
                let _ = refused.try_send(Err(error));
            }
        }
    });
}

fn scan<D: OpenDatabase>(
    snapshot: &SnapshotWithThreadMode<'_, D>,
    databases: &Databases<'_, D>,
    database: usize,
    from: Option<&[u8]>,
    batches: &Sender<Result<RecordBatch>>,
) -> Result<()> {
    let (view, handle) = databases.get(database).ok_or_else(|| {
        Error::invalid("a scan", format!("there is no database with the index {database}"))
    })?;
    view.scan(snapshot, handle.as_ref(), from, |batch| {
        batches.send_blocking(Ok(batch)).map_err(|_| Error::Cancelled)
    })
}

fn stopped() -> Error {
    let cause = "its thread panicked; the message was printed before";
    Error::Engine { engine: ENGINE, action: "read a snapshot".into(), source: cause.into() }
}
