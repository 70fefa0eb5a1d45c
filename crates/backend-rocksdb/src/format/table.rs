//! The properties that a table file carries (`table/format.cc`, `table/meta_blocks.cc`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::cursor::{Cursor, Malformed};

const BLOCK_BASED: u64 = 0x88e2_41b7_85f4_cff7;
const OLD_BLOCK_BASED: u64 = 0xdb47_7524_8b80_fb57;
const PLAIN: u64 = 0x8242_2296_63bf_9564;
const OLD_PLAIN: u64 = 0x4f34_18eb_7a8f_13b8;
const CUCKOO: u64 = 0x9267_89d0_c5f1_7873;

/// The newest layout of block-based tables that is known here.
const NEWEST_FORMAT: u32 = 7;

/// Two block handles of at most 20 bytes each.
const HANDLES: usize = 40;
const OLD_FOOTER: usize = HANDLES + 8;
const FOOTER: usize = 1 + HANDLES + 4 + 8;

/// A block's note that its keys are spread evenly, which says nothing about how it is read.
const UNIFORM: u32 = 1 << 29;

/// The longest metaindex or properties block that is read, in bytes.
const MAX_BLOCK: u64 = 16 << 20;

/// What of a table's properties a backup asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableProperties {
    pub(crate) comparator: Option<String>,
    pub(crate) merge_operator: Option<String>,
    pub(crate) prefix_extractor: Option<String>,
    pub(crate) entries: u64,
    pub(crate) deletions: u64,
    pub(crate) merge_operands: u64,
    pub(crate) key_bytes: u64,
    pub(crate) value_bytes: u64,
}

/// Why a table's properties cannot be had.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    /// No table at all: encrypted, cut short, or something else under a table's name.
    NoTable,
    /// A table that only another version reads.
    OtherVersion(String),
    Damaged(&'static str),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for Unreadable {
    fn from(Malformed(reason): Malformed) -> Self {
        Self::Damaged(reason)
    }
}

#[derive(Debug, Clone, Copy)]
struct Handle {
    offset: u64,
    bytes: u64,
}

impl TableProperties {
    /// Reads the properties of the table in `file`, which is `bytes` long.
    pub(crate) fn read(file: &File, bytes: u64) -> Result<Self, Unreadable> {
        let mut place = None;
        visit(&block(file, bytes, footer(file, bytes)?)?, |name, value| {
            if name == b"rocksdb.properties" {
                place = handle_of(&mut Cursor::new(value)).ok();
            }
        })?;
        let mut properties = Self::default();
        if let Some(place) = place {
            visit(&block(file, bytes, place)?, |name, value| properties.set(name, value))?;
        }
        Ok(properties)
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        let text = || {
            let text = String::from_utf8_lossy(value);
            (!text.is_empty() && text != "nullptr").then(|| text.into_owned())
        };
        let number = || Cursor::new(value).varint64().unwrap_or(0);
        match name {
            b"rocksdb.comparator" => self.comparator = text(),
            b"rocksdb.merge.operator" => self.merge_operator = text(),
            b"rocksdb.prefix.extractor.name" => self.prefix_extractor = text(),
            b"rocksdb.num.entries" => self.entries = number(),
            b"rocksdb.deleted.keys" => self.deletions = number(),
            b"rocksdb.merge.operands" => self.merge_operands = number(),
            b"rocksdb.raw.key.size" => self.key_bytes = number(),
            b"rocksdb.raw.value.size" => self.value_bytes = number(),
            _ => {}
        }
    }
}

/// Reads a table's last bytes and gives where its metaindex is.
fn footer(file: &File, bytes: u64) -> Result<Handle, Unreadable> {
    let len = FOOTER.min(usize::try_from(bytes).unwrap_or(FOOTER));
    if len < OLD_FOOTER {
        return Err(Unreadable::NoTable);
    }
    let mut tail = vec![0; len];
    let start = bytes - len as u64;
    file.read_exact_at(&mut tail, start)?;
    let magic = Cursor::new(&tail[len - 8..]).fixed64()?;
    if magic == OLD_PLAIN {
        return Ok(handle_of(&mut Cursor::new(&tail[len - OLD_FOOTER..]))?);
    }
    if magic == OLD_BLOCK_BASED {
        let version = "its format is older than RocksDB 4.6 wrote";
        return Err(Unreadable::OtherVersion(version.into()));
    }
    let trailer = match magic {
        BLOCK_BASED => 5,
        PLAIN | CUCKOO => 0,
        _ => return Err(Unreadable::NoTable),
    };
    if len < FOOTER {
        return Err(Unreadable::NoTable);
    }
    let version = Cursor::new(&tail[len - 12..]).fixed32()?;
    if version > NEWEST_FORMAT {
        let version = format!("its format version is {version}, known is up to {NEWEST_FORMAT}");
        return Err(Unreadable::OtherVersion(version));
    }
    let mut handles = Cursor::new(&tail[1..]);
    if version < 6 {
        return Ok(handle_of(&mut handles)?);
    }
    // From version 6 on the metaindex stands right before the footer: a magic number, a checksum
    // and a context come first, then its size.
    handles.take(12)?;
    let size = u64::from(handles.fixed32()?);
    let offset =
        start.checked_sub(trailer + size).ok_or(Malformed("its metaindex begins before it"))?;
    Ok(Handle { offset, bytes: size })
}

fn handle_of(input: &mut Cursor<'_>) -> Result<Handle, Malformed> {
    Ok(Handle { offset: input.varint64()?, bytes: input.varint64()? })
}

fn block(file: &File, bytes: u64, handle: Handle) -> Result<Vec<u8>, Unreadable> {
    let fits = handle.offset.checked_add(handle.bytes).is_some_and(|end| end <= bytes);
    if !fits || handle.bytes > MAX_BLOCK {
        return Err(Unreadable::Damaged("a block lies outside it"));
    }
    let len = usize::try_from(handle.bytes).map_err(|_| Malformed("a block lies outside it"))?;
    let mut content = vec![0; len];
    file.read_exact_at(&mut content, handle.offset)?;
    Ok(content)
}

/// Calls `each(name, value)` for the entries of a metaindex or properties block: keys that share
/// their beginnings, then the restart points.
fn visit(block: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
    let bad = Malformed("a block's restart points are not in it");
    let count_at = block.len().checked_sub(4).ok_or(bad)?;
    let packed = Cursor::new(&block[count_at..]).fixed32()? & !UNIFORM;
    if packed >> 28 != 0 {
        return Err(Malformed("a block has a feature this version does not know"));
    }
    let restarts = usize::try_from(packed).map_err(|_| bad)?.checked_mul(4).ok_or(bad)?;
    let end = count_at.checked_sub(restarts).ok_or(bad)?;
    let mut input = Cursor::new(&block[..end]);
    let mut key = Vec::new();
    while !input.is_empty() {
        let shared = input.varint32()? as usize;
        let unshared = input.varint32()? as usize;
        let value = input.varint32()? as usize;
        if shared > key.len() {
            return Err(Malformed("a key shares more than the key before it has"));
        }
        key.truncate(shared);
        key.extend_from_slice(input.take(unshared)?);
        each(&key, input.take(value)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<TableProperties, Unreadable> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        TableProperties::read(&file, bytes.len() as u64)
    }

    /// A footer of version 5 whose metaindex is at these varints.
    fn footer(handle: &[u8], version: u32, magic: u64) -> Vec<u8> {
        let mut footer = vec![4];
        footer.extend_from_slice(handle);
        footer.resize(1 + HANDLES, 0);
        footer.extend(version.to_le_bytes());
        footer.extend(magic.to_le_bytes());
        footer
    }

    #[test]
    fn what_is_no_table_is_told_apart() {
        assert!(matches!(read(b""), Err(Unreadable::NoTable)));
        assert!(matches!(read(&[7; 4096]), Err(Unreadable::NoTable)));
        let old = footer(&[0, 0], 1, OLD_BLOCK_BASED);
        assert!(matches!(read(&old), Err(Unreadable::OtherVersion(_))));
        let later = footer(&[0, 0], NEWEST_FORMAT + 1, BLOCK_BASED);
        assert!(matches!(read(&later), Err(Unreadable::OtherVersion(_))));
    }

    #[test]
    fn a_block_outside_of_the_file_is_damage() {
        for handle in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5][..],
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0, 0x80, 0x80, 0x80, 0x80, 4],
        ] {
            let bytes = footer(handle, 5, BLOCK_BASED);
            assert!(matches!(read(&bytes), Err(Unreadable::Damaged(_))), "{handle:?}");
        }
        let mut newer = footer(&[0; 12], 7, BLOCK_BASED);
        newer[13..17].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(read(&newer), Err(Unreadable::Damaged(_))));
    }

    proptest! {
        #[test]
        fn any_block_is_read_or_refused(block in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut seen = 0;
            if visit(&block, |_, _| seen += 1).is_ok() {
                prop_assert!(seen <= block.len());
            }
        }
    }
}
