//! The first hundred bytes of a database.

use std::path::Path;

use backup_core::{Error, Result};

use super::{be32, is_page_size};

/// How long the header is.
pub(crate) const HEADER_BYTES: usize = 100;

/// What every database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The largest and smallest parts of a page that a cell may fill: there was never another choice.
const FRACTIONS: &[u8] = &[64, 32, 32];

/// The fewest bytes of a page that are left when each keeps some for itself.
const MIN_USABLE: u32 = 480;

/// The header of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) page_size: u32,
    /// Counts the transactions that changed the main file; in WAL mode only those that changed page 1.
    pub(crate) change_counter: u32,
    /// The change counter when the last program that knows of `stated_pages` wrote.
    pub(crate) valid_for: u32,
    stated_pages: u32,
    read_version: u8,
    /// How many bytes at the end of each page are its program's.
    pub(crate) reserved: u8,
    /// The format of the schema; 0 where there is none yet.
    pub(crate) schema_format: u32,
    /// The encoding of text: 1 for UTF-8, 2 and 3 for UTF-16; 0 where there is none yet.
    pub(crate) encoding: u32,
}

impl Header {
    /// Checks the header as SQLite does when it opens a database.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what is no database that SQLite can read, [`Error::Damaged`] for one
    /// that says what cannot be.
    pub(crate) fn parse(database: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(foreign(database));
        }
        let damaged = |detail: String| Err(Error::damaged(named(database), detail));
        // The size 65536 does not fit, and is written as 1.
        let page_size = match u32::from(u16::from_be_bytes([bytes[16], bytes[17]])) {
            1 => 65_536,
            size => size,
        };
        if !is_page_size(page_size) {
            return damaged(format!("its header names a page size of {page_size} bytes"));
        }
        let (read_version, reserved) = (bytes[19], u32::from(bytes[20]));
        if read_version > 2 {
            let why = format!(
                "its header asks for readers of version {read_version}, and SQLite knows 1 and 2; a \
                 later program wrote it, or it is damaged"
            );
            return Err(Error::unsupported(format!("reading {}", database.display()), why));
        }
        if bytes[21..24] != *FRACTIONS || page_size - reserved < MIN_USABLE {
            return damaged(
                "its header has payload fractions or reserved bytes that none has".into(),
            );
        }
        Ok(Self {
            page_size,
            change_counter: be32(bytes, 24),
            valid_for: be32(bytes, 92),
            stated_pages: be32(bytes, 28),
            read_version,
            reserved: bytes[20],
            schema_format: be32(bytes, 44),
            encoding: be32(bytes, 56),
        })
    }

    /// Whether it is read and written with a write-ahead log.
    pub(crate) fn is_wal(&self) -> bool {
        self.read_version == 2
    }

    /// How many pages the database has, where the program that wrote last kept count.
    pub(crate) fn pages(&self) -> Option<u32> {
        let counted = self.stated_pages > 0 && self.change_counter == self.valid_for;
        counted.then_some(self.stated_pages)
    }
}

/// Whether only the first bytes are a header's, and the rest is noise: some programs that encrypt their database
/// leave 16 bytes in the clear, which do not tell how long a page is.
pub(crate) fn is_hidden(bytes: &[u8; HEADER_BYTES]) -> bool {
    bytes.starts_with(MAGIC) && bytes[21..24] != *FRACTIONS && has_noise(bytes)
}

/// Whether there is something where a header never had anything but zeros.
pub(crate) fn has_noise(bytes: &[u8; HEADER_BYTES]) -> bool {
    bytes[72..92].iter().any(|byte| *byte != 0)
}

/// A database in messages.
pub(crate) fn named(database: &Path) -> String {
    format!("the database {}", database.display())
}

fn foreign(database: &Path) -> Error {
    Error::unsupported(
        format!("reading {} as a SQLite database", database.display()),
        "it does not begin as one: it is another kind of file, or its program encrypts it (SQLCipher, \
         SEE, a VFS of its own), and only that program can read it; copy it as a plain file \
         (files:FOLDER) while its program does not run",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..24].copy_from_slice(&[16, 0, 1, 1, 0, 64, 32, 32]);
        bytes[27] = 7;
        bytes[31] = 3;
        bytes[95] = 7;
        bytes
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Header> {
        Header::parse(Path::new("/x.db"), bytes)
    }

    #[test]
    fn a_header_is_read() {
        let mut bytes = header();
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.page_size, parsed.pages(), parsed.is_wal()), (4096, Some(3), false));
        bytes[16..20].copy_from_slice(&[0, 1, 2, 2]);
        bytes[95] = 6;
        let parsed = parse(&bytes).unwrap();
        // An old program wrote last, which did not keep count.
        assert_eq!((parsed.page_size, parsed.pages(), parsed.is_wal()), (65_536, None, true));
    }

    #[test]
    fn a_damaged_header_is_not_taken_for_a_hidden_one() {
        let mut bytes = header();
        bytes[16..24].fill(0x5a);
        assert!(!is_hidden(&bytes));
        bytes[24..].fill(0x5a);
        assert!(is_hidden(&bytes));
        assert!(!is_hidden(&[0x5a; HEADER_BYTES]), "nothing is in the clear");
    }

    #[test]
    fn what_is_no_database_is_refused_in_words() {
        let refused = parse(&[b'x'; HEADER_BYTES]).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
        assert!(refused.to_string().contains("encrypts"), "{refused}");
        for (at, value) in [(16, 3), (16, 255), (19, 3), (21, 0), (20, 255), (17, 2)] {
            let mut bytes = header();
            bytes[at] = value;
            if at == 20 {
                bytes[16] = 2;
            }
            parse(&bytes).unwrap_err();
        }
    }
}
