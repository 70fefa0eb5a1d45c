//! The copy of the clone that faults are planted in. The clone itself is only read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::faults::Edit;

/// Folders at the top of the clone that hold nothing written by hand.
const LEFT_OUT: [&str; 2] = ["target", "fuzz/target"];

/// Hidden folders that a build needs.
const HIDDEN: [&str; 1] = [".cargo"];

/// A copy of the clone. Files that are the same already are not written again: cargo compares times
/// of change, and would build everything anew.
pub(crate) struct Copy {
    from: PathBuf,
    to: PathBuf,
}

impl Copy {
    /// Makes the copy at `to`, or brings the one that is there up to date, whatever was planted in it.
    pub(crate) fn make(from: &Path, to: &Path) -> Result<Self> {
        let mut wanted = BTreeSet::new();
        files_of(from, "", &mut wanted)?;
        let mut there = BTreeSet::new();
        if to.exists() {
            files_of(to, "", &mut there)?;
        }
        let copy = Self { from: from.to_owned(), to: to.to_owned() };
        for path in there.difference(&wanted) {
            let file = to.join(path);
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        wanted.iter().try_for_each(|path| copy.restore(path))?;
        Ok(copy)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.to
    }

    /// Plants a fault: all its edits, or none where one does not fit.
    pub(crate) fn plant(&self, edits: &[Edit]) -> Result<()> {
        let planted = edits.iter().try_for_each(|edit| {
            let path = self.to.join(&edit.file);
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", edit.file))?;
            let text = edit.apply(&text).with_context(|| edit.file.clone())?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        });
        if planted.is_err() {
            self.uproot(edits)?;
        }
        planted
    }

    /// Takes a fault out again.
    pub(crate) fn uproot(&self, edits: &[Edit]) -> Result<()> {
        let there = |edit: &&Edit| self.from.join(&edit.file).exists();
        edits.iter().filter(there).try_for_each(|edit| self.restore(&edit.file))
    }

    /// Makes one file of the copy as it is in the clone.
    fn restore(&self, path: &str) -> Result<()> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))
    }
}

/// All files that a build may need, with `/` between folders.
fn files_of(root: &Path, below: &str, files: &mut BTreeSet<String>) -> Result<()> {
    let folder = root.join(below);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().with_context(|| format!("cannot read {path}"))?;
        let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
        if kind.is_dir() && !hidden && !LEFT_OUT.contains(&path.as_str()) {
            files_of(root, &path, files)?;
        } else if kind.is_file() && !hidden {
            files.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn edit(file: &str, old: &str) -> Edit {
        Edit { file: file.to_owned(), old: old.to_owned(), new: "planted".to_owned() }
    }

    /// All files of the copy with their content.
    fn content(scratch: &Scratch) -> Vec<(String, String)> {
        let mut files = BTreeSet::new();
        files_of(&scratch.path("copy"), "", &mut files).expect("the copy is there");
        let read = |path: String| {
            let text = fs::read_to_string(scratch.path("copy").join(&path)).expect("it is text");
            (path, text)
        };
        files.into_iter().map(read).collect()
    }

    #[test]
    fn a_copy_is_brought_up_to_date_and_the_clone_never_changes() {
        let scratch = Scratch::new("plant-copy");
        scratch.write("clone/src/a.rs", "one two");
        scratch.write("clone/.cargo/config.toml", "");
        scratch.write("clone/.git/config", "");
        scratch.write("clone/target/big", "");
        let (from, to) = (scratch.path("clone"), scratch.path("copy"));
        let copy = Copy::make(&from, &to).expect("it can be copied");
        let whole = vec![
            (".cargo/config.toml".to_owned(), String::new()),
            ("src/a.rs".to_owned(), "one two".to_owned()),
        ];
        assert_eq!(content(&scratch), whole);

        copy.plant(&[edit("src/a.rs", "one")]).expect("it fits");
        assert_eq!(content(&scratch)[1].1, "planted two");
        scratch.write("copy/src/left_over.rs", "");
        Copy::make(&from, &to).expect("it can be copied again");
        assert_eq!(content(&scratch), whole);
        assert_eq!(fs::read_to_string(from.join("src/a.rs")).expect("there"), "one two");
    }

    #[test]
    fn a_fault_that_fits_in_part_is_not_planted() {
        let scratch = Scratch::new("plant-part");
        scratch.write("clone/a.rs", "one two");
        let copy = Copy::make(&scratch.path("clone"), &scratch.path("copy")).expect("copied");
        for second in [edit("a.rs", "three"), edit("b.rs", "one")] {
            assert!(copy.plant(&[edit("a.rs", "one"), second]).is_err());
            assert_eq!(content(&scratch), [("a.rs".to_owned(), "one two".to_owned())]);
        }
        copy.plant(&[edit("a.rs", "one")]).expect("it fits");
        copy.uproot(&[edit("a.rs", "one")]).expect("it is there");
        assert_eq!(content(&scratch)[0].1, "one two");
    }

    #[test]
    fn what_is_the_same_is_not_written_again() {
        let scratch = Scratch::new("plant-time");
        scratch.write("clone/a.rs", "one");
        Copy::make(&scratch.path("clone"), &scratch.path("copy")).expect("copied");
        let changed = |name: &str| {
            let data = fs::metadata(scratch.path(name)).expect("it is there");
            data.modified().expect("the system keeps times")
        };
        let before = changed("copy/a.rs");
        std::thread::sleep(std::time::Duration::from_millis(20));
        Copy::make(&scratch.path("clone"), &scratch.path("copy")).expect("copied");
        assert_eq!(changed("copy/a.rs"), before);
    }
}
