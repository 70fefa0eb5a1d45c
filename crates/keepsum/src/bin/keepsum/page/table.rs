//! Aligned columns.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::text::printable;

/// On which side a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table with a heading. Columns are as wide as their widest cell, two spaces apart.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; what would steer a terminal is written out.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| match printable(&cell) {
            Cow::Borrowed(_) => cell,
            Cow::Owned(safe) => safe,
        }));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.columns.map(|(name, _)| name.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let heading = self.columns.map(|(name, _)| name.to_owned());
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(widths).zip(self.columns) {
                match align {
                    Align::Left => write!(line, "{cell:<width$}  ")?,
                    Align::Right => write!(line, "{cell:>width$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Lines of a name and what stands for it, aligned.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(crate) fn add(&mut self, name: &'static str, value: impl fmt::Display) {
        self.0.push((name, printable(&value.to_string()).into_owned()));
    }

    /// Adds a line where there is something to say.
    pub(crate) fn add_some(&mut self, name: &'static str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:<width$}  {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_do_not_trail() {
        let mut table = Table::new([("name", Align::Left), ("size", Align::Right)]);
        table.row(["ä".into(), "1".into()]);
        table.row(["longer\n".into(), "1,000".into()]);
        assert_eq!(table.to_string(), "name       size\nä             1\nlonger\\n  1,000\n");
        let only_left: Table<1> = Table::new([("name", Align::Left)]);
        assert_eq!(only_left.to_string(), "name\n");
    }

    #[test]
    fn facts_are_aligned() {
        let mut facts = Facts::default();
        facts.add("id", "x");
        facts.add_some("label", None::<String>);
        facts.add("source", "y");
        assert_eq!(facts.to_string(), "id      x\nsource  y\n");
    }
}
