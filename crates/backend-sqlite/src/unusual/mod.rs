//! What is unusual in a database: what its program has and others have not, and what SQLite would not make so.
//!
//! It is said when the database is backed up, while the original is there to be looked at, kept in the
//! snapshot, and said again when it is restored. Nothing here refuses anything, and SQLite never has the
//! database open for it: the schema is read from its pages.

mod needs;
mod stored;

use backup_core::Result;
use backup_core::progress::Context;

use self::needs::Needs;
use self::stored::{Layout, TextEncoding};
use crate::file::header::{self, HEADER_BYTES, Header};
use crate::words::Lacking;

/// What is said of a database of which only the header, or a part of it, is SQLite's.
pub(crate) const HIDDEN: &str = "the database's header is in the clear and what follows is not SQLite's: its program encrypts it, or it is \
     damaged; its pages are kept as they are, and cannot be looked into";

/// The newest format of a schema that SQLite knows.
const NEWEST_FORMAT: u32 = 4;

/// How many names a sentence has.
const NAMED: usize = 3;

/// Sentences on what is unusual in a database of so many pages. `page` reads one, counted from 1.
///
/// # Errors
/// Those of `page`, and that the caller cancelled.
pub(crate) fn look(
    header: &Header,
    pages: u32,
    page: &dyn Fn(u32) -> Result<Vec<u8>>,
    context: &Context,
) -> Result<Vec<String>> {
    if pages == 0 {
        return Ok(Vec::new());
    }
    let mut said = of_header(header);
    if is_hidden(header, &page(1)?) {
        said.push(HIDDEN.into());
        return Ok(said);
    }
    let layout = Layout {
        usable: (header.page_size - u32::from(header.reserved)) as usize,
        pages,
        encoding: match header.encoding {
            2 => TextEncoding::Utf16Le,
            3 => TextEncoding::Utf16Be,
            _ => TextEncoding::Utf8,
        },
    };
    let schema = stored::read(layout, page)?;
    if schema.is_partial {
        said.push("a part of the database's schema cannot be read".into());
    }
    said.extend(of_needs(&needs::look(&schema.rows, context)?));
    Ok(said)
}

fn of_header(header: &Header) -> Vec<String> {
    let mut said = Vec::new();
    if header.reserved > 0 {
        said.push(format!(
            "each page of the database keeps {} bytes for its program, as for a checksum or a cipher",
            header.reserved
        ));
    }
    match header.encoding {
        0 | 1 => {}
        2 => said.push("the database's text is in UTF-16le".into()),
        3 => said.push("the database's text is in UTF-16be".into()),
        other => said.push(format!(
            "the database's header names a text encoding that SQLite has not, {other}"
        )),
    }
    if header.schema_format > NEWEST_FORMAT {
        said.push(format!(
            "the database's schema is of format {}, and SQLite {} knows up to {NEWEST_FORMAT}",
            header.schema_format,
            rusqlite::version()
        ));
    }
    said
}

/// Whether only the header is SQLite's. Of a database that its program encrypts some systems want the header in
/// the clear, 16 or 32 bytes of it; what follows looks like noise.
fn is_hidden(header: &Header, first: &[u8]) -> bool {
    // A table's page, as the schema's first page must be; one without a page in it is empty.
    let is_page = first.get(HEADER_BYTES).is_some_and(|kind| [5, 13].contains(kind));
    let is_known = header.schema_format <= NEWEST_FORMAT && header.encoding <= 3;
    first.first_chunk().is_some_and(header::has_noise) && !(is_page && is_known)
}

fn of_needs(needs: &Needs) -> Vec<String> {
    type Pick = fn(&Lacking) -> Option<&String>;
    let kinds: [(&str, Pick); 4] = [
        ("the database sorts by collations that are not here", |lacking| match lacking {
            Lacking::Collation(name) => Some(name),
            _ => None,
        }),
        ("the database computes with functions that are not here", |lacking| match lacking {
            Lacking::Function(name) => Some(name),
            _ => None,
        }),
        (
            "virtual tables of the database need modules that are not here",
            |lacking| match lacking {
                Lacking::Module(name) => Some(name),
                _ => None,
            },
        ),
        ("full-text indexes of the database need tokenizers that are not here", |lacking| {
            match lacking {
                Lacking::Tokenizer(name) => Some(name),
                _ => None,
            }
        }),
    ];
    let mut said = Vec::new();
    for (sentence, pick) in kinds {
        let found = needs.lacking.iter().filter_map(|(lacking, by)| Some((pick(lacking)?, by)));
        said.extend(list(sentence, found.map(|(name, by)| format!("{name:?} ({by})")).collect()));
    }
    said.extend(list(
        "tables of the database have more columns than SQLite is built for here",
        needs.wide.clone(),
    ));
    let sentence =
        format!("SQLite {} does not take statements of the database's schema", rusqlite::version());
    said.extend(list(&sentence, needs.unparsed.clone()));
    said
}

/// A sentence with the first names of a list; none where there are none.
fn list(sentence: &str, names: Vec<String>) -> Option<String> {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = names.into_iter().take(NAMED).collect();
    if shown.is_empty() {
        return None;
    }
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Some(format!("{sentence}: {}", shown.join(", ")))
}
