//! Repositories in S3, and in services that speak its language.
//!
//! `object_store` signs and asks; each of its requests is made once. What is tried again, and how often,
//! is up to [`Store`](crate::Store) alone: an attempt is never multiplied.
//!
//! Every file is stored by a single conditional `PUT`. The largest, an object, has somewhat more than
//! 32 MiB, far below the 5 GiB that a `PUT` may have; so there are no uploads in parts, which could be
//! left behind half done, and which not every service completes conditionally.

mod answer;
mod error;
mod settings;
mod tls;
mod wire;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backup_core::Error as CoreError;
use object_store::aws::AmazonS3;
use object_store::path::Path;

pub use self::error::{Answer, S3Error};
pub use self::settings::Settings;
use self::wire::Wire;
use crate::{Error, Result, blocking};

/// The longest prefix, in bytes. A key has at most 1024, and a repository's names need their part.
const MAX_PREFIX_BYTES: usize = 900;

/// How long whoever gives credentials may take. Where no such service is, connections to it end
/// nowhere.
const CREDENTIALS: Duration = Duration::from_secs(5);

/// A bucket as a repository uses it, for who wants to wrap it: see
/// [`Store::new`](crate::Store::new). It makes each request once.
///
/// # Errors
/// As for connecting to a repository there. The bucket itself is not looked at.
pub async fn connect(url: &str, settings: Settings) -> Result<Arc<AmazonS3>> {
    Bucket::parse(url, settings)?.connect().await
}

/// A prefix in a bucket, and how to get there.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    name: String,
    prefix: String,
    settings: Settings,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.name)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl Bucket {
    /// Reads `s3://bucket/prefix`. The prefix is taken as it stands, not decoded.
    ///
    /// # Errors
    /// [`CoreError::Invalid`], which repeats nothing of the text: people put keys into URLs.
    pub(crate) fn parse(text: &str, settings: Settings) -> Result<Self> {
        let wrong = |detail: &str| Err(CoreError::invalid("the repository", detail).into());
        let Some(rest) = text.strip_prefix("s3://") else {
            return wrong("must be s3://BUCKET or s3://BUCKET/PREFIX");
        };
        if rest.contains(['@', '?', '#']) {
            return wrong(
                "is s3://BUCKET/PREFIX without @, ? and #; keys and endpoint are set by AWS_… variables",
            );
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !(3..=63).contains(&name.len()) || !name.chars().all(plain) {
            return wrong("has no bucket's name: 3 to 63 letters, digits, dots and hyphens");
        }
        let prefix = prefix.trim_end_matches('/');
        // `Path` drops a slash at the beginning, which would be a part of the name for S3.
        let possible = Path::parse(prefix).is_ok_and(|path| path.as_ref() == prefix);
        if prefix.len() > MAX_PREFIX_BYTES || !possible {
            return wrong(
                "has a prefix that no object can have: at most 900 bytes, parts divided by single \
                 slashes, none of them . or ..",
            );
        }
        Ok(Self { name: name.to_owned(), prefix: prefix.to_owned(), settings })
    }

    /// The prefix.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The address of the bucket, without the prefix.
    pub(crate) fn root(&self) -> String {
        format!("s3://{}", self.name)
    }

    /// Connects, as far as that can be done without asking the service: credentials are looked for.
    pub(crate) async fn connect(&self) -> Result<Arc<AmazonS3>> {
        let failed = |action, source: Box<dyn StdError + Send + Sync>| Error::Store {
            action,
            path: self.to_string(),
            source,
        };
        self.settings.check_host(&self.name)?;
        if let Err(error) = self.settings.check()? {
            return Err(failed("connect to", Box::new(error)));
        }
        let bucket = self.clone();
        let built = blocking::run("connect to a bucket", move || bucket.build()).await?;
        let store = built.map_err(|source| failed("connect to", Box::new(source)))?;
        if !self.settings.has_key() && !self.settings.is_anonymous() {
            let error = self.find_credentials(&store).await;
            error.map_err(|error| failed("connect to", Box::new(error)))?;
        }
        Ok(Arc::new(store))
    }

    fn build(&self) -> Result<object_store::Result<AmazonS3>> {
        let wire = Wire::new(&self.settings)?;
        let builder = self.settings.builder().with_bucket_name(&self.name);
        Ok(builder.with_http_connector(wire).build())
    }

    async fn find_credentials(&self, store: &AmazonS3) -> Result<(), S3Error> {
        let asked = tokio::time::timeout(CREDENTIALS, store.credentials().get_credential());
        let source: Arc<dyn StdError + Send + Sync> = match asked.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Arc::new(error),
            Err(elapsed) => Arc::new(elapsed),
        };
        Err(S3Error::NoCredentials { hint: self.settings.hint(), source: Some(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Bucket> {
        Bucket::parse(text, Settings::default())
    }

    #[test]
    fn a_bucket_and_a_prefix_are_told_apart() {
        for (text, prefix, shown) in [
            ("s3://bucket", "", "s3://bucket"),
            ("s3://bucket/", "", "s3://bucket"),
            ("s3://my-bucket.1/a/b", "a/b", "s3://my-bucket.1/a/b"),
            ("s3://bucket/a b/c%20d/é/", "a b/c%20d/é", "s3://bucket/a b/c%20d/é"),
        ] {
            let bucket = parse(text).unwrap();
            assert_eq!((bucket.prefix(), bucket.to_string().as_str()), (prefix, shown));
        }
    }

    #[test]
    fn what_is_no_bucket_is_refused_and_not_repeated() {
        let long = format!("s3://bucket/{}", "x".repeat(901));
        for text in [
            "s3:bucket/hunter2",
            "s3://",
            "s3://ab",
            "s3:///hunter2",
            "s3://key:hunter2@bucket/prefix",
            "s3://bucket:9000/hunter2",
            "s3://bucket/prefix?hunter2",
            "s3://bucket/prefix#hunter2",
            "s3://bucket//hunter2",
            "s3://bucket/a/../hunter2",
            long.as_str(),
        ] {
            let error = format!("{:?}", parse(text).unwrap_err());
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }
}
