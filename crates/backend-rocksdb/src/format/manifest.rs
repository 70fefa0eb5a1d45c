//! The state that a MANIFEST describes: column families, live files, logs (`db/version_set.cc`,
//! `db/version_builder.cc`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use crate::settings::BYTEWISE;

use super::cursor::Malformed;
use super::log::{End, LogReader};
use super::version_edit::{Blob, RemovedTable, Table, VersionEdit};

/// The header and the footer of a blob file, in bytes (`db/blob/blob_log_format.h`).
const BLOB_FRAME: u64 = 30 + 32;

/// What a database consists of, as its MANIFEST says.
#[derive(Debug, Default)]
pub(crate) struct LiveState {
    /// The column families that were not dropped, by their numbers; 0 is the default one.
    pub(crate) families: BTreeMap<u32, Family>,
    /// The sequence number of the last write that is in a table.
    pub(crate) last_sequence: u64,
    pub(crate) database_id: Option<String>,
    /// Logs with a smaller number are not needed any more.
    pub(crate) min_log_to_keep: u64,
    /// The first number that no file has, as far as the MANIFEST knows.
    pub(crate) next_file: u64,
    /// The logs that must be there, with the length they must have; often none is tracked.
    pub(crate) tracked_wals: BTreeMap<u64, u64>,
}

/// A column family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: Vec<u8>,
    pub(crate) comparator: Vec<u8>,
    pub(crate) timestamps_not_kept: bool,
    /// What older logs hold of it is in its tables.
    pub(crate) log_number: u64,
    pub(crate) tables: BTreeMap<u64, Table>,
    blobs: BTreeMap<u64, BlobState>,
}

#[derive(Debug, Clone, Copy)]
struct BlobState {
    blob: Blob,
    garbage: u64,
}

/// Why a MANIFEST does not give a state.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    Damaged {
        /// The number of records that could be read before.
        records: u64,
        reason: &'static str,
    },
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Family {
    /// The blob files with blobs that are still referred to, each with the length of its file.
    ///
    /// A blob file is never removed by a record of its own: it is gone once no table refers to it
    /// or to an older one, and all its blobs are garbage.
    pub(crate) fn blobs(&self) -> Vec<(u64, u64)> {
        let linked: BTreeSet<u64> =
            self.tables.values().filter_map(|table| table.oldest_blob).collect();
        let Some(oldest) = self.blobs.keys().find(|number| linked.contains(number)).copied() else {
            return Vec::new();
        };
        let live = self
            .blobs
            .range(oldest..)
            .filter(|(number, state)| linked.contains(number) || state.garbage < state.blob.count);
        live.map(|(number, state)| (*number, state.blob.bytes.saturating_add(BLOB_FRAME))).collect()
    }

    /// How many levels its tables are in.
    pub(crate) fn levels(&self) -> i32 {
        let deepest = self.tables.values().map(|table| table.level).max().unwrap_or(0);
        i32::try_from(deepest).unwrap_or(i32::MAX).saturating_add(1)
    }

    /// The name, with what is not UTF-8 replaced: for messages.
    pub(crate) fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

impl LiveState {
    /// Reads a MANIFEST. A record that its writer has not finished is not there yet.
    pub(crate) fn read(manifest: impl Read) -> Result<Self, Unreadable> {
        let mut log = LogReader::whole(manifest, 0);
        let mut state = Self::default();
        let family = Family { name: b"default".to_vec(), ..Family::default() };
        state.families.insert(0, family);
        let mut group = Group::default();
        let mut seen = Seen::default();
        let mut records = 0_u64;
        loop {
            let record = match log.next()? {
                Ok(record) => record,
                Err(End::Clean | End::Torn) => break,
                Err(End::Damaged { reason, .. }) => {
                    return Err(Unreadable::Damaged { records, reason });
                }
            };
            let applied = VersionEdit::decode(&record).and_then(|edit| {
                for edit in group.admit(edit)? {
                    seen.note(&edit);
                    state.apply(edit)?;
                }
                Ok(())
            });
            applied.map_err(|Malformed(reason)| Unreadable::Damaged { records, reason })?;
            records += 1;
        }
        if !seen.complete() {
            let reason = "it does not hold a whole state";
            return Err(Unreadable::Damaged { records, reason });
        }
        // The first MANIFEST of a database that is just being made names no comparator, and nothing
        // has been ordered by one yet.
        let unnamed =
            |family: &&mut Family| family.comparator.is_empty() && family.tables.is_empty();
        for family in state.families.values_mut().filter(unnamed) {
            family.comparator = BYTEWISE.into();
        }
        Ok(state)
    }

    fn apply(&mut self, edit: VersionEdit) -> Result<(), Malformed> {
        if let Some(id) = edit.database_id {
            self.database_id = String::from_utf8(id).ok();
        }
        self.last_sequence = self.last_sequence.max(edit.last_sequence.unwrap_or(0));
        self.next_file = self.next_file.max(edit.next_file.unwrap_or(0));
        self.min_log_to_keep = self.min_log_to_keep.max(edit.min_log_to_keep.unwrap_or(0));
        for wal in edit.added_wals {
            let synced = self.tracked_wals.entry(wal.number).or_insert(0);
            *synced = (*synced).max(wal.synced_bytes.unwrap_or(0));
        }
        if let Some(before) = edit.wals_removed_before {
            self.tracked_wals = self.tracked_wals.split_off(&before);
        }
        if let Some(name) = edit.adds_family {
            let family = Family { name, ..Family::default() };
            if self.families.insert(edit.column_family, family).is_some() {
                return Err(Malformed("it adds a column family twice"));
            }
        }
        if edit.drops_family {
            let dropped = self.families.remove(&edit.column_family);
            return match dropped {
                Some(_) if edit.column_family != 0 => Ok(()),
                _ => Err(Malformed("it drops a column family that is not there")),
            };
        }
        let family = self
            .families
            .get_mut(&edit.column_family)
            .ok_or(Malformed("it names a column family that is not there"))?;
        if let Some(comparator) = edit.comparator {
            family.comparator = comparator;
        }
        family.timestamps_not_kept |= edit.timestamps_not_kept;
        family.log_number = family.log_number.max(edit.log_number.unwrap_or(0));
        for blob in edit.added_blobs {
            family.blobs.insert(blob.number, BlobState { blob, garbage: 0 });
        }
        for garbage in edit.blob_garbage {
            let state = family
                .blobs
                .get_mut(&garbage.number)
                .ok_or(Malformed("it names a blob file that is not there"))?;
            state.garbage = state.garbage.saturating_add(garbage.count);
        }
        family.change_tables(&edit.removed_tables, edit.added_tables)
    }

    /// The column family of this name.
    pub(crate) fn family(&self, name: &str) -> Option<&Family> {
        self.families.values().find(|family| family.name == name.as_bytes())
    }

    /// The number of folders for tables that this state knows of (`db_paths`).
    pub(crate) fn folders(&self) -> usize {
        let tables = self.families.values().flat_map(|family| family.tables.values());
        tables.map(|table| table.path_id as usize + 1).max().unwrap_or(1)
    }

    /// Whether a log with this number can hold writes that no table has.
    pub(crate) fn needs_wal(&self, number: u64) -> bool {
        number >= self.min_log_to_keep
    }
}

impl Family {
    fn change_tables(
        &mut self,
        removed: &[RemovedTable],
        added: Vec<Table>,
    ) -> Result<(), Malformed> {
        for removed in removed {
            match self.tables.remove(&removed.number) {
                Some(table) if table.level == removed.level => {}
                _ => return Err(Malformed("it removes a table that is not there")),
            }
        }
        for table in added {
            if self.tables.insert(table.number, table).is_some() {
                return Err(Malformed("it adds a table twice"));
            }
        }
        Ok(())
    }
}

/// The fields without which a MANIFEST is no state.
#[derive(Default)]
struct Seen {
    log_number: bool,
    next_file: bool,
    last_sequence: bool,
}

impl Seen {
    fn note(&mut self, edit: &VersionEdit) {
        self.log_number |= edit.log_number.is_some();
        self.next_file |= edit.next_file.is_some();
        self.last_sequence |= edit.last_sequence.is_some();
    }

    fn complete(&self) -> bool {
        self.log_number && self.next_file && self.last_sequence
    }
}

/// Records that count only together. What is left of a group whose end was never written is
/// dropped.
#[derive(Default)]
struct Group {
    waiting: Vec<VersionEdit>,
}

impl Group {
    /// The records that can be applied now that `edit` came.
    fn admit(&mut self, edit: VersionEdit) -> Result<Vec<VersionEdit>, Malformed> {
        let broken = Malformed("an atomic group is not in order");
        let Some(remaining) = edit.group_remaining else {
            return if self.waiting.is_empty() { Ok(vec![edit]) } else { Err(broken) };
        };
        if let Some(before) = self.waiting.last()
            && before.group_remaining != remaining.checked_add(1)
        {
            return Err(broken);
        }
        self.waiting.push(edit);
        if remaining == 0 { Ok(std::mem::take(&mut self.waiting)) } else { Ok(Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::log::tests::fragment;

    /// The fields without which there is no state: log number, next file, last sequence.
    const STATE: &[u8] = &[2, 3, 3, 9, 4, 100];

    fn manifest(edits: &[&[u8]]) -> Vec<u8> {
        edits.iter().flat_map(|edit| fragment(1, edit)).collect()
    }

    fn read(edits: &[&[u8]]) -> Result<LiveState, &'static str> {
        LiveState::read(manifest(edits).as_slice()).map_err(|error| match error {
            Unreadable::Damaged { reason, .. } => reason,
            Unreadable::Io(error) => panic!("{error}"),
        })
    }

    /// Adds table 5 with 1000 bytes at level 0; its keys are "a" and "z".
    const ADDED: &[u8] = &[
        103, 0, 5, 0xe8, 0x07, 9, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 9, b'z', 0, 0, 0, 0, 0, 0, 0, 0, 1,
        2, 12, 16, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 1,
    ];

    #[test]
    fn a_state_is_read() {
        let state = read(&[STATE, ADDED]).unwrap();
        assert_eq!(state.last_sequence, 100);
        let table = &state.families[&0].tables[&5];
        assert_eq!((table.bytes, table.level, table.path_id), (1000, 0, 0));
        assert_eq!((&table.smallest_key[..], &table.largest_key[..]), (&b"a"[..], &b"z"[..]));
        assert!(table.unique_id.unwrap().starts_with(&[7; 8]));
        let removed = read(&[STATE, ADDED, &[6, 0, 5]]).unwrap();
        assert!(removed.families[&0].tables.is_empty());
    }

    #[test]
    fn what_contradicts_itself_is_damaged() {
        let cases: [(&[&[u8]], &str); 9] = [
            (&[], "whole state"),
            (&[ADDED], "whole state"),
            (&[STATE, ADDED, ADDED], "adds a table twice"),
            (&[STATE, &[6, 0, 5]], "removes a table"),
            (&[STATE, ADDED, &[6, 1, 5]], "removes a table"),
            (&[STATE, &[200, 1, 7, 6, 0, 5]], "column family that is not there"),
            (&[STATE, &[202, 1]], "drops a column family"),
            (&[STATE, &[60, 1]], "does not know"),
            (&[STATE, &[100, 0x80, 0x20, 5]], "level above"),
        ];
        for (edits, reason) in cases {
            let found = read(edits).unwrap_err();
            assert!(found.contains(reason), "{reason}: {found}");
        }
    }

    /// What a live capture met in the moment in which a database was made: the first MANIFEST.
    #[test]
    fn a_database_that_is_just_being_made_has_the_default_comparator() {
        let state = read(&[STATE]).unwrap();
        assert_eq!(state.families[&0].comparator, BYTEWISE.as_bytes());
    }

    /// Two records of a group count together; a group without its end does not count.
    #[test]
    fn a_group_counts_as_a_whole() {
        let first = [ADDED, &[172, 2, 1]].concat();
        let second: &[u8] = &[4, 120, 172, 2, 0];
        let cut = read(&[STATE, &first]).unwrap();
        assert!(cut.families[&0].tables.is_empty());
        let whole = read(&[STATE, &first, second]).unwrap();
        assert_eq!((whole.families[&0].tables.len(), whole.last_sequence), (1, 120));
        assert!(read(&[STATE, &first, STATE]).unwrap_err().contains("atomic group"));
        assert!(read(&[STATE, &first, &first]).unwrap_err().contains("atomic group"));
    }

    #[test]
    fn column_families_come_and_go() {
        let add: &[u8] = &[200, 1, 3, 201, 1, 2, 0xff, 0xfe];
        let state = read(&[STATE, add]).unwrap();
        assert_eq!(state.families[&3].name, [0xff, 0xfe]);
        assert_eq!(state.families[&3].shown_name(), "\u{fffd}\u{fffd}");
        let dropped = read(&[STATE, add, &[200, 1, 3, 202, 1]]).unwrap();
        assert_eq!(dropped.families.len(), 1);
    }

    #[test]
    fn a_length_beyond_all_bounds_allocates_nothing() {
        let long: &[u8] = &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x'];
        assert!(read(&[STATE, long]).unwrap_err().contains("ends inside a field"));
    }

    proptest! {
        #[test]
        fn any_edit_is_read_or_refused(edit in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(state) = read(&[STATE, ADDED, &edit]) {
                prop_assert!(!state.families.is_empty());
            }
        }

        #[test]
        fn any_change_of_an_edit_is_read_or_refused(at in 0..ADDED.len(), byte in any::<u8>()) {
            let mut edit = ADDED.to_vec();
            edit[at] = byte;
            if let Ok(state) = read(&[STATE, &edit]) {
                prop_assert!(!state.families.is_empty());
            }
        }
    }
}
