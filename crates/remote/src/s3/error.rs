//! What a service said that did not do what was asked, and what to see to.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backup_core::error::then;

/// Why a service did not do what was asked.
///
/// Holds nothing of the request, and of the answer only what [`Answer`] has: services send parts of a
/// request back, session tokens included.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum S3Error {
    /// It will refuse the same request again.
    #[error("{advice} ({answer})")]
    Refused {
        /// What it means and what to do about it.
        advice: String,
        /// What it said.
        answer: Answer,
    },
    /// It asks for fewer requests.
    #[error("the service is asked too much at a time; try again later ({answer})")]
    Throttled {
        /// How long it asks to wait.
        after: Option<Duration>,
        /// What it said.
        answer: Answer,
    },
    /// It failed.
    #[error("the service failed; try again later ({answer})")]
    Failed {
        /// What it said.
        answer: Answer,
    },
    /// No connection to it.
    #[error("{endpoint} cannot be reached; check the network, AWS_ENDPOINT_URL and AWS_REGION")]
    Unreachable {
        /// Its scheme, host and port.
        endpoint: String,
        /// What the system said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The connection ended before the answer came: what was asked may be done or not.
    #[error("the connection to {endpoint} broke")]
    Broken {
        /// Its scheme, host and port.
        endpoint: String,
        /// What the system said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// It is not who it says it is, as far as this machine can tell.
    #[error("the certificate of {endpoint} {advice}")]
    Untrusted {
        /// Its scheme, host and port.
        endpoint: String,
        /// What is wrong with the certificate, and what to do about it.
        advice: String,
        /// What the TLS library said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// It was spoken to in TLS, and does not speak it.
    #[error("{endpoint} does not speak TLS; write http:// in AWS_ENDPOINT_URL")]
    NoTls {
        /// Its scheme, host and port.
        endpoint: String,
        /// What the TLS library said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// There is nothing to sign requests with.
    #[error(
        "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a \
         role gives them{}",
        then(hint)
    )]
    NoCredentials {
        /// More of what to do, or empty.
        hint: String,
        /// What whoever was asked for them said.
        #[source]
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },
}

/// What a service answered, as far as it is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The error's code, such as `AccessDenied`; empty where there was none.
    pub code: String,
    /// The error's message; empty where there was none.
    pub message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl S3Error {
    /// In a few words.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Unreachable { endpoint, .. } => format!("no connection to {endpoint}"),
            Self::Broken { endpoint, .. } => format!("the connection to {endpoint} broke"),
            Self::Throttled { answer, .. } | Self::Failed { answer } => answer.to_string(),
            error => error.to_string(),
        }
    }

    /// The one among an error and its causes.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref() {
                return Some(found);
            }
            next = cause.source();
        }
        None
    }
}
