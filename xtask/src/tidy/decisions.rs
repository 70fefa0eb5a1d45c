//! Decision records: `docs/decisions/NNNN-title.md`, numbered without gaps.

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "docs/decisions/";
/// The page that says how to write one.
const ABOUT: &str = "README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut expected = 1;
    for file in tree.ending(".md") {
        let Some(name) = file.path.strip_prefix(FOLDER).filter(|name| *name != ABOUT) else {
            continue;
        };
        let number = name.split_once('-').map_or("", |(number, _)| number);
        let parsed = number.parse::<u32>().ok().filter(|_| number.len() == 4);
        let Some(parsed) = parsed else {
            findings.push(Finding::new(&file.path, "must be named NNNN-title.md"));
            continue;
        };
        if parsed != expected {
            let what = format!("must have number {expected:04}: no gaps, none twice");
            findings.push(Finding::new(&file.path, what));
        }
        if !file.text.starts_with(&format!("# {number}: ")) {
            let what = format!("must begin with its title: `# {number}: Title`");
            findings.push(Finding::new(&file.path, what));
        }
        expected = parsed + 1;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<String> {
        let files: Vec<_> = names
            .iter()
            .map(|name| {
                let number = name.split('-').next().unwrap_or_default();
                (format!("{FOLDER}{name}"), format!("# {number}: Title\n"))
            })
            .collect();
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        check(&Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_row_without_gaps_passes() {
        assert!(found(&["0001-a.md", "0002-b.md", "README.md"]).is_empty());
    }

    #[test]
    fn gaps_doubles_and_other_names_are_found() {
        assert_eq!(
            found(&["0001-a.md", "0003-b.md", "0004-c.md"]),
            ["docs/decisions/0003-b.md: must have number 0002: no gaps, none twice"]
        );
        assert_eq!(found(&["0001-a.md", "0001-b.md", "0002-c.md"]).len(), 1);
        assert_eq!(found(&["0001-a.md", "2-b.md"]).len(), 1);
    }

    #[test]
    fn the_title_carries_the_number() {
        let tree = Tree::of(&[("docs/decisions/0001-a.md", "# Another title")]);
        assert_eq!(check(&tree).len(), 1);
    }
}
