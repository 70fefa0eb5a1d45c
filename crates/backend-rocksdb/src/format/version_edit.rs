//! One record of a MANIFEST: a change to the set of live files (`db/version_edit.cc`).

use super::cursor::{Cursor, Malformed};

/// What a record of a MANIFEST changes, as far as a backup needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VersionEdit {
    pub(crate) database_id: Option<Vec<u8>>,
    pub(crate) comparator: Option<Vec<u8>>,
    pub(crate) log_number: Option<u64>,
    pub(crate) min_log_to_keep: Option<u64>,
    pub(crate) next_file: Option<u64>,
    pub(crate) last_sequence: Option<u64>,
    pub(crate) column_family: u32,
    pub(crate) adds_family: Option<Vec<u8>>,
    pub(crate) drops_family: bool,
    pub(crate) timestamps_not_kept: bool,
    pub(crate) removed_tables: Vec<RemovedTable>,
    pub(crate) added_tables: Vec<Table>,
    pub(crate) added_blobs: Vec<Blob>,
    pub(crate) blob_garbage: Vec<BlobGarbage>,
    pub(crate) added_wals: Vec<WalAddition>,
    pub(crate) wals_removed_before: Option<u64>,
    /// How many records of an atomic group follow this one, where it is in one.
    pub(crate) group_remaining: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemovedTable {
    pub(crate) level: u32,
    pub(crate) number: u64,
}

/// A table file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) level: u32,
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// Which of the database's `db_paths` it is in.
    pub(crate) path_id: u32,
    pub(crate) smallest_key: Vec<u8>,
    pub(crate) largest_key: Vec<u8>,
    pub(crate) smallest_sequence: u64,
    pub(crate) largest_sequence: u64,
    /// RocksDB's own name for the content: from database, session and file number.
    pub(crate) unique_id: Option<[u8; 16]>,
    pub(crate) oldest_blob: Option<u64>,
}

/// A blob file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) number: u64,
    pub(crate) count: u64,
    /// The bytes of its blobs, without its header and footer.
    pub(crate) bytes: u64,
}

/// Blobs that no table refers to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobGarbage {
    pub(crate) number: u64,
    pub(crate) count: u64,
}

/// A WAL that the MANIFEST keeps track of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalAddition {
    pub(crate) number: u64,
    pub(crate) synced_bytes: Option<u64>,
}

/// Tags of a record from here on may be skipped by who does not know them: a length follows.
const SKIPPABLE: u32 = 1 << 13;

/// Tags of a table's further fields from here on must be known.
const MUST_KNOW: u32 = 1 << 6;

/// No configuration has so many levels; the engine would reserve memory for each.
const MAX_LEVEL: u32 = 255;

/// A database has at most four folders for tables.
const MAX_PATH_ID: u32 = 3;

impl VersionEdit {
    pub(crate) fn decode(record: &[u8]) -> Result<Self, Malformed> {
        let mut input = Cursor::new(record);
        let mut edit = Self::default();
        while !input.is_empty() {
            let tag = input.varint32()?;
            match tag {
                1 => edit.comparator = Some(input.prefixed()?.to_vec()),
                2 => edit.log_number = Some(input.varint64()?),
                3 => edit.next_file = Some(input.varint64()?),
                4 => edit.last_sequence = Some(input.varint64()?),
                5 => {
                    // Where a level's next compaction starts.
                    input.varint32()?;
                    user_key(&mut input)?;
                }
                6 => edit
                    .removed_tables
                    .push(RemovedTable { level: input.varint32()?, number: input.varint64()? }),
                9 => drop(input.varint64()?),
                10 => edit.min_log_to_keep = Some(input.varint64()?),
                7 | 100 | 102 | 103 => edit.table(tag, &mut input)?,
                200 => edit.column_family = input.varint32()?,
                201 => edit.adds_family = Some(input.prefixed()?.to_vec()),
                202 => edit.drops_family = true,
                203 => drop(input.varint32()?),
                300 => edit.group_remaining = Some(input.varint32()?),
                400 => edit.added_blobs.push(blob(&mut input)?),
                401 => edit.blob_garbage.push(garbage(&mut input)?),
                _ if tag & SKIPPABLE != 0 => edit.skippable(tag, &mut input)?,
                _ => return Err(Malformed("a record has a field this version does not know")),
            }
        }
        Ok(edit)
    }

    /// The fields whose tags have the bit that lets old versions skip them. Those from before that
    /// rule was kept have no length in front.
    fn skippable(&mut self, tag: u32, input: &mut Cursor<'_>) -> Result<(), Malformed> {
        match tag - SKIPPABLE {
            1 => self.database_id = Some(input.prefixed()?.to_vec()),
            2 => self.added_blobs.push(blob(input)?),
            3 => self.blob_garbage.push(garbage(input)?),
            4 => self.added_wals.push(wal(input)?),
            5 => self.wals_removed_before = Some(input.varint64()?),
            7 => self.added_wals.push(wal(&mut Cursor::new(input.prefixed()?))?),
            8 => self.wals_removed_before = Some(Cursor::new(input.prefixed()?).varint64()?),
            9 => self.timestamps_not_kept = input.prefixed()? == [0],
            _ => drop(input.prefixed()?),
        }
        Ok(())
    }

    fn table(&mut self, tag: u32, input: &mut Cursor<'_>) -> Result<(), Malformed> {
        let mut table =
            Table { level: input.varint32()?, number: input.varint64()?, ..Table::default() };
        if table.level > MAX_LEVEL {
            return Err(Malformed("a table is at a level above 255"));
        }
        if tag == 102 {
            table.path_id = input.varint32()?;
        }
        table.bytes = input.varint64()?;
        table.smallest_key = user_key(input)?;
        table.largest_key = user_key(input)?;
        if tag != 7 {
            table.smallest_sequence = input.varint64()?;
            table.largest_sequence = input.varint64()?;
        }
        if tag == 103 {
            while let Some((tag, field)) = custom_field(input)? {
                self.table_field(&mut table, tag, field)?;
            }
        }
        if table.path_id > MAX_PATH_ID {
            return Err(Malformed("a table is in a folder with a number above 3"));
        }
        self.added_tables.push(table);
        Ok(())
    }

    fn table_field(&mut self, table: &mut Table, tag: u32, field: &[u8]) -> Result<(), Malformed> {
        let mut value = Cursor::new(field);
        match tag {
            // An early way to write the smallest log to keep, in a field that could be skipped.
            3 => self.min_log_to_keep = Some(value.fixed64()?),
            4 => table.oldest_blob = Some(value.varint64()?),
            12 => {
                let id = <[u8; 16]>::try_from(field)
                    .map_err(|_| Malformed("a table's unique id has not 16 bytes"))?;
                table.unique_id = (id != [0; 16]).then_some(id);
            }
            65 => table.path_id = u32::from(value.byte()?),
            _ if tag & MUST_KNOW != 0 => {
                return Err(Malformed("a table has a field this version does not know"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The next of a table's further fields: a tag, a length, the bytes; tag 1 ends them.
fn custom_field<'a>(input: &mut Cursor<'a>) -> Result<Option<(u32, &'a [u8])>, Malformed> {
    match input.varint32()? {
        1 => Ok(None),
        tag => Ok(Some((tag, input.prefixed()?))),
    }
}

/// An internal key without its last eight bytes, a sequence number and a type.
fn user_key(input: &mut Cursor<'_>) -> Result<Vec<u8>, Malformed> {
    let internal = input.prefixed()?;
    let user = internal.len().checked_sub(8).ok_or(Malformed("a key is shorter than 8 bytes"))?;
    Ok(internal[..user].to_vec())
}

fn blob(input: &mut Cursor<'_>) -> Result<Blob, Malformed> {
    let blob =
        Blob { number: input.varint64()?, count: input.varint64()?, bytes: input.varint64()? };
    // How it was summed, and the sum.
    input.prefixed()?;
    input.prefixed()?;
    end_of_blob(input)?;
    Ok(blob)
}

fn garbage(input: &mut Cursor<'_>) -> Result<BlobGarbage, Malformed> {
    let garbage = BlobGarbage { number: input.varint64()?, count: input.varint64()? };
    input.varint64()?;
    end_of_blob(input)?;
    Ok(garbage)
}

fn end_of_blob(input: &mut Cursor<'_>) -> Result<(), Malformed> {
    loop {
        match input.varint32()? {
            0 => return Ok(()),
            tag if tag & MUST_KNOW != 0 => {
                return Err(Malformed("a blob file has a field this version does not know"));
            }
            _ => drop(input.prefixed()?),
        }
    }
}

fn wal(input: &mut Cursor<'_>) -> Result<WalAddition, Malformed> {
    let mut addition = WalAddition { number: input.varint64()?, synced_bytes: None };
    loop {
        match input.varint32()? {
            1 => return Ok(addition),
            2 => addition.synced_bytes = Some(input.varint64()?),
            _ => return Err(Malformed("a WAL has a field this version does not know")),
        }
    }
}
