//! Making a schema in memory, as a restore will: what that could not make again is known while the original is
//! still there.

use std::collections::HashMap;

use backup_core::progress::Context;
use backup_core::{Error, Result};

use super::blueprint::Blueprint;
use super::build::{Build, KNOWN, NoIndex, own_objects};
use super::filled::{Filled, Unsorted};
use super::schema::Object;
use super::settings::Pragmas;
use super::statement::Kind;

/// Makes a schema in memory, without rows. Notes say what a restore could not make again.
///
/// # Errors
/// [`Error::Unsupported`] for a table whose rows a restore could not bring back.
pub(super) fn rehearse(
    objects: &[Object],
    pragmas: &Pragmas,
    context: &Context,
) -> Result<Vec<String>> {
    let of = |kind| objects.iter().filter(move |object| object.kind == kind);
    let tables: Vec<_> = of(Kind::Table).collect();
    let statements = tables.iter().map(|table| (table.name.as_str(), table.sql.as_str()));
    let blueprint = Blueprint::of(pragmas.encoding, statements)?;
    let mut indexes: HashMap<String, Vec<&Object>> = HashMap::new();
    for index in of(Kind::Index) {
        indexes.entry(index.table.to_ascii_lowercase()).or_default().push(index);
    }
    let own = own_objects(objects);
    let mut notes = Vec::new();
    for some in tables.chunks(KNOWN) {
        context.check()?;
        let build = Build::memory(pragmas.encoding)?;
        let mut filled = Filled::new();
        for (number, table) in some.iter().copied().enumerate() {
            let bare = blueprint.bare(&table.name).map_err(|error| refused(table, error))?;
            let root = build.bare(number, &bare).map_err(|error| refused(table, error))?;
            let added = filled.add(&build, table, (number, root), &bare, &own);
            added.map_err(|error| refused(table, error))?;
        }
        notes.extend(filled.unsorted.iter().map(Unsorted::note));
        filled.write(&build).map_err(|error| refused(some[0], error))?;
        let theirs =
            some.iter().filter_map(|table| indexes.remove(&table.name.to_ascii_lowercase()));
        for index in theirs.flatten() {
            if let Err(NoIndex::Refused(why)) = build.index(index) {
                notes.push(left_out(index, &why));
            }
        }
    }
    notes.extend(
        indexes
            .into_values()
            .flatten()
            .map(|index| left_out(index, "it names a table that is not there")),
    );
    let of_modules: Vec<_> = of(Kind::VirtualTable).collect();
    let missing = Build::memory(pragmas.encoding)?.missing_modules(&of_modules)?;
    let note = |(table, module): (String, String)| {
        format!(
            "the virtual table {table:?} is of the module {module:?}, which is not here: its statement and the tables it keeps are read as they are"
        )
    };
    notes.extend(missing.into_iter().map(note));
    Ok(notes)
}

fn left_out(index: &Object, why: &str) -> String {
    let Object { name, table, .. } = index;
    format!(
        "the index {name:?} of table {table:?} cannot be made here ({why}): a restore of these records leaves it out"
    )
}

/// The refusal of a table that a restore could not make, which says what can be done.
fn refused(table: &Object, error: Error) -> Error {
    if matches!(error, Error::Unsupported { .. }) {
        return error;
    }
    let said = match std::error::Error::source(&error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let what = format!("making the table {:?} again", table.name);
    Error::unsupported(what, format!("SQLite says: {said}; back up the files"))
}
