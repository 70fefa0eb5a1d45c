//! Whether this build can read the records of a store that another program wrote.
//!
//! RocksDB itself compares only the comparator's name. Opened with another merge operator, or none,
//! it answers "nothing there" for what it cannot merge. So the names in the MANIFEST, in OPTIONS and
//! in each table's properties are compared before any record is read.

use std::fs::File;

use backup_core::{Error, Result};

use crate::capture::Capture;
use crate::format::file_name;
use crate::format::manifest::Family;
use crate::format::options::FamilyOptions;
use crate::format::table::{TableProperties, Unreadable};
use crate::settings::{self, BYTEWISE, REVERSE_BYTEWISE};

/// What the names of comparators end with whose keys carry timestamps.
const TIMESTAMPS: &str = ".u64ts";

/// The order of a column family's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyOrder {
    /// Bytewise.
    Forward,
    /// Bytewise backward: a scan goes from the last key to the first.
    Reverse,
}

/// What a column family's tables hold, as their properties say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) entries: u64,
    pub(crate) deletions: u64,
    pub(crate) bytes: u64,
}

impl Survey {
    /// Adds a table.
    pub(crate) fn add(&mut self, properties: &TableProperties) {
        self.entries = self.entries.saturating_add(properties.entries);
        self.deletions = self.deletions.saturating_add(properties.deletions);
        let bytes = properties.key_bytes.saturating_add(properties.value_bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// About how many records there are: a deletion hides what it deletes.
    pub(crate) fn records(&self) -> u64 {
        self.entries.saturating_sub(self.deletions.saturating_mul(2))
    }
}

/// The properties of a table, if they can be had.
pub(crate) fn properties(file: &File, bytes: u64) -> Option<TableProperties> {
    TableProperties::read(file, bytes).ok()
}

/// Checks that a column family's name can be the name of a database.
pub(crate) fn check_name(store: &str, family: &Family) -> Result<()> {
    match std::str::from_utf8(&family.name) {
        Ok(_) => Ok(()),
        Err(_) => Err(unreadable(store, family, "its name is not UTF-8")),
    }
}

/// The order of a column family by its comparator's name.
pub(crate) fn key_order(store: &str, family: &Family) -> Result<KeyOrder> {
    let comparator = String::from_utf8_lossy(&family.comparator);
    match comparator.as_ref() {
        BYTEWISE => Ok(KeyOrder::Forward),
        REVERSE_BYTEWISE => Ok(KeyOrder::Reverse),
        timestamps if timestamps.strip_suffix(TIMESTAMPS).is_some() => Err(unreadable(
            store,
            family,
            &format!(
                "its keys carry timestamps (comparator {timestamps}), which records do not have"
            ),
        )),
        other => Err(unreadable(
            store,
            family,
            &format!("its comparator {other:?} is known to its own program alone"),
        )),
    }
}

/// Compares the names of a captured column family with what every RocksDB has, and sums up its
/// tables' properties.
pub(crate) fn check(capture: &Capture, store: &str, family: &Family) -> Result<Survey> {
    key_order(store, family)?;
    check_name(store, family)?;
    let options = capture.options.families.get(&family.shown_name());
    let named = options.map(Named::by_options).unwrap_or_default();
    named.check(store, family, "OPTIONS")?;
    let mut survey = Survey::default();
    for number in family.tables.keys() {
        let (name, properties) = read_table(capture, store, family, *number)?;
        Named::by_table(&properties).check(store, family, &name)?;
        // Names in a table are those of when it was written; what is read with is OPTIONS'.
        if properties.merge_operands > 0 && named.merge_operator.is_none() {
            let operator = properties.merge_operator.as_deref().unwrap_or("without a name");
            let why = format!(
                "{name} has operands of the merge operator {operator}, and OPTIONS names none"
            );
            return Err(unreadable(store, family, &why));
        }
        survey.add(&properties);
    }
    Ok(survey)
}

/// Compares the names in the MANIFEST and in OPTIONS with what every RocksDB has.
pub(crate) fn check_options(store: &str, family: &Family, options: &FamilyOptions) -> Result<()> {
    key_order(store, family)?;
    check_name(store, family)?;
    Named::by_options(options).check(store, family, "OPTIONS")
}

/// The names that decide whether records can be read.
#[derive(Debug, Default)]
struct Named<'a> {
    comparator: Option<&'a str>,
    merge_operator: Option<&'a str>,
    prefix_extractor: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn by_options(options: &'a FamilyOptions) -> Self {
        Self {
            comparator: options.object("comparator"),
            merge_operator: options.object("merge_operator"),
            prefix_extractor: options.object("prefix_extractor"),
        }
    }

    fn by_table(properties: &'a TableProperties) -> Self {
        let operands = properties.merge_operands > 0;
        Self {
            comparator: properties.comparator.as_deref(),
            // The name is there even where nothing was ever merged.
            merge_operator: properties.merge_operator.as_deref().filter(|_| operands),
            prefix_extractor: properties.prefix_extractor.as_deref(),
        }
    }

    fn check(&self, store: &str, family: &Family, place: &str) -> Result<()> {
        let refuse = |what: &str, name: &str| {
            let why = format!("its {what} {name:?} ({place}) is known to its own program alone");
            Err(unreadable(store, family, &why))
        };
        if let Some(name) = self.comparator
            && name.as_bytes() != family.comparator
        {
            let manifest = String::from_utf8_lossy(&family.comparator).into_owned();
            let why =
                format!("its comparator is {name:?} in {place} and {manifest:?} in the MANIFEST");
            return Err(unreadable(store, family, &why));
        }
        match (self.merge_operator, self.prefix_extractor) {
            (Some(name), _) if !settings::has_merge_operator(name) => {
                refuse("merge operator", name)
            }
            (_, Some(name)) if !settings::has_prefix_extractor(name) => {
                refuse("prefix extractor", name)
            }
            _ => Ok(()),
        }
    }
}

fn read_table(
    capture: &Capture,
    store: &str,
    family: &Family,
    number: u64,
) -> Result<(String, TableProperties)> {
    let folder = capture.scratch.folder();
    let mut name = file_name::table(number);
    if !folder.join(&name).exists() {
        name = file_name::old_table(number);
    }
    let path = folder.join(&name);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let bytes = file.metadata().map_err(Error::io("look at", &path))?.len();
    let damaged = |detail: &str| Error::damaged(format!("the table {name} of {store}"), detail);
    match TableProperties::read(&file, bytes) {
        Ok(properties) => Ok((name, properties)),
        Err(Unreadable::Io(error)) => Err(Error::io("read", path)(error)),
        Err(Unreadable::Damaged(reason)) => Err(damaged(reason)),
        Err(Unreadable::OtherVersion(version)) => {
            Err(unreadable(store, family, &format!("{name} is of another version ({version})")))
        }
        Err(Unreadable::NoTable) => Err(damaged(
            "it does not end as a table does, so it is encrypted, or was overwritten; where it is \
             encrypted, back up the files",
        )),
    }
}

fn unreadable(store: &str, family: &Family, why: &str) -> Error {
    Error::unsupported(
        format!("reading records of column family {:?} of {store}", family.shown_name()),
        format!("{why}; back up the files instead"),
    )
}
