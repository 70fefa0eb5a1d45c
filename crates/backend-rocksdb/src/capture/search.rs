//! Whether a column family's files are where the store is, in another folder, or lost.

use std::path::Path;

use backup_core::Error;

use crate::format::options::OptionsFile;

/// What was found of a column family's files.
#[derive(Debug)]
pub(super) struct Search {
    /// Whether it may have `db_paths`: a database that has them writes down a `wal_dir`, and one without OPTIONS
    /// tells nothing.
    paths: bool,
    /// Whether a file of the first of its folders was found.
    any: bool,
    /// How many were not.
    missing: usize,
    /// The first that was not, with the number of its folder.
    first: Option<(String, u32)>,
}

impl Search {
    pub(super) fn new(options: &OptionsFile) -> Self {
        let unknown = options.families.is_empty();
        let paths = unknown || options.database_value("wal_dir").is_some_and(|dir| !dir.is_empty());
        Self { paths, any: false, missing: 0, first: None }
    }

    /// Takes note of a file, which lies in the folder of this number.
    pub(super) fn note(&mut self, found: bool, name: &str, path_id: u32) {
        if !found {
            self.missing += 1;
            self.first.get_or_insert_with(|| (name.to_owned(), path_id));
        }
        self.any |= found && path_id == 0;
    }

    /// No file of RocksDB's says where `db_paths` and `cf_paths` are. Where none of a family's tables is there,
    /// they are in another folder; where one of them is missing among others, it is lost.
    pub(super) fn problem(self, store: &Path, family: &str) -> Option<Error> {
        let (name, path_id) = self.first?;
        let store = store.display();
        Some(match path_id {
            0 if !self.any && (self.paths || self.missing > 1) => Error::unsupported(
                format!("copying {store}"),
                format!(
                    "its MANIFEST lists {name}, and no table of column family {family:?} is there; if they \
                     lie elsewhere (db_paths, cf_paths), name the folder of the tables"
                ),
            ),
            0 => Error::damaged(
                format!("the database {store}"),
                format!(
                    "its MANIFEST lists {name}, which is not there; if it lies elsewhere \
                     (cf_paths), name the folder of the tables"
                ),
            ),
            id => Error::unsupported(
                format!("copying {store}"),
                format!(
                    "its file {name} lies in folder {id} of its db_paths or cf_paths, which OPTIONS \
                     does not name; name the folder of the tables"
                ),
            ),
        })
    }
}
