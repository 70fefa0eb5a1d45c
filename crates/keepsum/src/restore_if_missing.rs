//! A restore at the start of a program or a container: where the store is missing, and only there.

use std::sync::Arc;
use std::time::Duration;

use archive::catalog::SourceId;
use backup_core::Target;
use backup_core::progress::Context;
use backup_core::source::StoreDescription;
use remote::{Host, Repository, RepositoryLocation};

use crate::report::RestoreReport;
use crate::restore::{self, RestoreOptions};
use crate::selector::without_last_slash;
use crate::{Error, Result, Selector, SnapshotSpec};

/// How long another start that restores into the same place is waited for before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The store was restored.
    Restored(Box<RestoreReport>),
    /// There is a store, which was not touched.
    AlreadyThere,
    /// The repository has no such snapshot; the error says so.
    NoBackup(Error),
}

/// Restores a store where it is missing.
///
/// An existing store is never touched, and the repository not even asked. Of several that start at once
/// one restores, and the others wait for it. Whatever fails is an error: that nothing can be read, or that
/// there is no repository, is never taken for "there is no backup", after which a program would start with
/// an empty store.
///
/// ```no_run
/// # async fn start() -> keepsum::Result<()> {
/// use std::sync::Arc;
/// use backend_sqlite::SqliteTarget;
/// use keepsum::restore_if_missing::RestoreManager;
/// use keepsum::{Host, RepositoryLocation};
/// let repository = RepositoryLocation::parse("s3://backups/app")?;
/// let target = Arc::new(SqliteTarget::path("/var/lib/app/app.db")?);
/// if !RestoreManager::new(repository, target, Host::system("app-1")).restore().await? {
///     println!("there is no backup yet: starting with an empty store");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RestoreManager {
    repository: RepositoryLocation,
    target: Arc<dyn Target>,
    host: Host,
    snapshot: SnapshotSpec,
    within: Selector,
    options: RestoreOptions,
    context: Context,
}

impl RestoreManager {
    /// For the newest snapshot of the target's own source: of this host and the target's absolute location.
    /// Another source is never taken for it; [`name`](Self::name), [`from_host`](Self::from_host) and
    /// [`source`](Self::source) say which one is meant, if not that.
    pub fn new(repository: RepositoryLocation, target: Arc<dyn Target>, host: Host) -> Self {
        Self {
            repository,
            target,
            host,
            snapshot: SnapshotSpec::latest(),
            within: Selector::default(),
            options: RestoreOptions::default(),
            context: Context::default(),
        }
    }

    /// For another snapshot than the newest.
    #[must_use]
    pub fn snapshot(self, snapshot: SnapshotSpec) -> Self {
        Self { snapshot, ..self }
    }

    /// From the source that has this name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        let within = Selector { name: Some(name.into()), ..self.within };
        Self { within, ..self }
    }

    /// From a source of this host.
    #[must_use]
    pub fn from_host(self, host: impl Into<String>) -> Self {
        let within = Selector { host: Some(host.into()), ..self.within };
        Self { within, ..self }
    }

    /// From the source at this location.
    #[must_use]
    pub fn source(self, location: impl Into<String>) -> Self {
        let within = Selector { source: Some(location.into()), ..self.within };
        Self { within, ..self }
    }

    /// A snapshot with this label.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        let within = Selector { label: Some(label.into()), ..self.within };
        Self { within, ..self }
    }

    /// How it is restored. That something is replaced is not asked for.
    #[must_use]
    pub fn options(self, options: RestoreOptions) -> Self {
        Self { options: RestoreOptions { replace: false, ..options }, ..self }
    }

    /// What is told of the progress, and can cancel it.
    #[must_use]
    pub fn context(self, context: Context) -> Self {
        Self { context, ..self }
    }

    /// Restores the store where it is missing. True where there is one afterwards, restored or there before;
    /// false where there is no backup.
    ///
    /// # Errors
    /// Whatever a restore may fail with, and that there is no repository. [`Error::OnlyOthers`] where the
    /// repository has snapshots, but none of the source that is meant.
    pub async fn restore(&self) -> Result<bool> {
        if self.is_there().await? {
            return Ok(true);
        }
        let repository = Repository::open(&self.repository, &self.host, &self.context).await?;
        Ok(!matches!(self.restore_from(&repository).await?, Outcome::NoBackup(_)))
    }

    /// Whether there is a store.
    ///
    /// # Errors
    /// [`Error::Core`] where that cannot be found out.
    pub async fn is_there(&self) -> Result<bool> {
        Ok(self.target.is_occupied().await?)
    }

    /// The snapshot that is meant: nothing is guessed.
    fn meant(&self) -> SnapshotSpec {
        let StoreDescription { engine, location, .. } = self.target.describe();
        let own = SourceId {
            name: None,
            host: self.host.name.clone(),
            location: without_last_slash(location),
            engine,
        };
        let within = self.within.clone().or(self.snapshot.selector());
        self.snapshot.clone().within(within).of_own(own)
    }

    /// As [`restore`](Self::restore), from a repository that is open already.
    ///
    /// # Errors
    /// Whatever a restore may fail with.
    pub async fn restore_from(&self, repository: &Repository) -> Result<Outcome> {
        let Self { target, options, context, .. } = self;
        let repository = &repository.clone().with_context(context);
        let snapshot = &self.meant();
        let mut waits = false;
        loop {
            if self.is_there().await? {
                return Ok(Outcome::AlreadyThere);
            }
            context.check()?;
            let done = restore::restore(repository, snapshot, target.as_ref(), options).await;
            match done {
                Ok(report) => return Ok(Outcome::Restored(Box::new(report))),
                Err(error @ Error::NoSnapshot { .. }) => return Ok(Outcome::NoBackup(error)),
                // Somebody was faster.
                Err(Error::Core(backup_core::Error::Occupied { .. }))
                    if self.is_there().await? => {}
                Err(Error::Core(backup_core::Error::InUse { .. })) => {
                    if !waits {
                        context.note("another one restores into the same place; waiting for it");
                        waits = true;
                    }
                    // It may have ended by now: what is there then is looked at first.
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
