//! Writing sorted records into tables that the engine takes in as they are.

use std::path::{Path, PathBuf};

use backup_core::record::{Assembler, RecordBatch};
use backup_core::source::Layout;
use backup_core::{Error, Result};
use rocksdb::{Options, SstFileWriter};

use crate::ENGINE;
use crate::foreign::KeyOrder;
use crate::keys;
use crate::limits::MAX_VALUE_BYTES;

/// The size at which a table is finished, in bytes as stored.
const TABLE_BYTES: u64 = 64 << 20;

/// How many bytes of records are written between two looks at a table's size.
const LOOK_EVERY: usize = 1 << 20;

/// How many bytes of records are held to be turned around, for a database in reverse order.
const TURN_BYTES: usize = 32 << 20;

/// The tables of one database, being written.
pub(super) struct Tables<'a> {
    place: Place<'a>,
    assembler: Assembler,
    /// The table that is open.
    writer: Option<SstFileWriter<'a>>,
    since_look: usize,
    paths: Vec<PathBuf>,
    last_key: Option<Vec<u8>>,
    /// For a database in reverse order: what is still to be turned around.
    held: Vec<(Vec<u8>, Vec<u8>)>,
    held_bytes: usize,
    records: u64,
}

/// What was written of a database.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) paths: Vec<PathBuf>,
    pub(super) records: u64,
}

/// Where and how a database is written.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) options: &'a Options,
    pub(super) order: KeyOrder,
    pub(super) layout: Layout,
    pub(super) folder: &'a Path,
    pub(super) database: &'a str,
    /// What the names of its tables begin with.
    pub(super) number: usize,
}

impl<'a> Tables<'a> {
    pub(super) fn begin(place: Place<'a>) -> Self {
        Self {
            place,
            assembler: Assembler::new(),
            writer: None,
            since_look: 0,
            paths: Vec::new(),
            last_key: None,
            held: Vec::new(),
            held_bytes: 0,
            records: 0,
        }
    }

    /// Adds the next records.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut assembler = std::mem::take(&mut self.assembler);
        let added = assembler
            .feed(batch, MAX_VALUE_BYTES, |root_key, key, value| self.record(root_key, key, value));
        self.assembler = assembler;
        added
    }

    /// Finishes the last table.
    pub(super) fn finish(mut self) -> Result<Written> {
        self.assembler.finish()?;
        self.turn_around()?;
        self.close()?;
        Ok(Written { paths: self.paths, records: self.records })
    }

    fn record(&mut self, root_key: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        let encoded;
        let key = match self.place.layout {
            Layout::Partitioned => {
                encoded = keys::encode(root_key, key);
                &encoded
            }
            Layout::Plain if root_key.is_empty() => key,
            Layout::Plain => {
                return Err(Error::unsupported(
                    format!(
                        "a root key in database {:?} with the plain layout",
                        self.place.database
                    ),
                    "restore it with the partitioned layout",
                ));
            }
        };
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            let detail = "are not sorted by root key and key, or one comes twice";
            return Err(Error::invalid(
                format!("the records of database {:?}", self.place.database),
                detail,
            ));
        }
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        self.records += 1;
        match self.place.order {
            KeyOrder::Forward => self.put(key, value),
            KeyOrder::Reverse => {
                self.held_bytes += key.len() + value.len();
                self.held.push((key.to_vec(), value.to_vec()));
                if self.held_bytes >= TURN_BYTES { self.turn_around() } else { Ok(()) }
            }
        }
    }

    /// Writes what is held, backward, into a table of its own.
    fn turn_around(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if held.is_empty() {
            return Ok(());
        }
        for (key, value) in held.iter().rev() {
            let writer = self.writer()?;
            writer.put(key, value).map_err(writing(self.place.database))?;
        }
        self.close()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let database = self.place.database;
        self.writer()?.put(key, value).map_err(writing(database))?;
        self.since_look += key.len() + value.len();
        if self.since_look >= LOOK_EVERY {
            self.since_look = 0;
            if self.writer()?.file_size() >= TABLE_BYTES {
                self.close()?;
            }
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut SstFileWriter<'a>> {
        if self.writer.is_none() {
            let Place { options, folder, database, number, .. } = self.place;
            let path = folder.join(format!("{number:06}-{:06}.sst", self.paths.len()));
            let writer = SstFileWriter::create(options);
            writer.open(&path).map_err(writing(database))?;
            self.paths.push(path);
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("a table was opened just above"))
    }

    fn close(&mut self) -> Result<()> {
        match self.writer.take() {
            Some(mut writer) => writer.finish().map_err(writing(self.place.database)),
            None => Ok(()),
        }
    }
}

/// The error of a table; its sentence is made only once there is one, not for each record.
fn writing(database: &str) -> impl FnOnce(rocksdb::Error) -> Error + use<'_> {
    move |error| Error::engine(ENGINE, format!("write a table of database {database:?}"))(error)
}
