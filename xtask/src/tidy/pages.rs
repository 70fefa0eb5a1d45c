//! Markdown pages: links to files that exist.

use super::Finding;
use super::tree::{TextFile, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".md").flat_map(|page| broken_links(page, tree)).collect()
}

fn broken_links(page: &TextFile, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        for link in links(line).into_iter().filter(|_| !in_code) {
            let file = link.split('#').next().unwrap_or_default();
            let reached = resolve(&page.path, file);
            if reached.is_none_or(|path| tree.at_or_below(&path).next().is_none()) {
                let place = format!("{}:{}", page.path, index + 1);
                findings
                    .push(Finding::new(place, format!("links to {link}, which does not exist")));
            }
        }
    }
    findings
}

/// The links of a line to files of this clone; those within the page or to elsewhere are left out,
/// and so are items of the code, which rustdoc checks.
fn links(line: &str) -> Vec<&str> {
    let targets = line.match_indices("](").filter_map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        rest.split([')', ' ']).next()
    });
    let leads_here = |link: &&str| {
        !link.is_empty() && !link.starts_with('#') && !link.contains("::") && !link.contains(':')
    };
    let is_file =
        |link: &&str| link.contains('.') || link.contains('/') || link.starts_with("LICENSE");
    targets.filter(leads_here).filter(is_file).collect()
}

/// The path that a relative link of a page names, or `None` where it leaves the clone.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<_> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("crates/x/src/lib.rs", "")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_to_files_and_folders_that_exist_pass() {
        for link in ["b.md", "b.md#part", "../crates/x", "../crates/x/src/lib.rs", "./b.md"] {
            assert!(found(&format!("see [it]({link}).")).is_empty(), "{link}");
        }
        for link in ["#part", "https://example.org/c.md", "crate::x::Y", "Type"] {
            assert!(found(&format!("see [it]({link}).")).is_empty(), "{link}");
        }
    }

    #[test]
    fn broken_links_are_found_with_their_line() {
        assert_eq!(
            found("one\n[b](b.md) and [c](c.md)"),
            ["docs/a.md:2: links to c.md, which does not exist"]
        );
        assert_eq!(found("[out](../../b.md)").len(), 1);
        assert!(found("```\n[c](c.md)\n```\n").is_empty());
    }
}
