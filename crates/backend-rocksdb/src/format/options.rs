//! OPTIONS files: the options that the last process with the database open gave it
//! (`options/options_parser.cc`).

use std::collections::BTreeMap;

/// The longest OPTIONS file that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Options in the order they stand.
pub(crate) type Pairs = Vec<(String, String)>;

/// What an OPTIONS file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OptionsFile {
    /// The options of the database as a whole.
    pub(crate) database: Pairs,
    /// The options of each column family, by its name.
    pub(crate) families: BTreeMap<String, FamilyOptions>,
}

/// The options of a column family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FamilyOptions {
    pub(crate) options: Pairs,
    /// The kind of its tables, as in `BlockBasedTable`, and their options.
    pub(crate) table: Option<(String, Pairs)>,
    /// Its sections as they stand in the file.
    pub(crate) text: String,
}

/// Which part of the file a line belongs to.
enum Section {
    Database,
    Family(String),
    Table { family: String, kind: String },
    Other,
}

impl OptionsFile {
    /// Reads an OPTIONS file. Lines that are no options are passed over, as the engine does with
    /// comments and with sections of later versions.
    pub(crate) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut section = Section::Other;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            if let Some(title) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Section::of(title);
            }
            file.take(&section, trimmed);
        }
        file
    }

    fn take(&mut self, section: &Section, line: &str) {
        let pair = line
            .split_once('=')
            .filter(|_| !line.starts_with('['))
            .map(|(name, value)| (name.trim().to_owned(), unescape(value.trim())));
        match section {
            Section::Database => self.database.extend(pair),
            Section::Family(name) => {
                let family = self.families.entry(name.clone()).or_default();
                family.keep(line);
                family.options.extend(pair);
            }
            Section::Table { family, kind } => {
                let family = self.families.entry(family.clone()).or_default();
                family.keep(line);
                let table = family.table.get_or_insert_with(|| (kind.clone(), Pairs::new()));
                table.1.extend(pair);
            }
            Section::Other => {}
        }
    }

    /// The value of an option of the database as a whole.
    pub(crate) fn database_value(&self, name: &str) -> Option<&str> {
        value_of(&self.database, name)
    }
}

impl FamilyOptions {
    /// Reads what [`text`](Self::text) gave: the options of one column family, whatever its name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        OptionsFile::parse(text).families.into_values().next()
    }

    /// The value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        value_of(&self.options, name)
    }

    /// The name of the object (a comparator, a merge operator) that an option names, if any.
    pub(crate) fn object(&self, name: &str) -> Option<&str> {
        object_name(self.value(name)?)
    }

    /// The options that another set has not, or has otherwise, as `name=value`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut lost = missing(&self.options, &other.options, "");
        if let Some((kind, options)) = &self.table {
            match &other.table {
                Some((found, others)) if found == kind => {
                    lost.extend(missing(options, others, &format!("{kind}.")));
                }
                _ => lost.push(format!("table_factory={kind}")),
            }
        }
        lost
    }

    fn keep(&mut self, line: &str) {
        if !line.starts_with('[') {
            self.text.push_str("  ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

impl Section {
    fn of(title: &str) -> Self {
        if title == "DBOptions" {
            return Self::Database;
        }
        let Some((kind, name)) = title.split_once(' ') else { return Self::Other };
        let quoted = name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        match (kind.split_once('/'), quoted.map(unescape)) {
            (None, Some(name)) if kind == "CFOptions" => Self::Family(name),
            (Some(("TableOptions", kind)), Some(family)) => {
                Self::Table { family, kind: kind.to_owned() }
            }
            _ => Self::Other,
        }
    }
}

/// The name in the value of an option that names an object: `name`, or `{id=name;…}`.
pub(crate) fn object_name(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let name = match inner {
        None => value,
        Some(inner) => inner.split(';').find_map(|field| field.trim().strip_prefix("id="))?,
    };
    (!matches!(name, "" | "nullptr")).then_some(name)
}

fn missing(wanted: &Pairs, found: &Pairs, prefix: &str) -> Vec<String> {
    let lost = wanted.iter().filter(|(name, value)| value_of(found, name) != Some(value.as_str()));
    lost.map(|(name, value)| format!("{prefix}{name}={value}")).collect()
}

fn value_of<'a>(pairs: &'a Pairs, wanted: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

/// Undoes `EscapeOptionString`: a backslash stands before `\`, `#`, `:` and for a line's end.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, chars.as_str().chars().next()) {
            ('\\', Some(escaped)) => {
                chars.next();
                plain.push(match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                });
            }
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# a comment\n\n[Version]\n  rocksdb_version=11.8.1\n\n[DBOptions]\n  \
        wal_dir=/a/b\n  allow_2pc=false\n\n[CFOptions \"default\"]\n  \
        comparator=leveldb.BytewiseComparator\n  merge_operator={id=StringAppendOperator;delimiter=,;}\n  \
        compaction_filter=nullptr\n[TableOptions/BlockBasedTable \"default\"]\n  block_size=4096\n\n\
        [CFOptions \"a\"b\\:c\\#d\\\\e\"]\n  comparator=mine\n[Later \"x\"]\n  comparator=no\n";

    #[test]
    fn sections_and_names_are_read() {
        let file = OptionsFile::parse(FILE);
        assert_eq!(file.database_value("wal_dir"), Some("/a/b"));
        let family = &file.families["default"];
        assert_eq!(family.object("merge_operator"), Some("StringAppendOperator"));
        assert_eq!(family.object("compaction_filter"), None);
        assert_eq!(family.object("comparator"), Some("leveldb.BytewiseComparator"));
        let table = ("BlockBasedTable".into(), vec![("block_size".into(), "4096".into())]);
        assert_eq!(family.table, Some(table));
        assert_eq!(file.families["a\"b:c#d\\e"].object("comparator"), Some("mine"));
        assert_eq!(file.families.len(), 2);
    }

    #[test]
    fn a_familys_text_can_be_read_again() {
        let family = OptionsFile::parse(FILE).families["default"].clone();
        assert_eq!(FamilyOptions::parse(&family.text), Some(family));
    }

    #[test]
    fn anything_is_read_without_a_panic() {
        for text in ["", "[", "[]", "[CFOptions \"]", "[CFOptions \"a", "=\n[=]=", "\\", "[a b]\nc"]
        {
            assert!(OptionsFile::parse(text).families.len() < 2, "{text}");
        }
    }
}
