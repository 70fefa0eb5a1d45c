//! The LtHash of records as they are read: of a whole store by parallel scans, or batch by batch.

use std::pin::pin;
use std::sync::Arc;

use archive::directory::{Content, Database, Directory, Holding, Proof};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey};
use backup_core::source::{BatchStream, DatabaseInfo, Records, Snapshot, ranges_between};
use futures_util::future;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use lthash::LtHash;
use remote::Session;
use remote::tree::{DirectoryWriter, DirectoryWritten, described};

use crate::Result;

/// How many ranges of a store are read at the same time.
const MAX_READERS: usize = 16;

/// About how many bytes one reader reads in one go.
const RANGE_BYTES: u64 = 64 << 20;

/// A batch up to this many bytes is summed where it is: another thread would take longer to begin.
const SMALL_BYTES: usize = 16 << 10;

/// The most ranges of a database.
const MAX_RANGES: usize = 4096;

/// The proof of every database of a snapshot under its name, and the sum of them all; nothing where the
/// snapshot has no records.
pub(crate) async fn sum_snapshot(
    snapshot: &dyn Snapshot,
    context: &Context,
) -> Result<(Vec<Proof>, LtHash)> {
    let Some(records) = snapshot.records() else { return Ok((Vec::new(), LtHash::identity())) };
    let databases = &snapshot.info().databases;
    context.phase("summing records", estimate(databases));
    let order: Vec<usize> = (0..databases.len()).collect();
    let tags = |number: usize| databases[number].name.as_bytes();
    let (mut proofs, mut global) = (Vec::with_capacity(order.len()), LtHash::identity());
    let mut sums = pin!(sum_each(records, databases, &order, tags, context));
    while let Some((_, sum)) = sums.try_next().await? {
        global += &sum.lthash;
        proofs.push(Proof::of(&sum));
    }
    Ok((proofs, global))
}

/// The sums of databases one after the other, in `order`, each under the tag that `tags` gives. A sum has
/// 2 KiB: of a hundred thousand databases no more are kept than are being read.
pub(crate) fn sum_each<'a>(
    records: &'a dyn Records,
    databases: &'a [DatabaseInfo],
    order: &'a [usize],
    tags: impl Fn(usize) -> &'a [u8] + Send + 'a,
    context: &'a Context,
) -> impl Stream<Item = Result<(usize, DatabaseSum)>> + Send + 'a {
    let mut open = DatabaseSum::default();
    stream::iter(order)
        .then(move |&number| ranges(records, number, &databases[number], tags(number)))
        .map_ok(|ranges| stream::iter(ranges).map(Ok))
        .try_flatten()
        .map_ok(move |range: Range<'_>| async move {
            let (number, is_last) = (range.number, range.end.is_none());
            Ok((number, is_last, range.sum(records, context).await?))
        })
        .try_buffered(readers())
        .try_filter_map(move |(number, is_last, sum)| {
            open.add(&sum);
            let done = is_last.then(|| (number, std::mem::take(&mut open)));
            future::ready(Ok(done))
        })
}

/// Stores what the databases of a snapshot are whose files are copied, with their sums where the snapshot
/// has records as well.
pub(crate) async fn prove_databases(
    session: &Arc<Session>,
    snapshot: &dyn Snapshot,
    parents: &[Directory<'_>],
    context: &Context,
) -> Result<DirectoryWritten> {
    let databases = &snapshot.info().databases;
    let mut order: Vec<usize> = (0..databases.len()).collect();
    order.sort_by(|one, other| databases[*one].name.cmp(&databases[*other].name));
    let Some(records) = snapshot.records() else {
        let mut writer = DirectoryWriter::new(session, parents, Holding::Names);
        for number in order {
            let described = described(&databases[number], None);
            writer.push(&Database { described, content: Content::Nothing }, None).await?;
        }
        return Ok(writer.finish().await?);
    };
    let mut writer = DirectoryWriter::new(session, parents, Holding::Sums);
    let tags = |number: usize| databases[number].name.as_bytes();
    let mut sums = pin!(sum_each(records, databases, &order, tags, context));
    while let Some((number, sum)) = sums.try_next().await? {
        let described = described(&databases[number], Some(&sum));
        let held = Content::Sum(sum.lthash.clone());
        writer.push(&Database { described, content: held }, Some(&sum.lthash)).await?;
    }
    Ok(writer.finish().await?)
}

/// Adds a batch to a sum, off the executor's threads, and gives both back.
pub(crate) async fn summed(
    mut summer: Summer,
    batch: RecordBatch,
) -> Result<(Summer, RecordBatch)> {
    if batch.bytes() <= SMALL_BYTES {
        summer.add(&batch)?;
        return Ok((summer, batch));
    }
    let work = move || summer.add(&batch).map(|()| (summer, batch));
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(backup_core::Error::engine("keepsum", "sum records"))??)
}

/// How many ranges of a store are read at the same time: as many as there are processors.
pub(crate) fn readers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(2, MAX_READERS)
}

/// The expected bytes of all databases, where every one is known.
pub(crate) fn estimate(databases: &[DatabaseInfo]) -> Option<u64> {
    databases.iter().map(|database| database.estimated_bytes).sum()
}

/// The records of a database from one key on and before another.
struct Range<'a> {
    number: usize,
    tag: &'a [u8],
    start: Option<RecordKey>,
    end: Option<RecordKey>,
}

/// What one reader after the other goes through of a database.
async fn ranges<'a>(
    records: &dyn Records,
    number: usize,
    database: &DatabaseInfo,
    tag: &'a [u8],
) -> Result<Vec<Range<'a>>> {
    let parts = database.estimated_bytes.unwrap_or(0).div_ceil(RANGE_BYTES);
    let cuts = match usize::try_from(parts).unwrap_or(usize::MAX).min(MAX_RANGES) {
        0 | 1 => Vec::new(),
        parts => records.splits(number, parts).await?,
    };
    Ok(ranges_between(cuts).map(|(start, end)| Range { number, tag, start, end }).collect())
}

impl Range<'_> {
    async fn sum(&self, records: &dyn Records, context: &Context) -> Result<DatabaseSum> {
        let mut summer = Summer::new(self.tag);
        let mut batches: BatchStream = records.scan(self.number, self.start.as_ref());
        while let Some(batch) = batches.try_next().await? {
            context.check()?;
            let (batch, last) = self.within(batch)?;
            let (bytes, begun) = counted(&batch);
            summer = summed(summer, batch).await?.0;
            context.advance(bytes, begun);
            if last {
                break;
            }
        }
        Ok(summer.finish()?)
    }

    /// What of a batch is before the end, and whether the end was reached.
    fn within(&self, batch: RecordBatch) -> Result<(RecordBatch, bool)> {
        let Some(end) = &self.end else { return Ok((batch, false)) };
        let is_before = |root_key: &[u8], key: &[u8]| end.compare(root_key, key).is_gt();
        if batch.iter().last().is_none_or(|record| is_before(record.root_key, record.key)) {
            return Ok((batch, false));
        }
        let mut before = RecordBatch::new();
        for record in batch.iter().take_while(|record| is_before(record.root_key, record.key)) {
            before.push(record)?;
        }
        Ok((before, true))
    }
}

/// The bytes of a batch, and the records that begin in it.
pub(crate) fn counted(batch: &RecordBatch) -> (u64, u64) {
    batch.iter().fold((0, 0), |(bytes, records), record| {
        (bytes + record.counted_bytes(), records + u64::from(record.starts_value()))
    })
}

#[cfg(test)]
mod tests {
    use backend_memory::MemoryStore;
    use backup_core::Source;
    use backup_core::record::MAX_WHOLE_VALUE;
    use backup_core::source::View;
    use backup_core::target::Existing;
    use testkit::contents::{Contents, records_of};
    use testkit::transfer::transfer;

    use super::*;

    /// Two databases of many records, with a value that comes in parts.
    fn contents() -> Contents {
        let mut contents = Contents::new();
        for number in 0..3_000_u32 {
            let key = number.to_be_bytes();
            contents.put("default", b"", &key, vec![7; (number % 300) as usize]);
            contents.put("other", b"", &key, key);
        }
        contents.put("default", b"", &1_500_u32.to_be_bytes(), vec![1; MAX_WHOLE_VALUE + 5]);
        contents
    }

    #[tokio::test]
    async fn parallel_ranges_sum_to_the_whole_and_are_counted_once() {
        let (contents, store) = (contents(), MemoryStore::new());
        transfer(&contents, &store, Existing::Refuse).await.unwrap();
        let snapshot = store.snapshot(View::Records, &Context::default()).await.unwrap();
        let records = records_of(snapshot.as_ref()).unwrap();
        let expected: Vec<_> = contents.sums().unwrap().into_values().collect();
        // As large as the engine says, the databases are read in one range, in some, in many.
        for ranges in [0, 2, 40, 2_000] {
            let mut databases = snapshot.info().databases.clone();
            for database in &mut databases {
                database.estimated_bytes = Some(ranges * RANGE_BYTES);
            }
            let cuts = super::ranges(records, 0, &databases[0], b"").await.unwrap();
            assert_eq!(cuts.len() > 1, ranges > 1, "{} ranges", cuts.len());
            let (context, order) = (Context::default(), [0, 1]);
            let tags = |number: usize| databases[number].name.as_bytes();
            let sums = sum_each(records, &databases, &order, tags, &context);
            let sums: Vec<_> = sums.map_ok(|(_, sum)| sum).try_collect().await.unwrap();
            assert_eq!(sums, expected, "{ranges} ranges");
        }
    }

    #[tokio::test]
    async fn a_cancelled_sum_ends() {
        let (contents, store) = (contents(), MemoryStore::new());
        transfer(&contents, &store, Existing::Refuse).await.unwrap();
        let snapshot = store.snapshot(View::Records, &Context::default()).await.unwrap();
        let context = Context::default();
        context.cancel();
        let error = sum_snapshot(snapshot.as_ref(), &context).await.unwrap_err();
        assert!(matches!(error, crate::Error::Core(backup_core::Error::Cancelled)), "{error}");
    }
}
