//! The text files of the clone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold nothing written by hand.
const LEFT_OUT: [&str; 5] = ["target", "bench/target", "fixtures", "fuzz/corpus", "fuzz/target"];

/// A text file.
pub(crate) struct TextFile {
    /// Below the top of the clone, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files, in the order of their paths.
pub(crate) struct Tree {
    files: Vec<TextFile>,
}

impl Tree {
    /// Reads all that is UTF-8 and not hidden; `.ci` and `.cargo` are the project's own.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        read_folder(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    pub(crate) fn files(&self) -> &[TextFile] {
        &self.files
    }

    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files of one kind, by the ending of their name.
    pub(crate) fn ending(&self, ending: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| file.path.ends_with(ending))
    }

    /// A file, or all files below a folder.
    pub(crate) fn at_or_below(&self, path: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| {
            file.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect() }
    }
}

fn read_folder(root: &Path, below: &str, files: &mut Vec<TextFile>) -> Result<()> {
    let folder = root.join(below);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().with_context(|| format!("cannot read {path}"))?;
        let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
        if kind.is_dir() && !hidden && !LEFT_OUT.contains(&path.as_str()) {
            read_folder(root, &path, files)?;
        } else if kind.is_file() && !hidden {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn hidden_and_built_files_are_left_out() {
        let scratch = Scratch::new("tree");
        for name in
            ["a.rs", "b/c.md", ".git/config", "target/x.rs", "b/target/y.rs", ".ci/run", ".hidden"]
        {
            scratch.write(name, "text");
        }
        let tree = Tree::read(scratch.root()).expect("the folder is there");
        let paths: Vec<_> = tree.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".ci/run", "a.rs", "b/c.md", "b/target/y.rs"]);
    }

    #[test]
    fn a_folder_names_what_is_below_it_and_nothing_beside() {
        let tree = Tree::of(&[("a/b.rs", ""), ("a/bc.rs", ""), ("a/b.rs/c", "")]);
        let found: Vec<_> = tree.at_or_below("a/b.rs").map(|file| file.path.as_str()).collect();
        assert_eq!(found, ["a/b.rs", "a/b.rs/c"]);
    }
}
