//! What SQLite's own sentences mean. Where its error codes do not tell apart what a caller must, the words do;
//! the SQLite that runs is fixed, so they are known.

/// What SQLite said, without what this program adds to it.
pub(crate) fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// Whether SQLite refuses a schema that is whole but not of its own making: a statement that this version
/// cannot parse, more columns than it was built for.
pub(crate) fn is_of_another_version(said: &str) -> bool {
    let extra =
        said.strip_prefix("malformed database schema (").and_then(|of| of.split_once(") - "));
    // These tell of a place in the file that cannot be, or of what is not there.
    let of_damage = ["invalid rootpage", "orphan index", "no such table"];
    extra.is_some_and(|(_, extra)| !of_damage.iter().any(|begins| extra.starts_with(begins)))
}

/// What a statement needs and this program lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// A way to compare text.
    Collation(String),
    /// A function.
    Function(String),
    /// What makes a virtual table.
    Module(String),
    /// What cuts text into words for a full-text index.
    Tokenizer(String),
}

/// What a statement lacks, where that is why SQLite refuses it.
pub(crate) fn lacking(said: &str) -> Option<Lacking> {
    let after = |words: &str| Some(said.split_once(words)?.1.trim().to_owned());
    let function = |name: String| name.trim_end_matches("()").to_owned();
    None.or_else(|| after("no such collation sequence: ").map(Lacking::Collation))
        .or_else(|| after("no such function: ").map(|name| Lacking::Function(function(name))))
        .or_else(|| after("unknown function: ").map(|name| Lacking::Function(function(name))))
        .or_else(|| after("no such module: ").map(Lacking::Module))
        .or_else(|| after("no such tokenizer: ").map(Lacking::Tokenizer))
        .or_else(|| after("unknown tokenizer: ").map(Lacking::Tokenizer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_another_version_is_no_damage() {
        for said in [
            "malformed database schema (t) - near \"FUTURE\": syntax error",
            "malformed database schema (t) - too many columns on t",
        ] {
            assert!(is_of_another_version(said), "{said}");
        }
        for said in [
            "malformed database schema (t) - invalid rootpage",
            "malformed database schema (i) - orphan index",
            "malformed database schema (i) - no such table: main.t",
            "malformed database schema ()",
            "database disk image is malformed",
        ] {
            assert!(!is_of_another_version(said), "{said}");
        }
    }

    /// The sentences are those of the SQLite that runs.
    #[test]
    fn what_is_lacking_is_named() {
        let memory = rusqlite::Connection::open_in_memory().unwrap();
        memory.execute_batch("CREATE TABLE t(a)").unwrap();
        let ask = |sql: &str| {
            let refused = memory.execute_batch(sql).unwrap_err();
            lacking(&said(&refused)).unwrap_or_else(|| panic!("{sql}: {refused}"))
        };
        assert_eq!(ask("CREATE TABLE u(a COLLATE mine)"), Lacking::Collation("mine".into()));
        assert_eq!(ask("CREATE INDEX i ON t(slug(a))"), Lacking::Function("slug".into()));
        assert_eq!(ask("CREATE VIRTUAL TABLE v USING mine(a)"), Lacking::Module("mine".into()));
        let of = |module: &str, tokenizer| {
            format!("CREATE VIRTUAL TABLE v USING {module}(a, {tokenizer})")
        };
        assert_eq!(ask(&of("fts5", "tokenize='mine'")), Lacking::Tokenizer("mine".into()));
        assert_eq!(ask(&of("fts4", "tokenize=mine")), Lacking::Tokenizer("mine".into()));
        assert_eq!(lacking("near \"FUTURE\": syntax error"), None);
    }
}
