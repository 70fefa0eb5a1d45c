//! The rowids of a table, in order, read from its pages: SQL has no name for them where columns have taken all
//! three.
//!
//! "B-tree Pages" in SQLite's description of its file is what is read here. Nothing in the pages is believed:
//! whatever they say, this ends.

use std::sync::Arc;

use backup_core::{Error, Result};

use crate::file::{INNER_PAGE, LEAF_PAGE, be16, be32, varint};
use crate::moment::Moment;
use crate::pages::image::Image;

/// The pages of a moment.
pub(super) struct Pages {
    image: Arc<Image>,
    /// How many bytes of each are the database's.
    usable: usize,
}

impl Pages {
    /// Those of a moment, where they are known.
    pub(super) fn of(moment: &Moment) -> Option<Self> {
        let image = moment.image()?;
        let usable = (image.page_size as usize).saturating_sub(moment.reserved().into());
        Some(Self { image, usable })
    }

    fn read(&self, number: u32) -> Result<Option<Vec<u8>>> {
        if number == 0 || number > self.image.pages {
            return Ok(None);
        }
        let size = u64::from(self.image.page_size);
        let start = u64::from(number - 1) * size;
        self.image.read(start..start + size).map(Some)
    }
}

/// The rowids of a table that are still to come.
pub(super) struct Rowids {
    pages: Pages,
    table: String,
    /// The pages to go to. The last is the next.
    waiting: Vec<u32>,
    /// How many pages may still be read: those of a tree are read once each.
    left: u32,
    /// Those of the leaf that was read last.
    here: std::vec::IntoIter<i64>,
    last: Option<i64>,
}

impl Rowids {
    /// Those of the table whose tree begins at the page `root`.
    pub(super) fn new(pages: Pages, table: &str, root: u32) -> Self {
        let left = pages.image.pages;
        let (waiting, here) = (vec![root], Vec::new().into_iter());
        Self { pages, table: table.to_owned(), waiting, left, here, last: None }
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the pages are no tree of rows.
    pub(super) fn next(&mut self) -> Result<Option<i64>> {
        loop {
            if let Some(rowid) = self.here.next() {
                if self.last.is_some_and(|last| last >= rowid) {
                    return Err(self.damaged("its rowids are out of order"));
                }
                self.last = Some(rowid);
                return Ok(Some(rowid));
            }
            let Some(number) = self.waiting.pop() else { return Ok(None) };
            let Some(left) = self.left.checked_sub(1) else {
                return Err(self.damaged("its tree has more pages than the database"));
            };
            self.left = left;
            let page = self.pages.read(number)?;
            if page.and_then(|page| self.take(&page)).is_none() {
                return Err(self.damaged(&format!("page {number} is none of a tree of rows")));
            }
        }
    }

    /// Takes what a page holds. None where it is none of a tree of rows.
    fn take(&mut self, page: &[u8]) -> Option<()> {
        let page = page.get(..self.pages.usable)?;
        let kind = *page.first()?;
        let cells = usize::from(be16(page, 3));
        let first = match kind {
            INNER_PAGE => 12,
            LEAF_PAGE => 8,
            _ => return None,
        };
        let places = page.get(first..first + 2 * cells)?;
        let places = (0..cells).map(|cell| usize::from(be16(places, 2 * cell)));
        if kind == INNER_PAGE {
            let child = |at: usize| page.get(at..at + 4).map(|bytes| be32(bytes, 0));
            let children = places.chain([8]).map(child).collect::<Option<Vec<_>>>()?;
            self.waiting.extend(children.into_iter().rev());
        } else {
            let rowid = |at: usize| {
                let (_length, rest) = varint(page.get(at..)?)?;
                varint(rest).map(|(rowid, _)| rowid.cast_signed())
            };
            self.here = places.map(rowid).collect::<Option<Vec<_>>>()?.into_iter();
        }
        Some(())
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::damaged(format!("table {:?}", self.table), detail.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use rusqlite::Connection;

    use super::*;
    use crate::file::header::Header;

    /// A database of a table `t`, as the bytes of its file, with the first page of the table.
    fn made(setup: &str) -> (Vec<u8>, u32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        let sql = "CREATE TABLE t(a); WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
             INSERT INTO t(rowid, a) SELECT i * i - 9000, zeroblob(i % 90) FROM n; DELETE FROM t WHERE rowid % 3 = 0;";
        connection.execute_batch(&format!("{setup}; {sql}")).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 't'";
        let root = connection.query_row(root, [], |row| row.get(0)).unwrap();
        drop(connection);
        (std::fs::read(path).unwrap(), root)
    }

    fn found(bytes: &[u8], root: u32) -> Result<Vec<i64>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let header = Header::parse(file.path(), bytes.first_chunk().unwrap()).unwrap();
        let main = Arc::new(File::open(file.path()).unwrap());
        let (image, _) = Image::of_main(file.path(), &main, &header, bytes.len() as u64).unwrap();
        let usable = (header.page_size - u32::from(header.reserved)) as usize;
        let pages = Pages { image: Arc::new(image), usable };
        let mut rowids = Rowids::new(pages, "t", root);
        std::iter::from_fn(|| rowids.next().transpose()).collect()
    }

    #[test]
    fn rowids_are_those_that_sqlite_finds() {
        let expected: Vec<i64> = (0..=4000).map(|i| i * i - 9000).filter(|i| i % 3 != 0).collect();
        for size in [512, 4096, 65536] {
            let (bytes, root) = made(&format!("PRAGMA page_size = {size}"));
            assert_eq!(found(&bytes, root).unwrap(), expected, "{size}");
        }
    }

    /// Bytes that say anything are read to an end, and what is given is in order.
    #[test]
    fn hostile_pages_come_to_an_end() {
        let (sound, root) = made("PRAGMA page_size = 512");
        for seed in 0..500 {
            let mut hostile = sound.clone();
            for three in testkit::noise(seed, 24).chunks(3) {
                let at = usize::from(u16::from_le_bytes([three[0], three[1]]));
                hostile[100 + at % (sound.len() - 100)] = three[2];
            }
            match found(&hostile, root) {
                Ok(rowids) => assert!(rowids.is_sorted() && rowids.len() < sound.len()),
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
            }
        }
    }
}
