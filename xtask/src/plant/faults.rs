//! The list of faults: `xtask/planted/*.toml`, one page for each topic.
//!
//! ```toml
//! # The arguments of `cargo test` that find the page's faults.
//! test = ["--package", "remote", "--test", "schedules"]
//!
//! [[fault]]
//! name = "a-taken-name-is-adopted"
//! shows = "what is found under a name may be another writer's, and condemned"
//! # Instead of the page's: test = […]
//!
//! [[fault.edit]]
//! file = "crates/remote/src/objects.rs"
//! old = '''
//! the text that stands in the file, exactly once
//! '''
//! new = '''
//! what takes its place
//! '''
//! ```

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Where the pages lie, below the top of the clone.
pub(crate) const FOLDER: &str = "xtask/planted";

/// A page as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    test: Vec<String>,
    #[serde(rename = "fault")]
    faults: Vec<Written>,
}

/// A fault as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    shows: String,
    test: Option<Vec<String>>,
    #[serde(rename = "edit")]
    edits: Vec<Edit>,
}

/// One change of one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Below the top of the clone.
    pub(crate) file: String,
    /// What stands there, exactly once.
    pub(crate) old: String,
    /// What takes its place.
    pub(crate) new: String,
}

/// A fault, and the test that must find it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// `page/name`.
    pub(crate) name: String,
    /// What goes wrong with it.
    pub(crate) shows: String,
    /// The arguments of `cargo test`.
    pub(crate) test: Vec<String>,
    pub(crate) edits: Vec<Edit>,
}

/// The faults of one page; `topic` is the name of its file.
pub(crate) fn parse(topic: &str, page: &str) -> Result<Vec<Fault>> {
    let page: Page = toml::from_str(page).context("it is not as xtask/src/plant/faults.rs says")?;
    let mut faults: Vec<Fault> = Vec::new();
    for written in page.faults {
        let name = format!("{topic}/{}", written.name);
        ensure!(faults.iter().all(|fault| fault.name != name), "{name} is there twice");
        ensure!(!written.edits.is_empty(), "{name} changes nothing");
        let test = written.test.unwrap_or_else(|| page.test.clone());
        ensure!(!test.is_empty(), "{name} names no test: all of them take too long");
        faults.push(Fault { name, shows: written.shows, test, edits: written.edits });
    }
    Ok(faults)
}

impl Edit {
    /// The file's text with the fault in it.
    ///
    /// # Errors
    /// Where the old text is not there exactly once, or the new one is the same.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        ensure!(self.old != self.new, "the planted text is what stands there: {}", self.start());
        let found = text.matches(&self.old).count();
        ensure!(found == 1, "the text to replace is there {found} times: {}", self.start());
        Ok(text.replacen(&self.old, &self.new, 1))
    }

    /// The first line of the old text.
    fn start(&self) -> &str {
        self.old.trim().lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "
        test = ['--package', 'one']
        [[fault]]
        name = 'first'
        shows = 'something'
        [[fault.edit]]
        file = 'a.rs'
        old = 'x + 1'
        new = 'x'
        [[fault]]
        name = 'second'
        shows = 'something else'
        test = ['--package', 'two']
        [[fault.edit]]
        file = 'a.rs'
        old = 'y'
        new = 'z'
    ";

    #[test]
    fn a_fault_has_its_page_s_test_unless_it_names_one() {
        let faults = parse("topic", PAGE).expect("the page is well-formed");
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(names, ["topic/first", "topic/second"]);
        assert_eq!(faults[0].test, ["--package", "one"]);
        assert_eq!(faults[1].test, ["--package", "two"]);
    }

    #[test]
    fn pages_that_are_wrong_are_refused() {
        for (from, to) in [
            ("'second'", "'first'"),
            ("shows = 'something'\n", ""),
            ("file = 'a.rs'", "place = 'a.rs'"),
            ("['--package', 'two']", "[]"),
        ] {
            let page = PAGE.replacen(from, to, 1);
            assert_ne!(page, PAGE, "{from}");
            assert!(parse("topic", &page).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn an_edit_fits_a_text_that_is_there_exactly_once() {
        let edit = |old: &str, new: &str| Edit {
            file: "a.rs".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        };
        assert_eq!(edit("b", "x").apply("abc").expect("it fits"), "axc");
        for (text, old, new) in [("abc", "d", "x"), ("abcb", "b", "x"), ("abc", "b", "b")] {
            assert!(edit(old, new).apply(text).is_err(), "{old} in {text}");
        }
    }
}
