//! From the options of an OPTIONS file to options of the engine.

use rocksdb::Options;

use crate::format::options::{FamilyOptions, Pairs, object_name};

/// The bytewise order, which is RocksDB's own.
pub(crate) const BYTEWISE: &str = "leveldb.BytewiseComparator";

/// The bytewise order backward, which RocksDB has too.
pub(crate) const REVERSE_BYTEWISE: &str = "rocksdb.ReverseBytewiseComparator";

/// The merge operators that every RocksDB has (`utilities/merge_operators.cc`).
const MERGE_OPERATORS: [&str; 7] = [
    "BytesXOR",
    "MaxOperator",
    "MergeSortOperator",
    "PutOperator",
    "StringAppendOperator",
    "StringAppendTESTOperator",
    "UInt64AddOperator",
];

/// What decides how stored bytes are read. Everything else of a column family's options says how
/// it is written, and would only make opening a copy of it fail for reasons of its own.
const READING: [&str; 6] = [
    "comparator",
    "merge_operator",
    "prefix_extractor",
    "num_levels",
    "compaction_style",
    "persist_user_defined_timestamps",
];

/// The options that name an object, which may be one that only the store's own program has.
const OBJECTS: [&str; 9] = [
    "comparator",
    "merge_operator",
    "prefix_extractor",
    "compaction_filter",
    "compaction_filter_factory",
    "sst_partitioner_factory",
    "memtable_factory",
    "memtable_insert_with_hint_prefix_extractor",
    "compression_manager",
];

/// The kinds of tables that every RocksDB has.
const TABLES: [&str; 3] = ["BlockBasedTable", "PlainTable", "CuckooTable"];

/// Whether every RocksDB has this merge operator.
pub(crate) fn has_merge_operator(name: &str) -> bool {
    MERGE_OPERATORS.contains(&name)
}

/// Whether every RocksDB has this prefix extractor.
pub(crate) fn has_prefix_extractor(name: &str) -> bool {
    let numbered = ["rocksdb.FixedPrefix.", "rocksdb.CappedPrefix."];
    let number = numbered.iter().find_map(|prefix| name.strip_prefix(prefix));
    name == "rocksdb.Noop"
        || number.is_some_and(|digits| digits.parse::<u32>().is_ok_and(|number| number > 0))
}

/// Options made from those of an OPTIONS file.
pub(crate) struct Applied {
    pub(crate) options: Options,
    /// The options that could not be applied, as `name=value`.
    pub(crate) left_out: Vec<String>,
}

impl Applied {
    /// The options with which a copy of the column family is read.
    pub(crate) fn for_reading(family: &FamilyOptions, comparator: &str) -> Self {
        let mut applied = Self::new();
        let reading = |(name, _): &&(String, String)| READING.contains(&name.as_str());
        applied.set_all(family.options.iter().filter(reading));
        applied.set_all([&("comparator".to_owned(), comparator.to_owned())]);
        applied.set_table(family);
        applied
    }

    /// All options that this build of RocksDB can apply.
    pub(crate) fn for_writing(family: &FamilyOptions) -> Self {
        let mut applied = Self::new();
        applied.set_all(family.options.iter().filter(|(name, _)| name != "table_factory"));
        applied.set_table(family);
        applied
    }

    /// The options of a database as a whole.
    pub(crate) fn for_database(options: &Pairs) -> Self {
        let mut applied = Self::new();
        applied.set_all(options);
        applied
    }

    fn new() -> Self {
        Self { options: Options::default(), left_out: Vec::new() }
    }

    /// Sets all of them at once where that goes, else one by one, to find those that do not.
    fn set_all<'a>(&mut self, pairs: impl IntoIterator<Item = &'a (String, String)>) {
        let is_known = |pair: &&(String, String)| {
            !OBJECTS.contains(&pair.0.as_str()) || is_known_object(&pair.0, &pair.1)
        };
        let (known, unknown): (Vec<_>, Vec<_>) = pairs.into_iter().partition(is_known);
        self.left_out.extend(unknown.into_iter().map(|(name, value)| format!("{name}={value}")));
        let text: String = known.iter().map(|pair| field(pair)).collect();
        if self.take(&text) {
            return;
        }
        for pair in known {
            if !self.take(&field(pair)) {
                self.left_out.push(format!("{}={}", pair.0, pair.1));
            }
        }
    }

    /// Sets the kind of tables, with as many of their options as this build knows.
    fn set_table(&mut self, family: &FamilyOptions) {
        let Some((kind, options)) = &family.table else { return };
        if !TABLES.contains(&kind.as_str()) {
            self.left_out.push(format!("table_factory={kind}"));
            return;
        }
        let factory = |fields: &str| format!("table_factory={{id={kind};{fields}}}");
        let all: String = options.iter().map(field).collect();
        if self.take(&factory(&all)) {
            return;
        }
        let mut fields = String::new();
        for option in options {
            if self.options.get_options_from_string(factory(&field(option))).is_ok() {
                fields.push_str(&field(option));
            } else {
                self.left_out.push(format!("{kind}.{}={}", option.0, option.1));
            }
        }
        if !self.take(&factory(&fields)) {
            self.left_out.push(format!("table_factory={kind}"));
        }
    }

    /// Whether the engine takes these options; if not, nothing changes.
    fn take(&mut self, text: &str) -> bool {
        let taken = self.options.get_options_from_string(text);
        taken.map(|options| self.options = options).is_ok()
    }
}

/// Whether an object that an option names is one that every RocksDB has. RocksDB itself drops
/// unknown ones without a word.
fn is_known_object(option: &str, value: &str) -> bool {
    let Some(name) = object_name(value) else { return true };
    match option {
        "comparator" => matches!(name, BYTEWISE | REVERSE_BYTEWISE),
        "merge_operator" => has_merge_operator(name),
        "prefix_extractor" | "memtable_insert_with_hint_prefix_extractor" => {
            has_prefix_extractor(name)
        }
        "memtable_factory" => name == "SkipListFactory" || name == "VectorRepFactory",
        "sst_partitioner_factory" => name == "SstPartitionerFixedPrefixFactory",
        _ => false,
    }
}

/// An option as the engine's parser takes it. A value with separators of its own stands in braces.
fn field((name, value): &(String, String)) -> String {
    let plain = value.starts_with('{') || !value.contains([';', '=']);
    if plain { format!("{name}={value};") } else { format!("{name}={{{value}}};") }
}
