//! `tidy`: what neither the compiler nor clippy checks.

mod arrows;
mod consumers;
mod decisions;
mod fixtures;
mod format_page;
mod manifests;
mod pages;
mod planted;
mod sources;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::Tree;

/// Something to put right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// A file, with a line where there is one, or a crate.
    place: String,
    /// What is wrong there, and what would be right.
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs all checks and prints every finding.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let packages = workspace.packages()?;
    let tree = Tree::read(workspace.root())?;
    let mut findings = arrows::check(&packages);
    findings.extend(consumers::check(workspace, &packages)?);
    findings.extend(manifests::check(workspace.root(), &packages, &tree));
    findings.extend(sources::check(&tree));
    findings.extend(pages::check(&tree));
    findings.extend(decisions::check(&tree));
    findings.extend(fixtures::check(workspace.root())?);
    findings.extend(format_page::check(&tree));
    findings.extend(planted::check(&tree));
    findings.sort();
    if findings.is_empty() {
        println!("tidy: {} crates, {} files, nothing found", packages.len(), tree.files().len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy found {} things to put right, listed above", findings.len());
}
