//! Faults that `cargo xtask plant` plants: each still fits the code.

use super::Finding;
use super::tree::{TextFile, Tree};
use crate::plant::faults::{self, Edit, FOLDER, Fault};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let pages = tree.ending(".toml").filter(|file| file.path.starts_with(FOLDER));
    pages.flat_map(|page| check_page(page, tree)).collect()
}

fn check_page(page: &TextFile, tree: &Tree) -> Vec<Finding> {
    let name = page.path.rsplit('/').next().unwrap_or_default();
    let topic = name.trim_end_matches(".toml");
    let faults = match faults::parse(topic, &page.text) {
        Ok(faults) => faults,
        Err(error) => return vec![Finding::new(&page.path, format!("{error:#}"))],
    };
    let unfit = |fault: &Fault| {
        let edits = fault.edits.iter().filter_map(|edit| misfit(edit, tree));
        let name = fault.name.clone();
        edits.map(move |why| format!("{name}: {why}")).collect::<Vec<_>>()
    };
    faults.iter().flat_map(unfit).map(|what| Finding::new(&page.path, what)).collect()
}

/// Why an edit cannot be made.
fn misfit(edit: &Edit, tree: &Tree) -> Option<String> {
    let Some(file) = tree.file(&edit.file) else {
        return Some(format!("{} does not exist", edit.file));
    };
    edit.apply(&file.text).err().map(|error| format!("{}: {error}", edit.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str, source: &str) -> Vec<String> {
        let tree = Tree::of(&[("xtask/planted/topic.toml", page), ("a.rs", source)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    const PAGE: &str = "
        test = ['--package', 'one']
        [[fault]]
        name = 'first'
        shows = 'something'
        [[fault.edit]]
        file = 'a.rs'
        old = 'x + 1'
        new = 'x'
    ";

    #[test]
    fn a_fault_whose_text_is_gone_or_there_twice_is_found() {
        assert!(found(PAGE, "x + 1").is_empty());
        for source in ["x + 2", "x + 1; x + 1"] {
            let findings = found(PAGE, source);
            assert_eq!(findings.len(), 1, "{source}");
            assert!(findings[0].contains("topic/first: a.rs: "), "{findings:?}");
        }
        let elsewhere = found(&PAGE.replace("a.rs", "b.rs"), "x + 1");
        assert_eq!(elsewhere, ["xtask/planted/topic.toml: topic/first: b.rs does not exist"]);
        assert_eq!(found("test = 3", "").len(), 1);
    }
}
