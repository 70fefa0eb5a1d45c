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
        for (name, value) in &family.options {
            if READING.contains(&name.as_str()) && name != "comparator" {
                applied.set(name, value);
            }
        }
        applied.set("comparator", comparator);
        applied.set_table(family);
        applied
    }

    /// All options that this build of RocksDB can apply.
    pub(crate) fn for_writing(family: &FamilyOptions) -> Self {
        let mut applied = Self::new();
        for (name, value) in &family.options {
            if name != "table_factory" {
                applied.set(name, value);
            }
        }
        applied.set_table(family);
        applied
    }

    /// The options of a database as a whole.
    pub(crate) fn for_database(options: &Pairs) -> Self {
        let mut applied = Self::new();
        for (name, value) in options {
            applied.set(name, value);
        }
        applied
    }

    fn new() -> Self {
        Self { options: Options::default(), left_out: Vec::new() }
    }

    fn set(&mut self, name: &str, value: &str) {
        if OBJECTS.contains(&name) && !is_known_object(name, value) {
            self.left_out.push(format!("{name}={value}"));
            return;
        }
        match self.options.get_options_from_string(format!("{name}={}", nested(value))) {
            Ok(options) => self.options = options,
            Err(_) => self.left_out.push(format!("{name}={value}")),
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
        let mut fields = String::new();
        for (name, value) in options {
            let field = format!("{name}={};", nested(value));
            match self.options.get_options_from_string(factory(&field)) {
                Ok(_) => fields.push_str(&field),
                Err(_) => self.left_out.push(format!("{kind}.{name}={value}")),
            }
        }
        match self.options.get_options_from_string(factory(&fields)) {
            Ok(options) => self.options = options,
            Err(_) => self.left_out.push(format!("table_factory={kind}")),
        }
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

/// A value with separators of its own stands in braces.
fn nested(value: &str) -> String {
    let plain = value.starts_with('{') || !value.contains([';', '=']);
    if plain { value.to_owned() } else { format!("{{{value}}}") }
}
