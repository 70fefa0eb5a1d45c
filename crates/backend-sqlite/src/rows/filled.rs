//! Tables that have their rows, and what SQLite cannot bring into its order in them.

use std::collections::HashMap;

use backup_core::Result;

use super::blueprint::{Bare, OwnIndex};
use super::build::{Build, Placed};
use super::schema::Object;
use super::statement::Kind;

/// Tables with their rows, before any of the schema is written.
pub(super) struct Filled<'a> {
    placed: Vec<Placed<'a>>,
    /// Indexes of columns that are computed at each reading.
    late: Vec<OwnIndex>,
    /// What SQLite cannot bring into its order here.
    pub(super) unsorted: Vec<Unsorted<'a>>,
}

/// An object that is sorted by a collation that is not here.
pub(super) struct Unsorted<'a> {
    /// An index that a table makes by itself, or a table that is sorted by its primary key.
    pub(super) object: &'a Object,
    collation: String,
}

impl<'a> Unsorted<'a> {
    fn of((object, collation): (&'a Object, &str)) -> Self {
        Self { object, collation: collation.to_owned() }
    }

    /// What it is.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_tree() { "primary key" } else { self.object.kind.word() }
    }

    fn is_tree(&self) -> bool {
        self.object.kind == Kind::Table
    }

    /// How it is not what it was, and what its program has to do.
    pub(super) fn why(&self) -> String {
        let collation = &self.collation;
        if self.is_tree() {
            return format!(
                "its collation {collation:?} is not here; all rows are there, sorted byte by byte, and are not found by their keys until a program that has the collation runs REINDEX"
            );
        }
        format!(
            "its collation {collation:?} is not here; it is empty until a program that has the collation runs REINDEX"
        )
    }

    /// What is said of it where a restore does not list it.
    pub(super) fn note(&self) -> String {
        let (Object { name, table, .. }, why) = (self.object, self.why());
        if self.is_tree() {
            return format!(
                "the rows of table {name:?} cannot be sorted by its primary key by a restore of these records: {why}"
            );
        }
        format!(
            "the index {name:?} of table {table:?} cannot be filled by a restore of these records: {why}"
        )
    }
}

impl<'a> Filled<'a> {
    pub(super) fn new() -> Self {
        Self { placed: Vec::new(), late: Vec::new(), unsorted: Vec::new() }
    }

    /// Adds the table of this number, with the indexes that it makes by itself.
    pub(super) fn add(
        &mut self,
        build: &Build,
        table: &'a Object,
        (number, root): (usize, i64),
        bare: &Bare,
        own_objects: &HashMap<&str, &'a Object>,
    ) -> Result<()> {
        self.placed.push(Placed { object: table, root });
        let own_tree = bare.foreign().map(|collation| (table, collation));
        self.unsorted.extend(own_tree.map(Unsorted::of));
        for (place, own) in bare.own.iter().enumerate() {
            let Some(object) = own_objects.get(own.name.as_str()) else { continue };
            let root = build.own_index(number, place, bare, own)?;
            self.placed.push(Placed { object, root });
            match &own.foreign {
                Some(collation) => self.unsorted.push(Unsorted::of((object, collation))),
                None if own.columns.is_none() => self.late.push(own.clone()),
                None => {}
            }
        }
        Ok(())
    }

    /// What SQLite cannot bring into its order here. It is asked once.
    pub(super) fn take_unsorted(&mut self) -> Vec<Unsorted<'a>> {
        std::mem::take(&mut self.unsorted)
    }

    /// Gives the tables the statements that they are to have. What is placed is given back, to be written again
    /// with all else.
    pub(super) fn write(self, build: &Build) -> Result<Vec<Placed<'a>>> {
        build.write(&self.placed)?;
        build.empty()?;
        self.late.iter().try_for_each(|own| build.fill(own))?;
        Ok(self.placed)
    }
}
