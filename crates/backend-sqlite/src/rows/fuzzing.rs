//! The parsers of rows for the fuzz targets in `fuzz/`, which cannot reach them otherwise: compiled with the
//! feature `fuzzing` alone, and no part of what this crate offers.
//!
//! Each function reads bytes or text that anybody may have made, and writes what it read again.

use backup_core::Result;
use backup_core::source::DatabaseInfo;

use super::blueprint::Blueprint;
use super::build::{Build, Placed};
use super::key::{self, Collation, Part, Taken};
use super::schema::{self, Object};
use super::settings::Settings;
use super::statement::{self, Kind};
use super::value::{Cell, Cells, LastBlob, Maker};
use crate::ENGINE;

/// The collations that keys know, by name.
pub const COLLATIONS: [&str; 3] = ["BINARY", "NOCASE", "RTRIM"];

/// Where a scan from any bytes begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Bound {
    /// At the first row.
    Start,
    /// At the rows whose first column is this, as it is written in a key.
    Column(Vec<u8>),
    /// Behind the last row.
    End,
}

/// Takes the first column off a key and writes it again. None where no whole column is there, or no such
/// collation.
pub fn key_column(rest: &mut &[u8], collation: &str) -> Option<Vec<u8>> {
    let collation = Collation::named(collation)?;
    match key::take(rest, collation) {
        Taken::Whole(part) => Some(written(&part, collation)),
        _ => None,
    }
}

/// Where a scan from a key begins, by its first column alone. None where there is no such collation.
pub fn key_bound(mut from: &[u8], collation: &str) -> Option<Bound> {
    let collation = Collation::named(collation)?;
    Some(match key::take(&mut from, collation) {
        Taken::Whole(part) | Taken::AtLeast(part) => Bound::Column(written(&part, collation)),
        Taken::Nothing => Bound::Start,
        Taken::Beyond => Bound::End,
    })
}

fn written(part: &Part<'_>, collation: Collation) -> Vec<u8> {
    let mut key = Vec::new();
    key::push(&mut key, part, collation);
    key
}

/// Reads the value of a row with so many columns and writes it again: whole, and by what is before the blob
/// that it ends with, if any.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn row(value: &[u8], columns: usize) -> std::result::Result<[Vec<u8>; 2], String> {
    let last = LastBlob::find(value);
    let in_two = last.and_then(|last| {
        let (before, blob) = value.split_at_checked(usize::try_from(last.start).ok()?)?;
        Some((Cells::before(before, columns, last), last.column, blob))
    });
    let cells = Cells::read(value, columns)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let Some((before, column, blob)) = in_two else {
        return Ok([&cells, &cells].map(|all| made(all)));
    };
    let mut others = before?;
    if let Some(cell) = others.get_mut(column) {
        *cell = Cell::Blob(blob);
    }
    Ok([&cells, &others].map(|all| made(all)))
}

fn made(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut maker = Maker::default();
    maker.begin(cells.len());
    for cell in cells {
        maker.push(cell);
    }
    maker.finish().to_vec()
}

/// Reads the settings of a database and writes them again.
///
/// # Errors
/// As a restore has them.
pub fn settings(name: &str, text: &str) -> Result<String> {
    Settings::read(&info(name, text)).map(|settings| settings.text())
}

/// Makes the table of such settings in memory, and lists the schema then: type, name, table and statement.
/// None for settings of another kind.
///
/// # Errors
/// As a restore has them.
pub fn table(name: &str, text: &str) -> Result<Option<Vec<[String; 4]>>> {
    let Settings::Table { encoding, sql, .. } = Settings::read(&info(name, text))? else {
        return Ok(None);
    };
    let (own, kind) = (statement::table_name(&sql).unwrap_or_else(|| name.into()), Kind::Table);
    let bare = Blueprint::of(encoding, [(own.as_str(), sql.as_str())].into_iter())?.bare(&own)?;
    let build = Build::memory(encoding)?;
    let root = build.bare(0, &bare)?;
    let object = Object { rowid: 1, kind, name: own.clone(), table: own, sql };
    build.write(&[Placed { object: &object, root }])?;
    listed(&build).map(Some)
}

/// Reads a record of a schema and writes it again. None for one of a setting.
///
/// # Errors
/// As a restore has them.
pub fn schema_record(key: &[u8], value: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(object) = schema::object(key, value)? else { return Ok(None) };
    let (place, value) = schema::object_record(&object, &mut Maker::default());
    Ok(Some((place.key, value)))
}

/// Makes the object of a record of a schema beside a table `t` of columns `a`, `b` and `c`, and lists the
/// schema then. None for one that is not made by its own statement.
///
/// # Errors
/// As a restore has them.
pub fn object(key: &[u8], value: &[u8]) -> Result<Option<Vec<[String; 4]>>> {
    let Some(object) = schema::object(key, value)? else { return Ok(None) };
    let build = Build::memory(super::encoding::Encoding::Utf8)?;
    let failed = |error| backup_core::Error::engine(ENGINE, "make a table")(error);
    build.connection.execute_batch("CREATE TABLE t(a, b, c)").map_err(failed)?;
    match object.kind {
        Kind::OwnIndex | Kind::Table => return Ok(None),
        Kind::Index => {
            if build.index(&object).is_err() {
                let what = format!("the index {:?}", object.name);
                return Err(backup_core::Error::invalid(what, "cannot be made"));
            }
        }
        Kind::VirtualTable | Kind::View | Kind::Trigger => {
            build.write(&[Placed { object: &object, root: 0 }])?;
        }
    }
    listed(&build).map(Some)
}

fn info(name: &str, text: &str) -> DatabaseInfo {
    DatabaseInfo { settings: Some(text.to_owned()), ..DatabaseInfo::new(name) }
}

fn listed(build: &Build) -> Result<Vec<[String; 4]>> {
    let sql = "SELECT type, name, tbl_name, ifnull(sql, '') FROM main.sqlite_schema
               UNION ALL SELECT 'database', name, '', '' FROM pragma_database_list
                 WHERE name NOT IN ('main', 'temp')
               UNION ALL SELECT 'temp', name, '', '' FROM temp.sqlite_schema";
    let failed = |error| backup_core::Error::engine(ENGINE, "list what was made")(error);
    let mut statement = build.connection.prepare(sql).map_err(failed)?;
    let found = statement
        .query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        .map_err(failed)?;
    found.collect::<rusqlite::Result<_>>().map_err(failed)
}
