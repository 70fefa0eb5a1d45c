//! Which failures of an object store are worth another try, and when.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use crate::Result;
use crate::env::Host;
#[cfg(feature = "aws")]
use crate::s3::S3Error;

/// The slowest that a request may move its bytes, in bytes a second.
const SLOWEST: u64 = 16 << 10;

/// How often a store is tried that has never answered: its address may be wrong.
const FIRST_CONTACT: u32 = 3;

/// The longest wait that a store may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// How long and how often requests are tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often a request is made at most, unless its store is waited for.
    pub attempts: u32,
    /// About how long to wait before the second attempt; doubled before each further one.
    pub first_pause: Duration,
    /// The longest wait before an attempt.
    pub longest_pause: Duration,
    /// How long one attempt may take, beside the time for the bytes that it moves, for which 16 KiB in
    /// each second are enough.
    pub timeout: Duration,
    /// How long a request is made again while its store is away, if the store has answered before:
    /// servers take their time to start again.
    pub outage: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            timeout: Duration::from_mins(1),
            outage: Duration::from_mins(2),
        }
    }
}

impl Patience {
    /// How long an attempt that moves so many bytes may take.
    pub(crate) fn allowed(&self, bytes: u64) -> Duration {
        self.timeout + Duration::from_secs(bytes / SLOWEST)
    }

    /// How long to wait after `failed` attempts of which the last failed like this; nothing where that is
    /// the end. `met` says how well the store is known.
    pub(crate) fn plan(
        &self,
        verdict: Verdict,
        failed: u32,
        met: Met,
        host: &Host,
    ) -> Result<Option<Duration>> {
        let (attempts, least) = match verdict {
            Verdict::Refused => return Ok(None),
            Verdict::Unreachable if met == Met::Never => {
                (self.attempts.min(FIRST_CONTACT), Duration::ZERO)
            }
            Verdict::Unreachable | Verdict::Away | Verdict::Failed => {
                (self.attempts, Duration::ZERO)
            }
            Verdict::Throttled(after) => {
                (self.attempts.saturating_mul(2), after.unwrap_or_default())
            }
        };
        // What is left of the time for which the store is waited for.
        let left = match met {
            Met::Answered { since } if verdict.is_away() => self.outage.saturating_sub(since),
            _ => Duration::ZERO,
        };
        if failed >= attempts && left.is_zero() {
            return Ok(None);
        }
        let pause = self.pause(failed, host)?.max(least.min(LONGEST_ASKED));
        // One more attempt at the very end.
        Ok(Some(if failed >= attempts { pause.min(left) } else { pause }))
    }

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

/// What to make of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Asking again gives the same answer: absent, taken, denied, unsupported, misconfigured.
    Refused,
    /// The same request may succeed a little later.
    Failed,
    /// It may once the store is back: it has no time for anybody, or fell silent.
    Away,
    /// It will, once the store is asked less; it may have said how long to wait.
    #[cfg_attr(
        not(any(feature = "aws", test)),
        expect(dead_code, reason = "no store without a service behind it says so")
    )]
    Throttled(Option<Duration>),
    /// There is no connection.
    Unreachable,
}

impl Verdict {
    /// Whether it is the store that is away, and not the request that fails.
    pub(crate) fn is_away(self) -> bool {
        matches!(self, Self::Away | Self::Throttled(_) | Self::Unreachable)
    }
}

/// How well a store is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing was ever heard of it.
    Never,
    /// It said something, and never what was asked for.
    Heard,
    /// It has answered; the request fails since so long.
    Answered { since: Duration },
}

/// What to make of a failure of a store of this kind.
pub(crate) fn judge(error: &object_store::Error, kind: Kind) -> Verdict {
    #[cfg(feature = "aws")]
    if let Some(error) = S3Error::find(error) {
        return judge_s3(error);
    }
    let again = match error {
        object_store::Error::Generic { source, .. } => match (kind, io_kind(source.as_ref())) {
            (Kind::Local, Some(found)) => matches!(
                found,
                io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::StaleNetworkFileHandle
            ),
            (Kind::Local, None) => source.is::<TimedOut>(),
            (Kind::Remote, Some(_)) => return Verdict::Away,
            (Kind::Remote, None) if source.is::<TimedOut>() => return Verdict::Away,
            (Kind::Remote, None) => true,
        },
        _ => false,
    };
    if again { Verdict::Failed } else { Verdict::Refused }
}

#[cfg(feature = "aws")]
fn judge_s3(error: &S3Error) -> Verdict {
    match error {
        S3Error::Throttled { after, .. } => Verdict::Throttled(*after),
        S3Error::Failed { answer } if answer.status == 409 => Verdict::Failed,
        S3Error::Failed { .. } | S3Error::Broken { .. } => Verdict::Away,
        S3Error::Unreachable { .. } => Verdict::Unreachable,
        S3Error::Refused { .. }
        | S3Error::Untrusted { .. }
        | S3Error::NoTls { .. }
        | S3Error::NoCredentials { .. } => Verdict::Refused,
    }
}

/// What of a store's error is worth telling.
pub(crate) fn cause(error: object_store::Error) -> Box<dyn StdError + Send + Sync> {
    #[cfg(feature = "aws")]
    if let Some(found) = S3Error::find(&error) {
        return Box::new(found.clone());
    }
    match error {
        object_store::Error::Generic { store: OURS, source } => source,
        error => Box::new(error),
    }
}

/// What of a failure is told while its store is waited for.
pub(crate) fn brief(error: &object_store::Error) -> String {
    #[cfg(feature = "aws")]
    if let Some(found) = S3Error::find(error) {
        return found.brief();
    }
    match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

/// Whether what [`cause`] gave says that the store will refuse the same request again.
pub(crate) fn is_refusal(cause: &(dyn StdError + 'static)) -> bool {
    #[cfg(feature = "aws")]
    if let Some(error) = cause.downcast_ref() {
        return judge_s3(error) == Verdict::Refused;
    }
    matches!(
        cause.downcast_ref(),
        Some(
            object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
        )
    )
}

/// Whose errors our own are, in the terms of `object_store`.
const OURS: &str = "keepsum";

/// An error of ours in place of a store's.
pub(crate) fn own(source: impl Into<Box<dyn StdError + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: OURS, source: source.into() }
}

/// An attempt that took too long.
#[derive(Debug, thiserror::Error)]
#[error("the store did not answer within {} s; try again later", .0.as_secs_f32())]
pub(crate) struct TimedOut(pub(crate) Duration);

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
            let verdict = judge(&generic(io::Error::from(kind)), Kind::Local);
            assert_eq!(verdict, Verdict::Refused, "{kind}");
        }
        assert_eq!(judge(&generic("a wrong range"), Kind::Local), Verdict::Refused);
        let interrupted = generic(io::Error::from(io::ErrorKind::Interrupted));
        assert_eq!(judge(&interrupted, Kind::Local), Verdict::Failed);
        let late = own(TimedOut(Duration::from_secs(1)));
        assert_eq!(judge(&late, Kind::Local), Verdict::Failed);
    }

    #[test]
    fn a_distant_store_may_recover_from_what_it_has_no_name_for() {
        assert_eq!(judge(&generic("500"), Kind::Remote), Verdict::Failed);
        let reset = generic(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(judge(&reset, Kind::Remote), Verdict::Away);
        let late = own(TimedOut(Duration::from_secs(1)));
        assert_eq!(judge(&late, Kind::Remote), Verdict::Away);
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
            assert_eq!(judge(&error, Kind::Remote), Verdict::Refused, "{error}");
        }
    }

    #[test]
    fn how_often_and_how_long_depends_on_the_failure() {
        let (host, patience) = (Host::system("test"), Patience::default());
        let plan = |verdict, failed, met| patience.plan(verdict, failed, met, &host).unwrap();
        let tries = |verdict, met| (1..99).find(|failed| plan(verdict, *failed, met).is_none());
        let answered = Met::Answered { since: Duration::from_mins(2) };
        assert_eq!(tries(Verdict::Refused, answered), Some(1));
        for met in [Met::Heard, answered] {
            assert_eq!(tries(Verdict::Failed, met), Some(6));
            assert_eq!(tries(Verdict::Away, met), Some(6));
            assert_eq!(tries(Verdict::Unreachable, met), Some(6));
            assert_eq!(tries(Verdict::Throttled(None), met), Some(12));
        }
        assert_eq!(tries(Verdict::Unreachable, Met::Never), Some(3));
        let asked = |seconds| Verdict::Throttled(Some(Duration::from_secs(seconds)));
        assert_eq!(plan(asked(30), 1, Met::Heard), Some(Duration::from_secs(30)));
        assert_eq!(plan(asked(1 << 40), 1, Met::Heard), Some(LONGEST_ASKED));
        assert!(plan(asked(0), 3, Met::Heard).unwrap() >= Duration::from_millis(400));
    }

    /// A store that has answered is waited for, however often it is asked meanwhile; what it refuses, and
    /// what fails for another reason, is not.
    #[test]
    fn a_store_that_is_away_is_waited_for_until_patience_ends() {
        let (host, patience) = (Host::system("test"), Patience::default());
        let plan = |verdict, since| {
            let met = Met::Answered { since: Duration::from_secs(since) };
            patience.plan(verdict, 50, met, &host).unwrap()
        };
        for away in [Verdict::Away, Verdict::Unreachable, Verdict::Throttled(None)] {
            assert!(plan(away, 20).unwrap() >= patience.longest_pause / 2, "{away:?}");
            assert_eq!(plan(away, 119), Some(Duration::from_secs(1)), "the last one: {away:?}");
            assert_eq!(plan(away, 120), None, "{away:?}");
            assert_eq!(patience.plan(away, 50, Met::Heard, &host).unwrap(), None, "{away:?}");
        }
        assert_eq!((plan(Verdict::Failed, 0), plan(Verdict::Refused, 0)), (None, None));
    }

    #[test]
    fn more_bytes_may_take_longer() {
        let patience = Patience::default();
        assert_eq!(patience.allowed(0), Duration::from_mins(1));
        assert_eq!(patience.allowed(32 << 20), Duration::from_secs(60 + 2048));
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
