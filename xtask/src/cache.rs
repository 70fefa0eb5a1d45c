//! The folder outside the clone where everything built or installed is kept.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Backup programs that know the convention leave a folder with this file out.
const TAG: &str = "CACHEDIR.TAG";
const TAG_CONTENT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # Kept by `cargo xtask` of keepsum; removing the folder is always safe.\n";

/// The cache folder, which exists.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the folder that the environment names, making it where it is missing.
    pub(crate) fn open() -> Result<Self> {
        Self::at(&location(|variable| std::env::var_os(variable))?)
    }

    /// Opens a given folder.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        let tag = root.join(TAG);
        if !tag.exists() {
            fs::write(&tag, TAG_CONTENT)
                .with_context(|| format!("cannot write {}", tag.display()))?;
        }
        let root =
            root.canonicalize().with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// `$KEEPSUM_CACHE`, else `$XDG_CACHE_HOME/keepsum`, else `~/.cache/keepsum`.
fn location(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = path("KEEPSUM_CACHE") {
        return Ok(chosen);
    }
    // The XDG specification: a relative path is invalid and to be ignored.
    let base = path("XDG_CACHE_HOME").filter(|base| base.is_absolute());
    let base = base.or_else(|| path("HOME").map(|home| home.join(".cache")));
    Ok(base.context("no cache folder: set KEEPSUM_CACHE, XDG_CACHE_HOME or HOME")?.join("keepsum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let found = location(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        });
        found.ok()
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let all = [("KEEPSUM_CACHE", "/k"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(located(&all), Some("/k".into()));
        assert_eq!(located(&all[1..]), Some("/x/keepsum".into()));
        assert_eq!(located(&all[2..]), Some("/h/.cache/keepsum".into()));
        assert_eq!(located(&[]), None);
    }

    #[test]
    fn empty_and_relative_xdg_values_do_not_count() {
        assert_eq!(
            located(&[("KEEPSUM_CACHE", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "/h")]),
            Some("/h/.cache/keepsum".into())
        );
    }
}
