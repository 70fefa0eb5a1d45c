//! What the environment says of a service and of who asks.

use std::collections::BTreeMap;
use std::fmt;

use backup_core::Error as CoreError;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use url::Url;

use super::error::S3Error;
use crate::Result;

/// The service's address: the first that is set counts.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// Says that the endpoint's host names the bucket.
const HOSTED: &str = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST";

/// Variables with secrets in them.
const SECRETS: [&str; 4] =
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_TOKEN", "AWS_SSE_CUSTOMER_KEY_BASE64"];

/// Variables that give credentials in place of a key.
const ROLES: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// The `AWS_…` variables of a process, or others in their place.
///
/// `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// Those of this process.
    pub fn from_env() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::new(std::env::vars_os().filter_map(text))
    }

    /// These variables, as far as they are named `AWS_…` and not empty.
    pub fn new<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(
            variables
                .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    fn endpoint(&self) -> Option<(&'static str, &str)> {
        ENDPOINTS.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// Whether the service is spoken to without TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.endpoint().is_some_and(|(_, url)| url.starts_with("http://"))
    }

    /// Whether requests are not signed.
    pub(super) fn is_anonymous(&self) -> bool {
        self.is_true("AWS_SKIP_SIGNATURE")
    }

    /// Whether there is a key, so that nobody has to be asked for one.
    pub(super) fn has_key(&self) -> bool {
        self.get("AWS_ACCESS_KEY_ID").is_some()
    }

    pub(super) fn ca_bundle(&self) -> Option<&str> {
        self.get("AWS_CA_BUNDLE")
    }

    /// What must not be repeated.
    pub(super) fn secrets(&self) -> Vec<String> {
        SECRETS.iter().filter_map(|name| self.get(name)).map(str::to_owned).collect()
    }

    /// What to do about credentials, where a profile was meant to give them.
    pub(super) fn hint(&self) -> String {
        match self.get("AWS_PROFILE") {
            Some(_) => {
                "profiles are not read: `eval \"$(aws configure export-credentials --format \
                        env)\"` sets what AWS_PROFILE gives"
                    .to_owned()
            }
            None => String::new(),
        }
    }

    /// Refuses what would not work, and what would be ignored in silence.
    ///
    /// # Errors
    /// [`CoreError::Invalid`], which names the variable and never its value if that is secret;
    /// [`S3Error::NoCredentials`].
    pub(super) fn check(&self) -> Result<Result<(), S3Error>> {
        if let Some((name, url)) = self.endpoint() {
            check_endpoint(name, url)?;
        }
        let pair = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match pair.map(|name| self.get(name).is_some()) {
            [true, false] => return Err(incomplete(pair[0], pair[1])),
            [false, true] => return Err(incomplete(pair[1], pair[0])),
            _ => {}
        }
        let given =
            self.has_key() || self.is_anonymous() || ROLES.iter().any(|n| self.0.contains_key(*n));
        let instance =
            !self.is_true("AWS_EC2_METADATA_DISABLED") && self.get("AWS_PROFILE").is_none();
        if given || instance {
            return Ok(Ok(()));
        }
        Ok(Err(S3Error::NoCredentials { hint: self.hint(), source: None }))
    }

    /// Refuses an endpoint that is asked for keys of a bucket that its host does not name: the service
    /// would take the first part of each key for the bucket.
    ///
    /// # Errors
    /// [`CoreError::Invalid`].
    pub(super) fn check_host(&self, bucket: &str) -> Result<()> {
        let hosted = self.is_true(HOSTED);
        let Some((name, url)) = self.endpoint().filter(|_| hosted) else { return Ok(()) };
        check_endpoint(name, url)?;
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_default();
        let named = host.strip_prefix(&bucket.to_ascii_lowercase());
        if named.is_some_and(|rest| rest.starts_with('.')) {
            return Ok(());
        }
        let detail = format!(
            "must begin with the bucket's name where {HOSTED} is set: https://{bucket}.{host}; or leave \
             that variable out"
        );
        Err(CoreError::invalid(name, detail).into())
    }

    /// What `object_store` is told.
    ///
    /// All that its own `from_env` would take, but for the variables of its HTTP client, which is not
    /// used.
    pub(super) fn builder(&self) -> AmazonS3Builder {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &self.0 {
            match name.to_ascii_lowercase().parse() {
                Err(_) | Ok(AmazonS3ConfigKey::Client(_)) => {}
                Ok(key) => builder = builder.with_config(key, value),
            }
        }
        builder
            .with_retry(once)
            // A repository cannot do without.
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // One request a file: services that cannot delete many at a time are plenty.
            .with_disable_bulk_delete(true)
    }
}

fn check_endpoint(name: &'static str, text: &str) -> Result<()> {
    let wrong = |detail: &str| Err(CoreError::invalid(name, detail).into());
    let Ok(url) = Url::parse(text) else {
        return wrong("must be http://HOST[:PORT] or https://…");
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return wrong("must be http://HOST[:PORT] or https://HOST[:PORT]");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "must not hold a name and password; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("must not hold ? or #");
    }
    Ok(())
}

fn incomplete(given: &'static str, missing: &str) -> crate::Error {
    CoreError::invalid(given, format!("is set without {missing}; set both")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];

    fn with(more: &[(&'static str, &'static str)]) -> Settings {
        Settings::new(KEY.iter().chain(more).copied())
    }

    fn told(settings: &Settings) -> String {
        match settings.check() {
            Err(error) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(())) => String::new(),
        }
    }

    #[test]
    fn a_key_is_enough() {
        assert_eq!(told(&with(&[])), "");
        assert_eq!(told(&with(&[("AWS_PROFILE", "work")])), "");
        assert_eq!(told(&Settings::default()), "", "an instance may give a role");
    }

    #[test]
    fn half_a_key_is_refused_without_repeating_it() {
        for half in &KEY {
            let error = told(&Settings::new([*half]));
            assert!(error.contains("set both") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn empty_variables_are_not_set() {
        let settings = with(&[("AWS_SESSION_TOKEN", ""), ("AWS_ENDPOINT_URL", "")]);
        assert_eq!((settings.0.len(), settings.endpoint()), (2, None));
        let error =
            told(&Settings::new([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "")]));
        assert!(error.contains("set both"), "{error}");
    }

    #[test]
    fn a_profile_is_not_ignored_in_silence() {
        let error = told(&Settings::new([("AWS_PROFILE", "work")]));
        assert!(error.contains("profiles are not read"), "{error}");
        assert!(error.contains("export-credentials --format env"), "{error}");
    }

    #[test]
    fn where_instances_give_no_roles_none_is_asked() {
        let error = told(&Settings::new([("AWS_EC2_METADATA_DISABLED", "true")]));
        assert!(error.contains("no credentials were found"), "{error}");
        let web = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")];
        assert_eq!(told(&Settings::new(web)), "");
        assert_eq!(
            told(&Settings::new([("AWS_SKIP_SIGNATURE", "true"), ("AWS_PROFILE", "x")])),
            ""
        );
    }

    #[test]
    fn endpoints_are_urls_without_secrets() {
        for good in ["http://127.0.0.1:9000", "https://s3.example.org", "https://host/path"] {
            assert_eq!(told(&with(&[("AWS_ENDPOINT_URL", good)])), "", "{good}");
        }
        for bad in [
            "localhost:9000",
            "minio",
            "ftp://host",
            "http://",
            "http://user:hunter2@host",
            "https://hunter2@host",
            "http://host?token=hunter2",
        ] {
            let error = told(&with(&[("AWS_ENDPOINT_URL", bad)]));
            assert!(error.starts_with("AWS_ENDPOINT_URL"), "{bad}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let both = with(&[("AWS_ENDPOINT_URL", "nonsense"), ("AWS_ENDPOINT_URL_S3", "http://h")]);
        assert!(told(&both).is_empty() && both.is_plain());
    }

    /// The service took the first part of each key for the bucket: "there is no such bucket".
    #[test]
    fn a_host_that_should_name_the_bucket_and_does_not_is_refused() {
        let check = |url, hosted: &'static str| {
            let settings = with(&[("AWS_ENDPOINT_URL", url), (HOSTED, hosted)]);
            settings.check_host("my-bucket").map_err(|error| error.to_string())
        };
        assert_eq!(check("http://s3.example.org", "false"), Ok(()));
        assert_eq!(check("http://my-bucket.s3.example.org:9000", "true"), Ok(()));
        for wrong in
            ["http://s3.example.org", "http://my-bucket2.example.org", "http://127.0.0.1:1"]
        {
            let error = check(wrong, "true").unwrap_err();
            assert!(error.contains("https://my-bucket."), "{error}");
            assert!(error.contains("AWS_VIRTUAL_HOSTED_STYLE_REQUEST"), "{error}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let settings = with(&[("AWS_SESSION_TOKEN", "hunter2"), ("AWS_TOKEN", "hunter2")]);
        let shown = format!("{settings:?}");
        assert!(shown.contains("AWS_SESSION_TOKEN") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(settings.secrets(), ["hunter2"; 3]);
    }
}
