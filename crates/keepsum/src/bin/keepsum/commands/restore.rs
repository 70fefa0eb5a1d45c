//! Commands that make a store: `restore`, `export`, `convert`.

use backup_core::check::CheckLevel;
use backup_core::source::Layout;
use keepsum::location::SourceOptions;
use keepsum::report::{AlreadyThere, RestoreReport};
use keepsum::restore::{self as engine, RestoreOptions};
use keepsum::restore_if_missing::{Outcome, RestoreManager};
use keepsum::{ExitCode, SnapshotSpec, StoreLocation};

use crate::args::{self, CheckChoice, Convert, Export, LayoutChoice, Restore};
use crate::failure::Failure;
use crate::meant;
use crate::session::Session;

pub(crate) async fn restore(args: &Restore, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::to_restore(&args.snapshot, &args.within)?;
    let writing =
        Writing { location: args.target.parse()?, options: options(&args.writing), session };
    if args.salvage {
        return writing.salvage(&snapshot).await;
    }
    if args.if_missing {
        return writing.where_missing(&snapshot).await;
    }
    if args.dry_run {
        return writing.plan(&snapshot).await;
    }
    writing.write(&snapshot).await
}

pub(crate) async fn export(args: &Export, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::snapshot(&args.snapshot, &args.within)?;
    let options = RestoreOptions {
        replace: args.replace,
        database: args.part.database.clone(),
        rename: args.part.rename.clone(),
        ..RestoreOptions::default()
    };
    let location = StoreLocation::portable(&args.file);
    Writing { location, options, session }.write(&snapshot).await
}

pub(crate) async fn convert(args: &Convert, session: &Session) -> Result<ExitCode, Failure> {
    let from: StoreLocation = args.source.parse()?;
    let reading = SourceOptions { wait: Some(args.waiting.wait), ..SourceOptions::default() };
    let source = from.source(&reading)?;
    let writing =
        Writing { location: args.target.parse()?, options: options(&args.writing), session };
    let target = writing.location.target()?;
    let (host, context) = (&session.host, &session.context);
    let convert = keepsum::convert::convert;
    let report = convert(source.as_ref(), target.as_ref(), &writing.options, host, context).await?;
    writing.print(RestoreReport { snapshot: from.to_string(), ..report })
}

/// Where a command writes, and how.
struct Writing<'a> {
    location: StoreLocation,
    options: RestoreOptions,
    session: &'a Session,
}

impl Writing<'_> {
    async fn plan(&self, snapshot: &SnapshotSpec) -> Result<ExitCode, Failure> {
        let target = self.location.target()?;
        let repository = self.session.repository().await?;
        let plan = engine::plan(&repository, snapshot, target.as_ref(), &self.options).await?;
        self.print(plan)
    }

    async fn write(&self, snapshot: &SnapshotSpec) -> Result<ExitCode, Failure> {
        let target = self.location.target()?;
        let repository = self.session.repository().await?;
        let restored = engine::restore(&repository, snapshot, target.as_ref(), &self.options);
        self.print(restored.await?)
    }

    /// A container's start: whatever is there stays, and what went wrong is never taken for "no backup".
    async fn where_missing(&self, snapshot: &SnapshotSpec) -> Result<ExitCode, Failure> {
        let session = self.session;
        let (repository, host) = (session.location()?, session.host.clone());
        let manager = RestoreManager::new(repository, self.location.target()?.into(), host)
            .snapshot(snapshot.clone())
            .options(self.options.clone())
            .context(session.context.clone());
        if manager.is_there().await? {
            return self.already_there();
        }
        let repository = session.repository().await?;
        match manager.restore_from(&repository).await? {
            Outcome::Restored(report) => self.print(*report),
            Outcome::AlreadyThere => self.already_there(),
            Outcome::NoBackup(error) => Err(error.into()),
        }
    }

    fn already_there(&self) -> Result<ExitCode, Failure> {
        self.session.print(&AlreadyThere::new(&self.location))?;
        Ok(ExitCode::Done)
    }

    async fn salvage(&self, snapshot: &SnapshotSpec) -> Result<ExitCode, Failure> {
        let target = self.location.target()?;
        let repository = self.session.repository().await?;
        let salvage = keepsum::salvage::salvage;
        let report = salvage(&repository, snapshot, target.as_ref(), &self.options).await?;
        let is_whole = report.losses.is_empty();
        self.print(report)?;
        Ok(if is_whole { ExitCode::Done } else { ExitCode::Damaged })
    }

    /// Prints a report, with the location as it was given.
    fn print(&self, report: RestoreReport) -> Result<ExitCode, Failure> {
        let report = RestoreReport { target: self.location.to_string(), ..report };
        self.session.notes(&report.unusual);
        self.session.notes(&report.notes);
        self.session.print(&report)?;
        Ok(ExitCode::Done)
    }
}

fn options(writing: &args::Writing) -> RestoreOptions {
    RestoreOptions {
        replace: writing.replace,
        layout: writing.layout.map(|layout| match layout {
            LayoutChoice::Plain => Layout::Plain,
            LayoutChoice::Partitioned => Layout::Partitioned,
        }),
        database: writing.part.database.clone(),
        rename: writing.part.rename.clone(),
        strict: writing.strict,
        check: writing.check.map(|level| match level {
            CheckChoice::None => CheckLevel::None,
            CheckChoice::Quick => CheckLevel::Quick,
            CheckChoice::Full => CheckLevel::Full,
        }),
        ..RestoreOptions::default()
    }
}
