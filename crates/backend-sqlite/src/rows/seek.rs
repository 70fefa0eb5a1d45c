//! Where a scan goes on: from a key to the SQL that gives the rows from there, in the order of keys.
//!
//! What follows (a, b, c) lies in three ranges, each of which the table's tree gives in order: the rows with this
//! (a, b) and a larger c, those with this a and a larger b, those with a larger a. A comparison of row
//! values would be one, but it is no use to an index of mixed directions.

use super::cell::{Parameter, parameter};
use super::encoding::Encoding;
use super::key::{self, Collation, Part, Taken};
use super::table::{Key, KeyColumn, Table, quoted};

/// A place in the order of a table's keys: at the first row whose key begins with `parts`, or behind the
/// last one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Place {
    parts: Vec<Part<'static>>,
    is_behind: bool,
}

impl Place {
    /// The place of any bytes. Where they are the beginning of a key or none at all, it may be before it.
    pub(super) fn of(table: &Table, key: &[u8]) -> Self {
        let mut place = Self::default();
        match &table.key {
            Key::Rowid => place.of_rowid(key),
            Key::Primary { parts, .. } => place.of_columns(table, parts, key),
            Key::Copied if key.is_empty() => {}
            Key::Copied => place.parts.push(Part::Blob(key.to_vec().into())),
        }
        place
    }

    /// Moves the place behind the rows whose keys begin so.
    pub(super) fn behind(self) -> Self {
        Self { is_behind: true, ..self }
    }

    fn of_rowid(&mut self, mut key: &[u8]) {
        if !key.is_empty() {
            self.parts.push(Part::Integer(key::take_rowid(&mut key)));
            self.is_behind = !key.is_empty();
        }
    }

    fn of_columns(&mut self, table: &Table, columns: &[KeyColumn], mut key: &[u8]) {
        for column in columns {
            let (part, is_whole) = match key::take(&mut key, column.collation) {
                Taken::Whole(part) => (part, true),
                Taken::AtLeast(part) => (part, false),
                Taken::Nothing => return,
                Taken::Beyond => {
                    self.is_behind = true;
                    return;
                }
            };
            if !table.key_keeps(*column, &part) {
                return;
            }
            self.parts.push(part);
            if !is_whole {
                return;
            }
        }
        self.is_behind = !key.is_empty();
    }
}

/// What a table's rows are sorted by.
#[derive(Debug)]
struct Term {
    sql: String,
    collation: Collation,
}

/// Rows of a table that follow each other.
pub(super) struct Range<'a> {
    /// What comes behind SELECT and what is selected.
    pub(super) sql: String,
    /// Its parameters.
    pub(super) parameters: Vec<Parameter<'a>>,
}

/// The ranges, in order, of the rows from a place on.
pub(super) fn ranges<'a>(table: &Table, place: &'a Place) -> Vec<Range<'a>> {
    let terms = terms(table);
    let Some(last) = place.parts.len().checked_sub(1) else {
        let all = Builder::new(table).finish(&terms);
        return if place.is_behind { Vec::new() } else { vec![all] };
    };
    let range = |at: usize| {
        let mut builder = Builder::new(table);
        for (term, part) in terms.iter().zip(&place.parts).take(at) {
            builder.compare(term, "=", part);
        }
        if let (Some(term), Some(part)) = (terms.get(at), place.parts.get(at)) {
            let or_equal = at == last && !place.is_behind;
            builder.compare(term, if or_equal { ">=" } else { ">" }, part);
        }
        builder.finish(terms.get(at..).unwrap_or_default())
    };
    (0..=last).rev().map(range).collect()
}

/// The ranges of the rows below a place, or of all rows where it is none, from the last row down. Of a table
/// WITHOUT ROWID, whose keys have no NULLs.
pub(super) fn ranges_below<'a>(table: &Table, place: &'a Place) -> Vec<Range<'a>> {
    let terms = terms(table);
    let Some(last) = place.parts.len().checked_sub(1) else {
        return vec![Builder::new(table).finish_down(&terms)];
    };
    let range = |at: usize| {
        let mut builder = Builder::new(table);
        for (term, part) in terms.iter().zip(&place.parts).take(at) {
            builder.compare(term, "=", part);
        }
        if let (Some(term), Some(part)) = (terms.get(at), place.parts.get(at)) {
            builder.compare(term, "<", part);
        }
        builder.finish_down(terms.get(at..).unwrap_or_default())
    };
    (0..=last).rev().map(range).collect()
}

/// What comes behind what is selected of all rows, in the order of the table's own tree.
pub(super) fn everything(table: &Table) -> String {
    Builder::new(table).sql
}

/// The one row, or none, at a whole key of a table WITHOUT ROWID.
pub(super) fn exactly<'a>(table: &Table, place: &'a Place) -> Range<'a> {
    let mut builder = Builder::new(table);
    for (term, part) in terms(table).iter().zip(&place.parts) {
        builder.compare(term, "=", part);
    }
    builder.finish(&[])
}

fn terms(table: &Table) -> Vec<Term> {
    let Key::Primary { parts, .. } = &table.key else {
        let finder = table.finder().map(str::to_owned);
        return finder.map(|sql| Term { sql, collation: Collation::Binary }).into_iter().collect();
    };
    let column = |part: &KeyColumn| {
        let name = quoted(&table.columns.get(part.column)?.name);
        let sql = format!("{name} COLLATE {}", part.collation.name());
        Some(Term { sql, collation: part.collation })
    };
    parts.iter().filter_map(column).collect()
}

/// Makes the SQL of a range.
struct Builder<'a> {
    encoding: Encoding,
    sql: String,
    parameters: Vec<Parameter<'a>>,
}

impl<'a> Builder<'a> {
    fn new(table: &Table) -> Self {
        // Whatever the planner thinks of it: rows are read from the table's own tree. An index may have lost
        // some, and another way than along the key sorts the whole table.
        let way = match &table.key {
            Key::Rowid => "NOT INDEXED".to_owned(),
            Key::Primary { index, .. } => format!("INDEXED BY {}", quoted(index)),
            // It has no other index.
            Key::Copied => String::new(),
        };
        let sql = format!(" FROM {} {way}", table.sql_name());
        Self { encoding: table.encoding, sql, parameters: Vec::new() }
    }

    fn compare(&mut self, term: &Term, operator: &str, part: &'a Part<'a>) {
        let parameter = parameter(part, self.encoding, term.collation);
        let word = if self.parameters.is_empty() { "WHERE" } else { "AND" };
        for piece in [word, &term.sql, operator, parameter] {
            self.sql.push(' ');
            self.sql.push_str(piece);
        }
        self.parameters.push(Parameter { part, is_raw: parameter != "?" });
    }

    fn finish(self, order: &[Term]) -> Range<'a> {
        self.sorted(order, "")
    }

    fn finish_down(self, order: &[Term]) -> Range<'a> {
        self.sorted(order, " DESC")
    }

    fn sorted(mut self, order: &[Term], direction: &str) -> Range<'a> {
        for (number, term) in order.iter().enumerate() {
            self.sql.push_str(if number == 0 { " ORDER BY " } else { ", " });
            self.sql.push_str(&term.sql);
            self.sql.push_str(direction);
        }
        Range { sql: self.sql, parameters: self.parameters }
    }
}
