//! Backing up any source into portable files, in one call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use backup_core::disk::LocalDisk;
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::staging::Form;
use backup_core::target::{Existing, Origin};
use backup_core::{Error, Result, Source, thread};
use futures_util::StreamExt;

use super::build::{Build, Building};
use super::name::encode;
use super::{EXTENSION, FILE_DATABASE};
use crate::sort::SORT_MEMORY;

/// Backing up in one call, for every [`Source`].
#[async_trait]
pub trait DatabaseBackup {
    /// Writes the store's records to `<engine>_backup.bcs` in the folder `dir`, and returns its path.
    ///
    /// A store whose only database is `default` becomes a file; any other a folder of that name,
    /// with one `<database>.bcs` for each, its name percent-encoded. It is built beside its place
    /// and appears there at once, complete and durable, or not at all.
    /// [`PortableSource`](super::PortableSource) reads it.
    ///
    /// # Errors
    /// [`Error::Occupied`] where an earlier backup is there: move it away, nothing is replaced.
    /// [`Error::NotFound`] where `dir` does not exist. [`Error::Unsupported`] for a source that
    /// gives no records.
    ///
    /// ```
    /// use archive::portable::DatabaseBackup;
    /// use backup_core::Source;
    /// use backup_core::progress::Context;
    ///
    /// async fn keep(store: &dyn Source) -> backup_core::Result<()> {
    ///     let path = store.backup_to("/var/backups".as_ref(), &Context::default()).await?;
    ///     println!("backed up to {}", path.display());
    ///     Ok(())
    /// }
    /// ```
    async fn backup_to(&self, dir: &Path, context: &Context) -> Result<PathBuf>;
}

#[async_trait]
impl<S: Source + ?Sized> DatabaseBackup for S {
    async fn backup_to(&self, dir: &Path, context: &Context) -> Result<PathBuf> {
        let store = self.describe();
        let snapshot = self.snapshot(View::Records, context).await?;
        let info = snapshot.info();
        let Some(records) = snapshot.records() else {
            let what = format!("writing records of {}", store.location);
            return Err(Error::unsupported(what, "it gives files only; back it up as files"));
        };
        let databases: Vec<_> = info.databases.iter().map(|found| found.name.clone()).collect();
        let form = match &databases[..] {
            [name] if name == FILE_DATABASE => Form::File { companions: &[], logs: &[] },
            _ => Form::Folder { last: None },
        };
        let path = dir.join(format!("{}_backup{EXTENSION}", encode(&store.engine)));
        let origin = Origin {
            snapshot: store.location,
            position: info.position.to_string(),
            taken: utc(now()),
            salvaged: false,
            ownership: info.ownership.clone(),
        };
        let count = databases.len();
        let mut build = begin(path.clone(), form, databases, context.clone()).await?;
        context.phase("writing portable files", None);
        for database in 0..count {
            let mut batches = records.scan(database, None);
            while let Some(batch) = batches.next().await {
                context.check()?;
                let batch = batch?;
                context.advance(batch.bytes() as u64, batch.len() as u64);
                build = thread::call("writing a portable file", move || {
                    build.load(database, &batch)?;
                    Ok(build)
                })
                .await?;
            }
        }
        let restored = thread::call("finishing a backup", move || build.finish(&origin)).await?;
        restored.notes.into_iter().for_each(|note| context.note(note));
        Ok(path)
    }
}

async fn begin(
    path: PathBuf,
    form: Form,
    databases: Vec<String>,
    context: Context,
) -> Result<Build> {
    thread::call("beginning a backup", move || {
        Build::begin(Building {
            disk: Arc::new(LocalDisk),
            path: &path,
            form,
            existing: Existing::Refuse,
            databases,
            memory: SORT_MEMORY,
            context,
        })
    })
    .await
}

/// The time for the sidecar.
#[expect(clippy::disallowed_methods, reason = "this call is the edge; nothing decides by it")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A time as RFC 3339 has it, in UTC, to the second.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, with years that begin in March (Howard Hinnant, chrono-compatible algorithms).
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let at = |seconds| utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
