//! How records become elements of the [`LtHash`]: framing, integrity tag, and the sum of a database.
//!
//! `docs/INTEGRITY.md` describes the same bytes for readers without Rust.

use lthash::{Accumulator, Element, Hasher, Key, LtHash};
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordBatch, RecordKey};
use crate::{Error, Result};

/// The BLAKE3 key derivation context of the first (and only) framing.
const CONTEXT: &str = "keepsum lthash v1";

/// The LtHash of a database's records, with their number and size.
///
/// Sums of disjoint parts add up to the sum of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseSum {
    /// The sum of the records' elements.
    pub lthash: LtHash,
    /// The number of records.
    pub records: u64,
    /// The bytes of all root keys, keys and values.
    pub bytes: u64,
}

impl DatabaseSum {
    /// Adds the sum of a disjoint set of records.
    pub fn add(&mut self, other: &Self) {
        self.lthash += &other.lthash;
        self.records += other.records;
        self.bytes += other.bytes;
    }

    /// The sum of what is left without some of the records.
    #[must_use]
    pub fn without(&self, some: &Self) -> Self {
        Self {
            lthash: &self.lthash - &some.lthash,
            records: self.records.saturating_sub(some.records),
            bytes: self.bytes.saturating_sub(some.bytes),
        }
    }
}

/// Sums the records of one database, batch by batch, in any order of records.
///
/// ```
/// use backup_core::integrity::Summer;
/// use backup_core::record::{Record, RecordBatch};
/// let mut batch = RecordBatch::new();
/// batch.push(Record::whole(b"", b"key", b"value"))?;
/// let mut summer = Summer::new(b"default");
/// summer.add(&batch)?;
/// let sum = summer.finish()?;
/// assert_eq!((sum.records, sum.bytes), (1, 8));
/// # Ok::<(), backup_core::Error>(())
/// ```
pub struct Summer {
    hasher: Hasher,
    lthash: Accumulator,
    records: u64,
    bytes: u64,
    open: Option<OpenValue>,
}

/// A long value whose parts are still coming.
struct OpenValue {
    at: RecordKey,
    element: Element,
    next: u64,
    total: u64,
}

impl Summer {
    /// An empty sum of the database that `tag` names.
    pub fn new(tag: &[u8]) -> Self {
        let hasher = Hasher::keyed(&Key::derive(CONTEXT, tag));
        Self { lthash: Accumulator::new(hasher.clone()), hasher, records: 0, bytes: 0, open: None }
    }

    /// Adds the records of a batch.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the parts of a long value are not consecutive.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        batch.iter().try_for_each(|record| self.add_record(&record))
    }

    /// Adds one record, or the next part of one.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_record(&mut self, record: &Record<'_>) -> Result<()> {
        if self.open.is_none() && record.is_whole() {
            let (root_len, key_len) = lengths(record);
            self.lthash.insert_parts(&[
                &root_len,
                record.root_key,
                &key_len,
                record.key,
                record.value,
            ]);
            self.records += 1;
        } else {
            self.add_part(record)?;
        }
        self.bytes += record.counted_bytes();
        Ok(())
    }

    /// Adds the sum of records that were summed elsewhere.
    pub fn add_sum(&mut self, sum: &DatabaseSum) {
        self.lthash.add(&sum.lthash);
        self.records += sum.records;
        self.bytes += sum.bytes;
    }

    /// The sum of everything added.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a long value's last part did not come.
    pub fn finish(self) -> Result<DatabaseSum> {
        if self.open.is_some() {
            return Err(broken("the last value ended early"));
        }
        Ok(DatabaseSum { lthash: self.lthash.finish(), records: self.records, bytes: self.bytes })
    }

    fn add_part(&mut self, record: &Record<'_>) -> Result<()> {
        if record.starts_value() {
            if self.open.is_some() {
                return Err(broken("a value ended early"));
            }
            let mut element = self.hasher.stream();
            let (root_len, key_len) = lengths(record);
            for part in [&root_len[..], record.root_key, &key_len, record.key] {
                element.update(part);
            }
            let at = RecordKey::new(record.root_key, record.key);
            self.open = Some(OpenValue { at, element, next: 0, total: record.total });
        }
        let Some(open) = &mut self.open else {
            return Err(broken("a part without its beginning"));
        };
        let continues = open.next == record.offset
            && open.total == record.total
            && open.at.compare(record.root_key, record.key).is_eq();
        if !continues {
            return Err(broken("a part of another value"));
        }
        open.element.update(record.value);
        open.next += record.value.len() as u64;
        if record.ends_value()
            && let Some(open) = self.open.take()
        {
            self.lthash.add(&open.element.finish());
            self.records += 1;
        }
        Ok(())
    }
}

/// The two length fields of the frame. Keys are bounded far below 4 GiB when they enter a batch.
fn lengths(record: &Record<'_>) -> ([u8; 4], [u8; 4]) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    (length(record.root_key), length(record.key))
}

fn broken(detail: &str) -> Error {
    Error::invalid("the parts of a long value are out of order", detail)
}
