//! `verify`: looks at everything that is live in a repository.

use backup_core::progress::Context;
use remote::Repository;
use remote::verify::{Report, verify as look};

pub use remote::verify::Level;

use crate::Result;
use crate::report::{Finding, VerifyReport};

/// Verifies a repository at `level`.
///
/// Damage is in the report; an error means that something could not be looked at.
pub async fn verify(
    repository: &Repository,
    level: Level,
    context: &Context,
) -> Result<VerifyReport> {
    Ok(report(level, look(repository, level, context).await?))
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
    }
}
