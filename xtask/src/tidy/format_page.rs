//! `docs/FORMAT.md` and the source it describes change together.
//!
//! The page names its source files, and carries a fingerprint of their code:
//!
//! ```text
//! <!-- format-source: 0123456789abcdef
//! crates/archive/src/wire.rs
//! crates/archive/src/manifest
//! -->
//! ```
//!
//! A folder stands for all files below it. Comments, empty lines and tests do not count.

use super::Finding;
use super::sources::without_tests;
use super::tree::Tree;
use crate::fingerprint::Fingerprint;

const PAGE: &str = "docs/FORMAT.md";
const OPENS: &str = "<!-- format-source:";
const CLOSES: &str = "-->";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.file(PAGE) else {
        return vec![Finding::new(PAGE, "is missing: it describes every stored byte")];
    };
    let Some(block) = block_of(&page.text) else {
        let what =
            format!("must name the source it describes: `{OPENS} 0`, a path a line, `{CLOSES}`");
        return vec![Finding::new(PAGE, what)];
    };
    let mut words = block.split_whitespace();
    let written = words.next().unwrap_or_default();
    let paths: Vec<_> = words.collect();
    if paths.is_empty() {
        return vec![Finding::new(PAGE, format!("names no source file under `{OPENS}`"))];
    }
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| tree.at_or_below(path).next().is_none())
        .map(|path| Finding::new(PAGE, format!("names {path}, which does not exist")))
        .collect();
    if !missing.is_empty() {
        return missing;
    }
    let current = fingerprint(tree, &paths).to_string();
    if written == current {
        return Vec::new();
    }
    let what = format!(
        "the source it describes has changed: read the page against the change, mend it, then write \
         `{OPENS} {current}`"
    );
    vec![Finding::new(PAGE, what)]
}

fn block_of(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(OPENS)?;
    Some(rest.split_once(CLOSES)?.0)
}

fn fingerprint(tree: &Tree, paths: &[&str]) -> Fingerprint {
    let mut fingerprint = Fingerprint::new();
    for file in paths.iter().flat_map(|path| tree.at_or_below(path)) {
        fingerprint.field(&file.path);
        let lines = without_tests(&file.text).lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with("//")) {
            fingerprint.field(line);
        }
    }
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "crates/archive/src/wire.rs";

    fn found(page: &str, source: &str) -> Vec<String> {
        let tree = Tree::of(&[(SOURCE, source), (PAGE, page)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    /// A page that fits `source`, made from what `tidy` says to write.
    fn fitting(source: &str) -> String {
        let page = format!("# Format\n\n{OPENS} 0\n{SOURCE}\n{CLOSES}\n");
        let findings = found(&page, source);
        let (_, said) = findings[0].split_once("then write `").expect("it says what to write");
        page.replace(&format!("{OPENS} 0"), said.trim_end_matches('`'))
    }

    #[test]
    fn a_page_that_fits_passes_and_a_changed_source_is_found() {
        let page = fitting("const N: u8 = 1;\n");
        assert!(found(&page, "const N: u8 = 1;\n").is_empty());
        assert_eq!(found(&page, "const N: u8 = 2;\n").len(), 1);
    }

    #[test]
    fn comments_and_tests_are_no_change() {
        let page = fitting("const N: u8 = 1;\n");
        let source = "// why\n\nconst N: u8 = 1;\n#[cfg(test)]\nmod tests {\n}\n";
        assert!(found(&page, source).is_empty());
    }

    #[test]
    fn a_page_without_its_block_or_with_a_lost_file_is_found() {
        assert_eq!(found("# Format", "").len(), 1);
        assert_eq!(found(&format!("{OPENS} 0\n{CLOSES}"), "").len(), 1);
        let lost = format!("{OPENS} 0\ncrates/archive/src/lost.rs\n{CLOSES}");
        assert_eq!(
            found(&lost, ""),
            ["docs/FORMAT.md: names crates/archive/src/lost.rs, which does not exist"]
        );
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
