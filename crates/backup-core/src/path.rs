//! Relative file paths that are checked before they become paths of the file system.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The longest [`FilePath`], in bytes.
pub(crate) const MAX_PATH_BYTES: usize = 4096;

/// The longest name between two slashes, in bytes, as file systems have it.
const MAX_NAME_BYTES: usize = 255;

/// A file's path inside a store: relative, `/`-separated, with no way out of the store's folder.
///
/// ```
/// use backup_core::path::FilePath;
/// assert!(FilePath::new("archive/000012.sst").is_ok());
/// assert!(FilePath::new("../etc/passwd").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// Checks `path`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an absolute, empty or overlong path, an empty, `.` or `..` part, a
    /// NUL or a backslash.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let refuse = |detail: &str| {
            let shown: String = path.chars().take(200).collect();
            Err(Error::invalid(format!("the file path {shown:?}"), detail))
        };
        if path.is_empty() || path.len() > MAX_PATH_BYTES {
            return refuse("must have 1 to 4096 bytes");
        }
        if path.contains(['\0', '\\']) {
            return refuse("must have no NUL and no backslash");
        }
        for part in path.split('/') {
            match part {
                "" => return refuse("must be relative, without empty parts"),
                "." | ".." => return refuse("must have no . or .. part"),
                _ if part.len() > MAX_NAME_BYTES => return refuse("has a part above 255 bytes"),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// The path as text, `/`-separated.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the file lies below `folder`.
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl TryFrom<String> for FilePath {
    type Error = Error;

    fn try_from(path: String) -> Result<Self> {
        Self::new(path)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
