//! Rows of tables WITHOUT ROWID whose keys have NULL. SQLite lets none into such a tree, and reads those that are
//! there: an index of another table may have become one.
//!
//! They are set aside as they come, and go into the tree at the end: as entries of an index of a table of their
//! own, which SQLite is told lies in that tree. An entry has one column more than a row, the rowid of its table.
//! SQLite is told next that the tree is a table with one column more, and drops that.

use rusqlite::Connection;

use super::blueprint::{Bare, value_column};
use super::build::Build;
use super::load::Cells;
use super::table::Key;
use backup_core::{Error, Result};

use crate::ENGINE;

/// What the table is called whose index takes the rows, the index, and the tree with one column more.
const TABLE: &str = "keepsum_nulls";
const INDEX: &str = "keepsum_nulls_index";
const TREE: &str = "keepsum_nulls_tree";

/// Where rows are set aside.
pub(super) fn set_aside(number: usize) -> String {
    format!("temp.keepsum_nulls_{number}")
}
