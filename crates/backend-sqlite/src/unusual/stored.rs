//! The schema as it is stored: read from its pages, without SQLite, so that it is seen whatever SQLite thinks
//! of it, and nothing is opened or locked for it.
//!
//! "The Database File Format" on SQLite's site, sections 1.6 and 2, is what is read here: a b-tree of
//! records from page 1 on. Nothing in it is believed: whatever the bytes say, this ends.

use std::collections::HashSet;

use backup_core::Result;

use crate::file::header::HEADER_BYTES;
use crate::file::{INNER_PAGE as INNER, LEAF_PAGE as LEAF, be16, be32, varint};

/// How much of a schema is read: there are none near it, but of damage.
const MOST_BYTES: usize = 64 << 20;

/// A row of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// `table`, `index`, `view` or `trigger`.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
    /// The name of the table it belongs to.
    pub(super) table: String,
    /// The statement that made it; none for what a table makes by itself.
    pub(super) sql: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) rows: Vec<Stored>,
    /// Whether some of it could not be read.
    pub(super) is_partial: bool,
}

/// How a database is laid out, as far as its schema's pages are concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// How many bytes of a page are the database's.
    pub(super) usable: usize,
    /// How many pages there are.
    pub(super) pages: u32,
    pub(super) encoding: TextEncoding,
}

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextEncoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl TextEncoding {
    /// Bytes that are no text of this encoding are shown as such.
    fn text(self, bytes: &[u8]) -> String {
        let units = |of: fn([u8; 2]) -> u16| {
            let (pairs, _) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| of(*pair)).collect();
            String::from_utf16_lossy(&units)
        };
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16Le => units(u16::from_le_bytes),
            Self::Utf16Be => units(u16::from_be_bytes),
        }
    }
}

/// Reads the schema. `page` gives a page by its number, counted from 1.
///
/// # Errors
/// Those of `page`.
pub(super) fn read(layout: Layout, page: &dyn Fn(u32) -> Result<Vec<u8>>) -> Result<Schema> {
    let mut reader =
        Reader { layout, page, seen: HashSet::new(), bytes: 0, schema: Schema::default() };
    // The last is the next.
    let mut waiting = vec![1];
    while let Some(number) = waiting.pop() {
        if reader.tree_page(number, &mut waiting)?.is_none() {
            reader.schema.is_partial = true;
        }
    }
    Ok(reader.schema)
}

struct Reader<'a> {
    layout: Layout,
    page: &'a dyn Fn(u32) -> Result<Vec<u8>>,
    seen: HashSet<u32>,
    bytes: usize,
    schema: Schema,
}

impl Reader<'_> {
    /// Reads a page that was not read yet. None where there is none, or it was: pages are a tree.
    fn page(&mut self, number: u32) -> Result<Option<Vec<u8>>> {
        if number == 0 || number > self.layout.pages || !self.seen.insert(number) {
            return Ok(None);
        }
        let page = (self.page)(number)?;
        Ok((page.len() >= self.layout.usable).then_some(page))
    }

    /// Takes what a page of the tree holds. None where it is none.
    fn tree_page(&mut self, number: u32, waiting: &mut Vec<u32>) -> Result<Option<()>> {
        let Some(page) = self.page(number)? else { return Ok(None) };
        let start = if number == 1 { HEADER_BYTES } else { 0 };
        let kind = page[start];
        let cells = usize::from(be16(&page, start + 3));
        let first = start + if kind == INNER { 12 } else { 8 };
        if (kind != INNER && kind != LEAF) || first + 2 * cells > self.layout.usable {
            return Ok(None);
        }
        let mut children = Vec::new();
        let mut whole = Some(());
        for cell in 0..cells {
            let at = usize::from(be16(&page, first + 2 * cell));
            if kind == INNER {
                let child = page.get(at..at + 4).map(|bytes| be32(bytes, 0));
                whole = whole.and(child.map(drop));
                children.extend(child);
            } else if let Some(row) = self.row(&page, at)? {
                self.schema.rows.push(row);
            } else {
                whole = None;
            }
        }
        if kind == INNER {
            children.push(be32(&page, start + 8));
        }
        waiting.extend(children.into_iter().rev());
        Ok(whole)
    }

    /// The row in a cell of a leaf. None where there is none.
    fn row(&mut self, page: &[u8], at: usize) -> Result<Option<Stored>> {
        let usable = self.layout.usable;
        let cell = page.get(at..usable).unwrap_or_default();
        let Some((length, cell)) = varint(cell) else { return Ok(None) };
        let Some((_rowid, cell)) = varint(cell) else { return Ok(None) };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length > MOST_BYTES.saturating_sub(self.bytes) {
            return Ok(None);
        }
        self.bytes += length;
        let here = on_the_page(length, usable);
        let Some(local) = cell.get(..here) else { return Ok(None) };
        let mut payload = local.to_vec();
        if here < length {
            let Some(next) = cell.get(here..here + 4) else { return Ok(None) };
            let mut next = be32(next, 0);
            while payload.len() < length {
                let Some(more) = self.page(next)? else { return Ok(None) };
                next = be32(&more, 0);
                let wanted = (length - payload.len()).min(usable - 4);
                payload.extend_from_slice(&more[4..4 + wanted]);
            }
        }
        Ok(record(&payload, self.layout.encoding))
    }
}

/// How many bytes of a row of this length lie on its page in the tree.
fn on_the_page(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fitting = least + (length - least) % (usable - 4);
    if fitting <= most { fitting } else { least }
}

/// The columns of a row of the schema: type, name, table's name, root page, statement.
fn record(payload: &[u8], encoding: TextEncoding) -> Option<Stored> {
    let (header, _) = varint(payload)?;
    let header = usize::try_from(header).ok()?;
    let mut types = payload.get(..header)?;
    (_, types) = varint(types)?;
    let mut body = payload.get(header..)?;
    let mut columns = [None, None, None, None, None];
    for column in &mut columns {
        let (serial, rest) = varint(types)?;
        types = rest;
        let length = match serial {
            0 | 8 | 9 => 0,
            1..=4 => serial,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (serial - 12) / 2,
        };
        let (bytes, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
        body = rest;
        *column = (serial >= 13 && serial % 2 == 1).then(|| encoding.text(bytes));
    }
    let [kind, name, table, _root, sql] = columns;
    Some(Stored { kind: kind?, name: name?, table: table?, sql })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A database in memory, as the bytes of its file.
    fn bytes(setup: &str, objects: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(setup).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for number in 0..objects {
            let long = "x".repeat((number as usize * 37) % 3000);
            let sql = format!(
                "CREATE TABLE t{number}(a /* ü {long} */); CREATE INDEX i{number} ON t{number}(a)"
            );
            connection.execute_batch(&sql).unwrap();
        }
        connection
            .execute_batch("COMMIT; CREATE TABLE u(a PRIMARY KEY); CREATE VIEW v AS SELECT 1")
            .unwrap();
        drop(connection);
        std::fs::read(path).unwrap()
    }

    fn layout(bytes: &[u8]) -> Layout {
        let size = match usize::from(be16(bytes, 16)) {
            1 => 65536,
            size => size,
        };
        let encoding = match bytes[59] {
            2 => TextEncoding::Utf16Le,
            3 => TextEncoding::Utf16Be,
            _ => TextEncoding::Utf8,
        };
        let pages = u32::try_from(bytes.len() / size).unwrap();
        Layout { usable: size - usize::from(bytes[20]), pages, encoding }
    }

    fn stored(bytes: &[u8]) -> Schema {
        let size = layout(bytes).usable + usize::from(bytes[20]);
        let page = |number: u32| {
            let at = (number as usize - 1) * size;
            Ok(bytes[at..at + size].to_vec())
        };
        read(layout(bytes), &page).unwrap()
    }

    /// What SQLite reads of the same bytes.
    fn by_sqlite(bytes: &[u8]) -> Vec<Stored> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let connection = Connection::open(file.path()).unwrap();
        let mut statement = connection
            .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")
            .unwrap();
        let rows = statement.query_map([], |row| {
            Ok(Stored {
                kind: row.get(0)?,
                name: row.get(1)?,
                table: row.get(2)?,
                sql: row.get(3)?,
            })
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_schema_is_read_as_sqlite_reads_it() {
        for size in [512, 1024, 4096, 65536] {
            for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
                for objects in [0, 3, 200] {
                    let setup = format!("PRAGMA page_size={size}; PRAGMA encoding='{encoding}'");
                    let bytes = bytes(&setup, objects);
                    let found = stored(&bytes);
                    assert!(!found.is_partial, "{setup}");
                    assert!(found.rows == by_sqlite(&bytes), "{setup}, {objects} objects");
                }
            }
        }
    }

    /// Bytes that say anything are read to an end, and nothing is made of them that is as large as they say.
    #[test]
    fn hostile_bytes_come_to_an_end() {
        let sound = bytes("PRAGMA page_size=512", 40);
        let layout = layout(&sound);
        for seed in 0..1000 {
            let mut hostile = sound.clone();
            for (at, byte) in testkit::noise(seed, 24).chunks(3).map(|three| {
                let at = usize::from(u16::from_le_bytes([three[0], three[1]]));
                (100 + at % (sound.len() - 100), three[2])
            }) {
                hostile[at] = byte;
            }
            let page = |number: u32| {
                let at = (number as usize - 1) * 512;
                Ok(hostile[at..at + 512].to_vec())
            };
            let found = read(layout, &page).unwrap();
            assert!(found.rows.len() <= hostile.len(), "seed {seed}");
        }
    }
}
