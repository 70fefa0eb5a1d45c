//! Where a repository is, as a person writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use object_store::memory::InMemory;
use url::Url;

use crate::retry::Patience;
#[cfg(feature = "aws")]
use crate::s3::{Bucket, Settings};
use crate::{Error, Result};
use backup_core::Error as CoreError;

/// The longest location, in bytes.
const MAX_BYTES: usize = 4096;

/// The schemes of other stores, and the feature that each one needs.
const FEATURES: &[(&str, &str)] =
    &[("s3", "aws"), ("gs", "gcp"), ("az", "azure"), ("http", "http"), ("https", "http")];

/// Where a repository is.
///
/// ```
/// use remote::RepositoryLocation;
/// let location = RepositoryLocation::parse("/var/backups/keepsum")?;
/// assert_eq!(location.to_string(), "/var/backups/keepsum");
/// assert!(RepositoryLocation::parse("ftp://example.org/backups").is_err());
/// # Ok::<(), remote::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RepositoryLocation {
    place: Place,
    patience: Patience,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(PathBuf),
    #[cfg(feature = "aws")]
    S3(Bucket),
    Memory(Arc<InMemory>),
}

impl RepositoryLocation {
    /// Reads a location: a path, `file:///path`, or, with the feature `aws`, `s3://bucket/prefix`,
    /// for which the `AWS_…` variables of this process say the rest.
    ///
    /// # Errors
    /// [`Invalid`](CoreError::Invalid) for what is no location, [`Unsupported`](CoreError::Unsupported)
    /// for one of a store that this build does not speak to. Neither repeats a user's name, password
    /// or query.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_BYTES || text.contains('\0') {
            let detail = "must be a path or a URL of 1 to 4096 bytes, without NUL";
            return Err(CoreError::invalid("the repository", detail).into());
        }
        match scheme_of(text) {
            None => Self::folder(Path::new(text)),
            Some("memory") => Err(CoreError::unsupported(
                "a repository in memory",
                "it would be gone with this process; name a folder",
            )
            .into()),
            Some("file") => Self::folder(&file_path(text)?),
            #[cfg(feature = "aws")]
            Some("s3") => Self::s3(text, Settings::from_env()),
            Some(scheme) => Err(refuse(scheme, text).into()),
        }
    }

    /// A repository in a folder.
    ///
    /// # Errors
    /// [`Io`](CoreError::Io) where the path is relative and there is no current folder.
    pub fn folder(path: &Path) -> Result<Self> {
        let path =
            std::path::absolute(path).map_err(CoreError::io("make an absolute path of", path))?;
        Ok(Place::Folder(path).into())
    }

    /// A repository in S3 or a service like it, at `s3://bucket/prefix`, with `settings` in place of the
    /// environment's.
    ///
    /// # Errors
    /// [`Invalid`](CoreError::Invalid) for what is no such address.
    #[cfg(feature = "aws")]
    pub fn s3(text: &str, settings: Settings) -> Result<Self> {
        Ok(Place::S3(Bucket::parse(text, settings)?).into())
    }

    /// A repository in the memory of this process, gone with the last clone of the location: for
    /// tests.
    pub fn memory() -> Self {
        Place::Memory(Arc::default()).into()
    }

    /// The same place, whose requests are tried as long and as often as this says.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }
}

impl FromStr for RepositoryLocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<Place> for RepositoryLocation {
    fn from(place: Place) -> Self {
        Self { place, patience: Patience::default() }
    }
}

impl fmt::Display for RepositoryLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(path) => path.display().fmt(f),
            #[cfg(feature = "aws")]
            Place::S3(bucket) => bucket.fmt(f),
            Place::Memory(_) => f.write_str("memory:"),
        }
    }
}

/// The scheme of a URL; none for a path. What looks like a URL of a store with its slashes forgotten
/// is one too, and not a folder of an odd name.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let plausible = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let known = ["file", "memory"].contains(&scheme) || FEATURES.iter().any(|(s, _)| *s == scheme);
    (plausible && (known || rest.starts_with("//"))).then_some(scheme)
}

fn file_path(text: &str) -> Result<PathBuf, CoreError> {
    let malformed = || {
        let detail = "a file URL is file:/// and an absolute path, percent-encoded";
        CoreError::invalid("the repository", detail)
    };
    // Url::parse is lenient where this would be a guess: file:x, file://x (a host).
    if !text.starts_with("file:///") {
        return Err(malformed());
    }
    let url = Url::parse(text).map_err(|_| malformed())?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(malformed());
    }
    let path = url.to_file_path().map_err(|()| malformed())?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(malformed());
    }
    Ok(path)
}

fn refuse(scheme: &str, text: &str) -> CoreError {
    let shown = without_secrets(scheme, text);
    match FEATURES.iter().find(|(known, _)| *known == scheme) {
        Some((_, feature)) => CoreError::unsupported(
            format!("a repository at {shown}"),
            format!("this build has no support for {scheme}:// (feature {feature}); name a folder"),
        ),
        None => CoreError::unsupported(
            format!("a repository at {shown}"),
            format!(
                "{scheme}:// is not known; name a path, file:///…, s3://…, gs://…, az://… or https://…"
            ),
        ),
    }
}

/// The URL with nothing that may be secret: scheme, host and port alone. A user and a password that
/// were mistyped are taken for a part of the path.
fn without_secrets(scheme: &str, text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if url.host_str().is_some() => {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{host}{port}/…")
        }
        _ => format!("{scheme}:…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        RepositoryLocation::parse(text).map(|found| found.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_paths_whatever_is_in_them() {
        for path in ["/a/b", "/a b/c#1", "/with:colon/x", "/100%/é"] {
            assert_eq!(RepositoryLocation::parse(path).unwrap().to_string(), path);
        }
        let relative = RepositoryLocation::parse("backups/here").unwrap().to_string();
        assert!(relative.starts_with('/') && relative.ends_with("/backups/here"), "{relative}");
        let colon = RepositoryLocation::parse("odd:name").unwrap().to_string();
        assert!(colon.ends_with("/odd:name"), "{colon}");
    }

    #[test]
    fn file_urls_are_decoded() {
        let location = RepositoryLocation::parse("file:///a%20b/c%23").unwrap();
        assert_eq!(location.to_string(), "/a b/c#");
        for bad in [
            "file:relative",
            "file://host/path",
            "file:/path",
            "file:///a?b=c",
            "file:///a#b",
            "file:///a%00b",
        ] {
            assert!(error_of(bad).contains("file URL"), "{bad}");
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        let long = "x".repeat(5000);
        for bad in ["", "a\0b", long.as_str()] {
            assert!(error_of(bad).contains("1 to 4096 bytes"), "{bad}");
        }
        assert!(error_of("memory:").contains("name a folder"));
        assert!(error_of("ftp://example.org/x").contains("ftp:// is not known"));
    }

    #[test]
    fn other_stores_are_recognised_and_their_feature_named() {
        for (url, feature) in [
            #[cfg(not(feature = "aws"))]
            ("s3://bucket/prefix", "feature aws"),
            ("gs://bucket/prefix", "feature gcp"),
            ("az://container/prefix", "feature azure"),
            ("http://host:8080/dav", "feature http"),
            ("https://host/dav", "feature http"),
        ] {
            let error = error_of(url);
            let (start, _) = url.rsplit_once('/').expect("it has a path");
            assert!(error.contains(start) && error.contains(feature), "{error}");
        }
        // Not a folder named "s3:bucket".
        #[cfg(not(feature = "aws"))]
        assert!(error_of("s3:bucket/prefix").contains("feature aws"));
        #[cfg(feature = "aws")]
        assert!(error_of("s3:bucket/prefix").contains("s3://BUCKET"));
    }

    #[test]
    fn secrets_are_not_repeated() {
        for url in [
            "https://user:hunter2@host/dav?sig=hunter2#hunter2",
            "s3://key:hunter2@bucket/prefix",
            "s3:key:hunter2@bucket",
            "ftp://user:hunter2@host/",
            "https://hunter2@",
            // Found by fuzzing: a slash too few, and the password is in the path.
            "https:/r://:hunter2@host:",
            "https://user:hunter2@host:hunter2/",
        ] {
            let error = format!("{:?}", RepositoryLocation::parse(url).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
