//! Writing a portable file from records in any order.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use backup_core::progress::Context;
use backup_core::record::RecordBatch;

use super::{Contents, MAX_LENGTH};
use crate::sort::{SortOrder, Sorted, Sorter, shown};
use crate::wire::Writer;
use crate::{Error, Result};

const BUFFER_BYTES: usize = 256 << 10;

/// Takes the records of a database in any order and writes its portable file.
///
/// A map's number of elements comes before them, so everything is sorted through spill files first.
///
/// ```
/// use archive::portable::PortableWriter;
/// use backup_core::progress::Context;
/// use backup_core::record::{Record, RecordBatch};
///
/// let spill = tempfile::tempdir()?;
/// let mut writer = PortableWriter::new(spill.path(), archive::sort::SORT_MEMORY, &Context::default());
/// let mut batch = RecordBatch::new();
/// batch.push(Record::whole(b"", b"k", b"v"))?;
/// writer.push(&batch)?;
/// let mut file = Vec::new();
/// writer.finish(&mut file, "example.bcs")?;
/// assert_eq!(file, [1, 0, 1, 1, b'k', 1, b'v']);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PortableWriter {
    sorter: Sorter,
}

impl PortableWriter {
    /// A writer that sorts through files without names in `spill`, with about `memory` bytes (see
    /// [`SORT_MEMORY`](crate::sort::SORT_MEMORY)). `context` stops it.
    pub fn new(spill: &Path, memory: usize, context: &Context) -> Self {
        Self { sorter: Sorter::new(spill, memory, SortOrder::Encoded, context) }
    }

    /// Takes the records of a batch.
    ///
    /// # Errors
    /// [`Error::Core`] as [`Sorter::push`], and for a value of 2^31 bytes or more, which BCS cannot
    /// hold.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        for record in batch.iter() {
            if record.total > MAX_LENGTH.into() {
                let place = shown(record.root_key, record.key);
                return Err(Error::Core(backup_core::Error::Limit {
                    what: format!("the value of {place}"),
                    found: record.total,
                    limit: MAX_LENGTH.into(),
                }));
            }
        }
        Ok(self.sorter.push(batch)?)
    }

    /// Writes the file into `output`, which errors call `path`; syncing it is the caller's.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written; [`Error::Limit`] for 2^31 root keys or more, or
    /// records of one root key; [`Error::Core`] as [`Sorter::finish`].
    pub fn finish(self, output: impl Write, path: impl AsRef<Path>) -> Result<Contents> {
        let sorted = self.sorter.finish()?;
        let mut encoder = Encoder::new(output, path.as_ref());
        encoder.write(&sorted)?;
        encoder.finish()
    }
}

/// Writes sorted records.
struct Encoder<'a, W: Write> {
    output: BufWriter<W>,
    path: &'a Path,
    head: Vec<u8>,
    contents: Contents,
}

impl<'a, W: Write> Encoder<'a, W> {
    fn new(output: W, path: &'a Path) -> Self {
        let output = BufWriter::with_capacity(BUFFER_BYTES, output);
        Self { output, path, head: Vec::new(), contents: Contents::default() }
    }

    fn write(&mut self, sorted: &Sorted) -> Result<()> {
        let mut counted = 0;
        for partition in sorted.partitions()? {
            partition?;
            counted += 1;
        }
        self.head.put_uleb128(count("a portable file, in root keys", counted)?);
        let mut partitions = sorted.partitions()?;
        let mut root_key = Vec::new();
        let mut left = 0;
        for batch in sorted.batches()? {
            for record in batch?.iter() {
                if record.starts_value() {
                    if left == 0 {
                        (root_key, left) = partitions.next().ok_or_else(miscounted)??;
                        self.begin_partition(&root_key, left)?;
                    }
                    if record.root_key != root_key {
                        return Err(miscounted());
                    }
                    left -= 1;
                    self.begin_record(record.key, record.total)?;
                }
                self.contents.bytes += record.counted_bytes();
                self.put(record.value)?;
            }
        }
        if left > 0 || partitions.next().is_some() {
            return Err(miscounted());
        }
        Ok(())
    }

    fn begin_partition(&mut self, root_key: &[u8], records: u64) -> Result<()> {
        self.head.put_bytes(root_key);
        self.head.put_uleb128(count("a root key, in records", records)?);
        self.contents.partitions += 1;
        Ok(())
    }

    fn begin_record(&mut self, key: &[u8], value: u64) -> Result<()> {
        self.head.put_bytes(key);
        self.head.put_uleb128(count("a value, in bytes", value)?);
        self.contents.records += 1;
        Ok(())
    }

    /// Writes what was put into the head, then `bytes`.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.output.write_all(&self.head).and_then(|()| self.output.write_all(bytes));
        self.head.clear();
        written.map_err(|error| unwritten(self.path, error))
    }

    fn finish(mut self) -> Result<Contents> {
        self.put(&[])?;
        self.output.flush().map_err(|error| unwritten(self.path, error))?;
        Ok(self.contents)
    }
}

fn count(what: &'static str, found: u64) -> Result<u32> {
    match u32::try_from(found) {
        Ok(count) if count <= MAX_LENGTH => Ok(count),
        _ => Err(Error::Limit { what, found, limit: MAX_LENGTH.into() }),
    }
}

/// The counts of partitions and their records come from the same spill files.
fn miscounted() -> Error {
    Error::mismatch("a spill file", "its records are not as many as it counted; check the disk")
}

/// A disk's own error comes back as it is: it names the path already.
fn unwritten(path: &Path, error: io::Error) -> Error {
    match error.downcast::<backup_core::Error>() {
        Ok(error) => Error::Core(error),
        Err(source) => Error::Io { action: "write", path: path.to_owned(), source },
    }
}
