//! Fixtures never change: released formats wrote them, and every later version must read them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::fingerprint::Fingerprint;

/// In each folder of a format, the fingerprint and the path of every other file in it.
const LIST: &str = "CHECKSUMS";

/// Compares the fixtures of every format with their list.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let formats = root.join("fixtures");
    for format in folder(&formats)? {
        if format.is_dir() {
            findings.extend(check_format(root, &format)?);
        }
    }
    Ok(findings)
}

fn check_format(root: &Path, format: &Path) -> Result<Vec<Finding>> {
    let list = format.join(LIST);
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    let mut listed: BTreeMap<&str, &str> = lines.map(|(hash, path)| (path, hash)).collect();
    let mut files = Vec::new();
    read(format, &mut files)?;
    let place = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| **path != list) {
        let name = path.strip_prefix(format).unwrap_or(path).display().to_string();
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let found = Fingerprint::of_bytes(&bytes).to_string();
        match listed.remove(name.as_str()) {
            None => findings.push(Finding::new(
                place(path),
                format!("is a new fixture; add the line `{found}  {name}` to {}", place(&list)),
            )),
            Some(kept) if kept != found => findings.push(Finding::new(
                place(path),
                "has changed; fixtures are kept as they were written, so restore it (a new format \
                 gets a folder of its own)",
            )),
            Some(_) => {}
        }
    }
    let gone = listed.keys().map(|name| {
        Finding::new(place(&format.join(name)), "is gone; fixtures are kept, so restore it")
    });
    findings.extend(gone);
    Ok(findings)
}

fn read(parent: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for path in folder(parent)? {
        if path.is_dir() {
            read(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What a folder holds, sorted.
fn folder(path: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("cannot list {}", path.display()))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn findings(scratch: &Scratch) -> Vec<String> {
        check(scratch.root()).expect("it can be read").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fixture_that_changed_came_or_went_is_found() {
        let scratch = Scratch::new("tidy-fixtures");
        scratch.write("fixtures/v1/CHECKSUMS", "");
        scratch.write("fixtures/v1/a/b", "content");
        let new = findings(&scratch);
        let line = new[0].split('`').nth(1).expect("the line to add is quoted").to_owned();
        assert_eq!(new.len(), 1);
        scratch.write("fixtures/v1/CHECKSUMS", &format!("{line}\n"));
        assert_eq!(findings(&scratch), [""; 0]);
        scratch.write("fixtures/v1/a/b", "other");
        assert!(findings(&scratch)[0].contains("has changed"));
        std::fs::remove_file(scratch.path("fixtures/v1/a/b")).expect("it is there");
        assert!(findings(&scratch)[0].contains("is gone"));
    }
}
