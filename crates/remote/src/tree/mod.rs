//! Trees of records and of files: written beside their parent, read by range, compared.
//!
//! A tree's leaves are cut by content ([`archive::boundary`]), so a writer finds what its parent
//! already stores by walking the parent's tree in key order: no index of hashes is kept, and memory
//! does not grow with the store.

mod checkpoint;
mod databases;
mod diff;
mod directory;
mod files;
mod read;
mod records;
mod salvage;
mod salvage_files;
mod surveying;
mod write;
mod write_files;

pub(crate) use databases::read_leaf;
pub(crate) use files::{LastFile, check_files};
pub(crate) use read::{Budget, checked_leaf, examine_leaf, read_node};

pub use checkpoint::{Checkpoints, SoFar, Unsaved, keep};
pub use databases::{
    DirectoryReader, OpenDatabase, OpenRecords, StoredDatabase, databases, describe_databases,
    open_database, open_databases,
};
pub use diff::{DiffTotals, Difference, EachDifference, compare};
pub use directory::{DirectoryWriter, DirectoryWritten, ReadingAll, described, write_databases};
pub use files::{FileContent, file_contents, files_of, list_files};
pub use read::{Found, SummedBatches, TreeReader, scan};
pub use records::{Reading, RecordsWritten, write_records};
pub use salvage::{Loss, Salvaged, SalvagedDatabase, salvage_databases, salvage_records};
pub use salvage_files::{left_contents, survey_files};
pub use surveying::{FileLoss, FileSurvey, SurveyedFile};
pub use write::TreeWriter;
pub use write_files::{FilesWritten, write_files};
