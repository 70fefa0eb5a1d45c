//! The first page of an empty database whose pages have reserved bytes: SQLite makes pages without any unless
//! the first one says so.

use super::encoding::Encoding;
use super::settings::Pragmas;

/// What every database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The version of SQLite that the header names as the last writer: any will do, the next one writes its own.
const WRITER: u32 = 3_051_003;

/// The kind of a page of a table's rows.
const LEAF_OF_A_TABLE: u8 = 13;

/// The bytes of the page, by "The Database Header" and "B-tree Pages" of SQLite's description of its file.
pub(super) fn of(pragmas: &Pragmas) -> Vec<u8> {
    let size = pragmas.page_size as usize;
    let usable = size - usize::from(pragmas.reserved);
    let mut page = vec![0; size];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, MAGIC);
    // 65536 is written as 1, and so is 0 here below where it is the end of such a page.
    put(16, &u16::try_from(size).unwrap_or(1).to_be_bytes());
    put(18, &[1, 1, pragmas.reserved, 64, 32, 32]);
    // The change counter, the pages of the file, and the version of the schema's format.
    put(24, &1_u32.to_be_bytes());
    put(28, &1_u32.to_be_bytes());
    put(44, &4_u32.to_be_bytes());
    put(52, &u32::from(pragmas.auto_vacuum > 0).to_be_bytes());
    let encoding: u32 = match pragmas.encoding {
        Encoding::Utf8 => 1,
        Encoding::Utf16Le => 2,
        Encoding::Utf16Be => 3,
    };
    put(56, &encoding.to_be_bytes());
    put(64, &u32::from(pragmas.auto_vacuum == 2).to_be_bytes());
    put(92, &1_u32.to_be_bytes());
    put(96, &WRITER.to_be_bytes());
    put(100, &[LEAF_OF_A_TABLE]);
    put(105, &u16::try_from(usable).unwrap_or(0).to_be_bytes());
    page
}
