//! `verify`: looks at everything that is live in a repository, and lists what is damaged.

use backup_core::ErrorKind;
use remote::Repository;
use remote::damage::mark;
use remote::verify::{Report, verify as look};

pub use remote::verify::Level;

use crate::report::{Finding, VerifyReport};
use crate::{Error, Result};

/// Verifies a repository at `level`, and writes nothing.
///
/// Damage is in the report; an error means that something could not be looked at.
pub async fn verify(repository: &Repository, level: Level) -> Result<VerifyReport> {
    Ok(report(level, look(repository, level, repository.context()).await?))
}

/// Verifies a repository at `level`, and commits what is damaged, so that no backup reuses it: the next
/// one stores it anew.
///
/// What cannot be committed is said in the report's notes; the findings are the same.
pub async fn verify_and_list(repository: &Repository, level: Level) -> Result<VerifyReport> {
    let found = look(repository, level, repository.context()).await?;
    let marked = mark(repository, &found, level).await;
    let mut report = report(level, found);
    match marked {
        Ok(marked) => report.listed_damaged = Some(marked.listed),
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error.into()),
        Err(error) => report.notes.push(not_listed(&error.into())),
    }
    Ok(report)
}

fn not_listed(error: &Error) -> String {
    format!(
        "what is damaged could not be listed in the repository ({error}), so the next backup may \
         reuse it: verify again from where the repository can be written, or back up everything anew"
    )
}

/// The report of a repository whose `opening` failed, where that is damage.
///
/// # Errors
/// `opening` itself, where it is not.
pub fn not_opened(level: Level, opening: remote::Error) -> Result<VerifyReport> {
    let mut found = Report::default();
    found.note(opening, "every snapshot")?;
    Ok(report(level, found))
}

fn report(level: Level, found: Report) -> VerifyReport {
    let finding = |finding: remote::verify::Finding| Finding {
        kind: finding.kind.word(),
        what: finding.what,
        detail: finding.detail,
    };
    VerifyReport {
        level: match level {
            Level::List => "list",
            Level::Full => "full",
        },
        findings: found.findings.into_iter().map(finding).collect(),
        objects_checked: found.objects_checked,
        bytes_read: found.bytes_read,
        unreached_objects: found.unreached.objects,
        unreached_bytes: found.unreached.bytes,
        listed_damaged: None,
        notes: Vec::new(),
    }
}
