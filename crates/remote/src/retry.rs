//! Which failures of an object store are worth another try, and when.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use crate::Result;
use crate::env::Host;

/// How long and how often requests are tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often a request is made at most.
    pub attempts: u32,
    /// About how long to wait before the second attempt; doubled before each further one.
    pub first_pause: Duration,
    /// The longest wait before an attempt.
    pub longest_pause: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            timeout: Duration::from_mins(10),
        }
    }
}

impl Patience {
    /// How long to wait after `failed` failed attempts: half of the doubled pause, and up to
    /// another half at random, so that writers that failed together do not return together.
    pub(crate) fn pause(&self, failed: u32, host: &Host) -> Result<Duration> {
        let doublings = failed.saturating_sub(1).min(16);
        let whole = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        Ok(whole.mul_f64(0.5 + share(host)? / 2.0))
    }

    /// How long to wait after `lost` races with other writers: a random share of a time that grows with
    /// them, so that the next one is not lost to the same writers.
    pub(crate) fn turn(&self, lost: u32, host: &Host) -> Result<Duration> {
        let whole = self.first_pause.saturating_mul(lost.min(8)) / 4;
        Ok(whole.min(self.longest_pause).mul_f64(share(host)?))
    }
}

/// A random number from 0 to 1.
fn share(host: &Host) -> Result<f64> {
    Ok(f64::from(u16::from_le_bytes(host.random()?)) / f64::from(u16::MAX))
}

/// What kind of store an error came from: a local one fails for good where a remote one may recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Remote,
}

/// Whether the same request may succeed a little later.
pub(crate) fn is_transient(error: &object_store::Error, kind: Kind) -> bool {
    match error {
        object_store::Error::Generic { source, .. } => match (kind, io_kind(source.as_ref())) {
            (Kind::Local, Some(found)) => matches!(
                found,
                io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::StaleNetworkFileHandle
            ),
            (Kind::Local, None) => source.is::<tokio::time::error::Elapsed>(),
            (Kind::Remote, _) => true,
        },
        // Absent, taken, denied, unsupported, misconfigured: asking again gives the same answer.
        _ => false,
    }
}

/// The kind of the first system error among the causes.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn a_full_or_forbidden_disk_is_not_tried_again() {
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::NotADirectory,
            io::ErrorKind::Other,
        ] {
            assert!(!is_transient(&generic(io::Error::from(kind)), Kind::Local), "{kind}");
        }
        assert!(!is_transient(&generic("a wrong range"), Kind::Local));
        let interrupted = generic(io::Error::from(io::ErrorKind::Interrupted));
        assert!(is_transient(&interrupted, Kind::Local));
    }

    #[test]
    fn a_distant_store_may_recover_from_what_it_has_no_name_for() {
        assert!(is_transient(&generic("500"), Kind::Remote));
        assert!(is_transient(
            &generic(io::Error::from(io::ErrorKind::ConnectionReset)),
            Kind::Remote
        ));
    }

    #[test]
    fn a_plain_answer_is_not_asked_for_again() {
        let path = String::new;
        for error in [
            object_store::Error::NotFound { path: path(), source: "".into() },
            object_store::Error::AlreadyExists { path: path(), source: "".into() },
            object_store::Error::PermissionDenied { path: path(), source: "".into() },
            object_store::Error::Unauthenticated { path: path(), source: "".into() },
            object_store::Error::NotSupported { source: "".into() },
        ] {
            assert!(!is_transient(&error, Kind::Remote), "{error}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let host = Host::system("test");
        let patience = Patience::default();
        for failed in [1, 2, 3, 10, u32::MAX] {
            let pause = patience.pause(failed, &host).unwrap();
            let whole = patience.first_pause * 2_u32.pow(failed.min(10) - 1);
            let whole = whole.min(patience.longest_pause);
            assert!(pause >= whole / 2 && pause <= whole, "{failed}: {pause:?}");
            assert!(patience.turn(failed, &host).unwrap() <= patience.longest_pause);
        }
    }
}
