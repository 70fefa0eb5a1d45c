//! The `keepsum` command, called as a user would call it.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The command and the repository it works on.
pub(crate) struct Keepsum<'a> {
    pub(crate) program: &'a Path,
    pub(crate) repository: &'a Path,
    /// Where it remembers what it saw of a repository: not among the user's own.
    pub(crate) state: &'a Path,
}

impl Keepsum<'_> {
    /// Prints the call, makes it, and returns its one JSON document.
    pub(crate) fn call(&self, args: &[&str]) -> Result<Answer> {
        println!("$ keepsum {}", args.join(" "));
        let mut command = Command::new(self.program);
        command.env("KEEPSUM_REPO", self.repository).env("KEEPSUM_STATE", self.state);
        command.args(args).arg("--json");
        let text = process::read(&mut command)?;
        let value = serde_json::from_str(&text)
            .with_context(|| format!("`keepsum {}` printed no JSON", args.join(" ")))?;
        Ok(Answer(value))
    }
}

/// What a call printed.
pub(crate) struct Answer(Value);

impl Answer {
    pub(crate) fn text(&self, field: &str) -> Result<&str> {
        self.0[field].as_str().with_context(|| format!("keepsum printed no text `{field}`"))
    }

    pub(crate) fn number(&self, field: &str) -> Result<u64> {
        self.0[field].as_u64().with_context(|| format!("keepsum printed no number `{field}`"))
    }

    pub(crate) fn seconds(&self, field: &str) -> Result<f64> {
        self.0[field].as_f64().with_context(|| format!("keepsum printed no number `{field}`"))
    }

    pub(crate) fn list(&self, field: &str) -> Result<&[Value]> {
        let list = self.0[field].as_array().map(Vec::as_slice);
        list.with_context(|| format!("keepsum printed no list `{field}`"))
    }

    /// The LtHash of the whole store and what it covers.
    pub(crate) fn content(&self) -> Result<Content> {
        let mut content = Content {
            global: self.text("global_lthash")?.to_owned(),
            databases: self.list("databases")?.iter().map(database).collect::<Result<_>>()?,
        };
        content.databases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(content)
    }
}

/// A store's databases with their hashes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) global: String,
    pub(crate) databases: Vec<Database>,
}

impl Content {
    /// Of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.databases.iter().map(|database| database.bytes).sum()
    }
}

/// One database with its hash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Database {
    name: String,
    records: u64,
    bytes: u64,
    lthash: String,
}

fn database(value: &Value) -> Result<Database> {
    let read = || {
        Some(Database {
            name: value["name"].as_str()?.to_owned(),
            records: value["records"].as_u64()?,
            bytes: value["bytes"].as_u64()?,
            lthash: value["lthash"].as_str()?.to_owned(),
        })
    };
    read().with_context(|| format!("keepsum printed a database without its proof: {value}"))
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, records, bytes, lthash } = self;
        write!(f, "{name:<8} {records:>9} records {:>9}  {lthash}", Size(*bytes).to_string())
    }
}

/// Bytes, for people to read.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, mut divisor, mut unit) = (self.0, 1, "B");
        for (limit, name) in [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB")] {
            if bytes >= limit {
                (divisor, unit) = (limit, name);
            }
        }
        if divisor == 1 {
            return write!(f, "{bytes} B");
        }
        write!(f, "{}.{} {unit}", bytes / divisor, bytes % divisor * 10 / divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_compared_whatever_the_order_of_databases() {
        let answer = |names: [&str; 2]| {
            let databases = names.map(
                |name| serde_json::json!({"name": name, "records": 1, "bytes": 2, "lthash": "a"}),
            );
            Answer(serde_json::json!({"global_lthash": "g", "databases": databases}))
        };
        let one = answer(["x", "y"]).content().expect("it is complete");
        assert_eq!(one, answer(["y", "x"]).content().expect("it is complete"));
        assert_ne!(one, answer(["x", "z"]).content().expect("it is complete"));
    }

    #[test]
    fn a_snapshot_without_a_logical_proof_is_no_content() {
        let value = serde_json::json!({"global_lthash": null, "databases": []});
        assert!(Answer(value).content().is_err());
    }

    #[test]
    fn sizes_read_well() {
        let sizes = [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (245_678_901, "245.6 MB")];
        for (bytes, expected) in sizes {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }
}
