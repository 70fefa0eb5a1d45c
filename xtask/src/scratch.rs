//! A folder for one test, removed with it.

use std::fs;
use std::path::{Path, PathBuf};

/// A new, empty folder.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` must be the test's own: tests run side by side.
    pub(crate) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a scratch folder can be made");
        Self(root.canonicalize().expect("it was just made"))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("a scratch folder can be made");
        fs::write(path, content).expect("a scratch file can be written");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the system's temporary folder.
        fs::remove_dir_all(&self.0).ok();
    }
}
