//! Reading a portable file as a stream, strictly.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use backup_core::progress::Context;
use backup_core::record::{
    MAX_KEY_BYTES, MAX_WHOLE_VALUE, PART_BYTES, Record, RecordBatch, RecordKey,
};

use super::{Contents, MAX_LENGTH};
use crate::sort::{SortOrder, Sorted, Sorter, compare_encoded, shown};
use crate::{Error, Result};

const WHAT: &str = "the portable file";
const BUFFER_BYTES: usize = 256 << 10;

/// The batches of a portable file, in the file's order, long values in parts.
///
/// It checks as it goes that the form is canonical, and refuses what is not with
/// [`Error::Malformed`], which names the byte; an error is the last item. Memory is bounded whatever
/// the file claims: nothing is allocated for bytes that are not there.
///
/// ```
/// use archive::portable::PortableReader;
/// // {"": {"k": "v"}}
/// let file = [1, 0, 1, 1, b'k', 1, b'v'];
/// let mut reader = PortableReader::new(&file[..], "example.bcs");
/// let batch = reader.next().expect("one batch")?;
/// assert_eq!(batch.iter().next().expect("one record").value, b"v");
/// assert!(reader.next().is_none());
/// assert_eq!(reader.contents().records, 1);
/// # Ok::<(), archive::Error>(())
/// ```
#[derive(Debug)]
pub struct PortableReader<R> {
    input: BufReader<R>,
    path: PathBuf,
    offset: u64,
    /// Partitions still to come; unknown before the first byte was read.
    partitions_left: Option<u32>,
    records_left: u32,
    /// The partition that is read, or was read last.
    root_key: Option<Vec<u8>>,
    /// Whether the last record lies in that partition.
    in_partition: bool,
    last: RecordKey,
    open: Option<OpenValue>,
    key: Vec<u8>,
    value: Vec<u8>,
    contents: Contents,
    in_key_order: bool,
    done: bool,
}

/// A value of which parts are still to be read.
#[derive(Debug, Clone, Copy)]
struct OpenValue {
    offset: u64,
    total: u64,
}

impl PortableReader<File> {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { action: "open", path: path.to_owned(), source };
        Ok(Self::new(File::open(path).map_err(failed)?, path))
    }
}

impl<R: Read> PortableReader<R> {
    /// Reads `input` from its beginning; errors call it `path`.
    pub fn new(input: R, path: impl Into<PathBuf>) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            path: path.into(),
            offset: 0,
            partitions_left: None,
            records_left: 0,
            root_key: None,
            in_partition: false,
            last: RecordKey::default(),
            open: None,
            key: Vec::new(),
            value: Vec::new(),
            contents: Contents::default(),
            in_key_order: true,
            done: false,
        }
    }

    /// What was read so far; all of the file once the last batch was given.
    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// Whether the records so far came in the bytewise order of (root key, key) as well.
    pub fn in_key_order(&self) -> bool {
        self.in_key_order
    }

    /// Sorts the records of the whole file bytewise by (root key, key), through files without names
    /// in `spill` and with about `memory` bytes.
    ///
    /// # Errors
    /// Those of the items, and of [`Sorter`].
    pub fn sorted(self, spill: &Path, memory: usize, context: &Context) -> Result<Sorted> {
        let mut sorter = Sorter::new(spill, memory, SortOrder::Key, context);
        for batch in self {
            sorter.push(&batch?)?;
        }
        Ok(sorter.finish()?)
    }

    fn fill(&mut self, batch: &mut RecordBatch) -> Result<()> {
        while !batch.is_full() {
            if let Some(open) = self.open.take() {
                self.read_part(batch, open)?;
            } else if self.records_left > 0 {
                self.read_record(batch)?;
            } else if !self.next_partition()? {
                break;
            }
        }
        Ok(())
    }

    /// Goes to the next partition; false at the end, which must be the file's.
    fn next_partition(&mut self) -> Result<bool> {
        let left = match self.partitions_left {
            Some(left) => left,
            None => self.read_length("the number of root keys")?,
        };
        self.partitions_left = Some(left.saturating_sub(1));
        if left == 0 {
            self.check_end()?;
            return Ok(false);
        }
        let start = self.offset;
        let mut root_key = Vec::new();
        self.read_key("a root key", &mut root_key)?;
        if let Some(last) = &self.root_key
            && compare_encoded(last, &root_key).is_ge()
        {
            return Err(unordered(start, "a root key", last == &root_key, &root_key));
        }
        self.records_left = self.read_length("the number of a root key's records")?;
        let count = match self.records_left {
            0 => &mut self.contents.empty_partitions,
            _ => &mut self.contents.partitions,
        };
        *count += 1;
        self.root_key = Some(root_key);
        self.in_partition = false;
        Ok(true)
    }

    fn read_record(&mut self, batch: &mut RecordBatch) -> Result<()> {
        let start = self.offset;
        let mut key = std::mem::take(&mut self.key);
        self.read_key("a key", &mut key)?;
        let root_key = self.root_key.as_deref().unwrap_or_default();
        if self.in_partition && compare_encoded(&self.last.key, &key).is_ge() {
            return Err(unordered(start, "a key", self.last.key == key, &key));
        }
        if self.contents.records > 0 && self.in_key_order {
            self.in_key_order = self.last.compare(root_key, &key).is_lt();
        }
        if !self.in_partition {
            self.last.root_key.clear();
            self.last.root_key.extend_from_slice(root_key);
        }
        self.in_partition = true;
        // The key read before becomes room for the next one.
        self.key = std::mem::replace(&mut self.last.key, key);
        let total = u64::from(self.read_length("a value")?);
        self.records_left -= 1;
        self.contents.records += 1;
        self.contents.bytes += (self.last.root_key.len() + self.last.key.len()) as u64 + total;
        if total > MAX_WHOLE_VALUE as u64 {
            self.open = Some(OpenValue { offset: 0, total });
            return Ok(());
        }
        self.read_value(total)?;
        let at = &self.last;
        Ok(batch.push(Record::whole(&at.root_key, &at.key, &self.value))?)
    }

    fn read_part(&mut self, batch: &mut RecordBatch, open: OpenValue) -> Result<()> {
        let OpenValue { offset, total } = open;
        let length = (total - offset).min(PART_BYTES as u64);
        self.read_value(length)?;
        let (root_key, key) = (&self.last.root_key[..], &self.last.key[..]);
        batch.push(Record { root_key, key, value: &self.value, offset, total })?;
        if offset + length < total {
            self.open = Some(OpenValue { offset: offset + length, total });
        }
        Ok(())
    }

    fn read_value(&mut self, length: u64) -> Result<()> {
        let mut value = std::mem::take(&mut self.value);
        self.read_bytes("a value", length, &mut value)?;
        self.value = value;
        Ok(())
    }

    fn read_key(&mut self, what: &str, into: &mut Vec<u8>) -> Result<()> {
        let start = self.offset;
        let length = self.read_length(what)?;
        if length as usize > MAX_KEY_BYTES {
            let detail = format!("{what} has {length} bytes, the limit is {MAX_KEY_BYTES}");
            return Err(malformed(start, detail));
        }
        self.read_bytes(what, length.into(), into)
    }

    /// A length or a count: ULEB128, minimal and below 2^31.
    fn read_length(&mut self, what: &str) -> Result<u32> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let Some(byte) = self.read_byte()? else { return Err(self.ends_early(what)) };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                continue;
            }
            if byte == 0 && shift > 0 {
                return Err(malformed(start, format!("the length of {what} is not minimal")));
            }
            return match u32::try_from(value) {
                Ok(value) if value <= MAX_LENGTH => Ok(value),
                _ => Err(malformed(start, format!("the length of {what} is 2^31 or more"))),
            };
        }
        Err(malformed(start, format!("the length of {what} has more than five bytes")))
    }

    /// One byte; none at the end.
    fn read_byte(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        match self.input.read_exact(&mut byte) {
            Ok(()) => {
                self.offset += 1;
                Ok(Some(byte[0]))
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(self.unread(error)),
        }
    }

    /// Replaces what is in `into`, which grows with the bytes that are there and not with `length`.
    fn read_bytes(&mut self, what: &str, length: u64, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        let buffered = self.input.buffer();
        match usize::try_from(length) {
            Ok(length) if length <= buffered.len() => {
                into.extend_from_slice(&buffered[..length]);
                self.input.consume(length);
                self.offset += length as u64;
            }
            _ => {
                let read = self.input.by_ref().take(length).read_to_end(into);
                self.offset += read.map_err(|error| self.unread(error))? as u64;
            }
        }
        if (into.len() as u64) < length { Err(self.ends_early(what)) } else { Ok(()) }
    }

    fn check_end(&mut self) -> Result<()> {
        let end = self.offset;
        match self.read_byte()? {
            None => Ok(()),
            Some(_) => Err(malformed(end, "something follows the last record".into())),
        }
    }

    fn ends_early(&self, what: &str) -> Error {
        malformed(self.offset, format!("it ends early, in {what}"))
    }

    fn unread(&self, source: std::io::Error) -> Error {
        Error::Io { action: "read", path: self.path.clone(), source }
    }
}

impl<R: Read> Iterator for PortableReader<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut batch = RecordBatch::new();
        if let Err(error) = self.fill(&mut batch) {
            self.done = true;
            return Some(Err(error));
        }
        self.done = batch.is_empty();
        (!self.done).then_some(Ok(batch))
    }
}

fn unordered(offset: u64, what: &str, twice: bool, key: &[u8]) -> Error {
    let how = if twice { "comes twice" } else { "comes after a greater one" };
    malformed(offset, format!("{what} {how}: {}", shown(b"", key)))
}

fn malformed(offset: u64, detail: String) -> Error {
    Error::Malformed { what: WHAT, offset, detail, source: None }
}
