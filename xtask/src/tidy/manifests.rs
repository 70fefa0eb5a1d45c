//! What every crate's manifest and page must say.

use std::path::Path;

use super::Finding;
use super::tree::Tree;
use crate::workspace::Package;

/// The one crate that may hold `unsafe` code, in its kernels, and sets its own lint for it.
const WITH_KERNELS: &str = "lthash";
/// Packages that have the name of their folder alone; the registry has other people's crates of the other names.
const WITH_SHORT_NAMES: [&str; 2] = ["keepsum", "lthash"];
const CRATE_PAGE: &str = "#![doc = include_str!(\"../README.md\")]";

pub(crate) fn check(root: &Path, packages: &[Package], tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !tree.file("Cargo.toml").is_some_and(|file| file.text.contains("unsafe_code = \"forbid\"")) {
        findings
            .push(Finding::new("Cargo.toml", "must forbid unsafe_code in [workspace.lints.rust]"));
    }
    for package in packages {
        let folder = package.folder.strip_prefix(root).unwrap_or(&package.folder);
        let folder = folder.to_string_lossy().replace('\\', "/");
        let manifest = format!("{folder}/Cargo.toml");
        let text = tree.file(&manifest).map_or("", |file| file.text.as_str());
        findings.extend(lints(&package.name, &manifest, text));
        if package.publishable {
            findings.extend(fields(package, &manifest));
            findings.extend(page(&folder, tree));
        }
    }
    findings
}

/// The workspace's lints forbid `unsafe`; who does not take them must set its own.
fn lints(package: &str, manifest: &str, text: &str) -> Option<Finding> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let takes_the_workspaces = lines.next() == Some("workspace = true");
    let own = package == WITH_KERNELS && text.contains("unsafe_code = \"deny\"");
    (!takes_the_workspaces && !own)
        .then(|| Finding::new(manifest, "must have `[lints]` with `workspace = true`, first thing"))
}

fn fields(package: &Package, manifest: &str) -> Vec<Finding> {
    let folder = package.folder.file_name().unwrap_or_default().to_string_lossy();
    let is_named = package.name == format!("keepsum-{folder}")
        || WITH_SHORT_NAMES.contains(&package.name.as_str());
    let missing = [
        ("the name of its folder behind `keepsum-`", !is_named),
        ("description", package.description.is_empty()),
        ("license", package.license.is_empty()),
        ("repository", package.repository.is_empty()),
        ("readme", package.readme.is_none()),
        ("keywords, one to five", package.keywords.is_empty() || package.keywords.len() > 5),
        ("categories", package.categories.is_empty()),
    ];
    let missing = missing.iter().filter(|(_, missing)| *missing);
    missing.map(|(field, _)| Finding::new(manifest, format!("must have {field}"))).collect()
}

/// A crate's page is its README: purpose, key decision, an example that runs.
fn page(folder: &str, tree: &Tree) -> Vec<Finding> {
    let (readme, source) = (format!("{folder}/README.md"), format!("{folder}/src/lib.rs"));
    let text = |path: &str| tree.file(path).map_or("", |file| file.text.as_str());
    let mut findings = Vec::new();
    if !text(&readme).to_lowercase().contains("key decision") {
        findings.push(Finding::new(&readme, "must say the crate's key decision"));
    }
    if !text(&readme).contains("\n```rust") {
        findings.push(Finding::new(&readme, "must hold an example: a ```rust block"));
    }
    if !text(&source).contains(CRATE_PAGE) {
        findings.push(Finding::new(&source, format!("must show its page: {CRATE_PAGE}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
    const README: &str = "# a\n\nThe key decision: none.\n\n```rust\n```\n";

    fn good() -> Package {
        let some = || "x".to_owned();
        Package {
            name: "keepsum-a".to_owned(),
            folder: "/w/crates/a".into(),
            publishable: true,
            description: some(),
            license: some(),
            repository: some(),
            readme: Some(some()),
            keywords: vec![some()],
            categories: vec![some()],
            ..Package::default()
        }
    }

    fn found(package: Package, manifest: &str, readme: &str, lib: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\""),
            ("crates/a/Cargo.toml", manifest),
            ("crates/a/README.md", readme),
            ("crates/a/src/lib.rs", lib),
        ]);
        check(Path::new("/w"), &[package], &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_complete_crate_passes() {
        assert_eq!(found(good(), MANIFEST, README, CRATE_PAGE), Vec::<String>::new());
    }

    #[test]
    fn each_omission_is_one_finding() {
        let page = CRATE_PAGE;
        assert_eq!(found(good(), "[package]\n", README, page).len(), 1);
        assert_eq!(found(good(), MANIFEST, "# a\n\n```rust\n```\n", page).len(), 1);
        assert_eq!(found(good(), MANIFEST, "key decision", page).len(), 1);
        assert_eq!(found(good(), MANIFEST, README, "").len(), 1);
        let no_keywords = Package { keywords: Vec::new(), ..good() };
        assert_eq!(
            found(no_keywords, MANIFEST, README, page),
            ["crates/a/Cargo.toml: must have keywords, one to five"]
        );
        let short = Package { name: "a".to_owned(), ..good() };
        assert_eq!(
            found(short, MANIFEST, README, page),
            ["crates/a/Cargo.toml: must have the name of its folder behind `keepsum-`"]
        );
        let nothing = Package { description: String::new(), readme: None, ..good() };
        assert_eq!(found(nothing, MANIFEST, README, page).len(), 2);
    }

    #[test]
    fn a_crate_that_is_not_published_needs_its_lints_alone() {
        let private = Package { publishable: false, keywords: Vec::new(), ..good() };
        assert!(found(private.clone(), MANIFEST, "", "").is_empty());
        assert_eq!(found(private, "", "", "").len(), 1);
    }
}
