//! Commands that make a store: `restore`, `export`, `convert`.

use backup_core::check::CheckLevel;
use backup_core::source::Layout;
use keepsum::location::SourceOptions;
use keepsum::report::{AlreadyThere, RestoreReport};
use keepsum::restore::{self as engine, RestoreOptions};
use keepsum::restore_if_missing::{Outcome, RestoreManager};
use keepsum::{ExitCode, SnapshotSpec, StoreLocation};

use crate::args::{CheckChoice, Convert, Export, LayoutChoice, Restore, Writing};
use crate::failure::Failure;
use crate::meant;
use crate::session::Session;

pub(crate) async fn restore(args: &Restore, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::to_restore(&args.snapshot, &args.within)?;
    let target: StoreLocation = args.target.parse()?;
    let options = options(&args.writing);
    if args.salvage {
        return salvage(&snapshot, &target, &options, session).await;
    }
    if args.if_missing {
        return where_missing(&snapshot, &target, &options, session).await;
    }
    if !args.dry_run {
        return write(&snapshot, &target, &options, session).await;
    }
    let repository = session.repository().await?;
    let plan = engine::plan(&repository, &snapshot, &target, &options, &session.context).await?;
    print(&plan, session)
}

pub(crate) async fn export(args: &Export, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::snapshot(&args.snapshot, &args.within)?;
    let target = StoreLocation::portable(&args.file);
    let options = RestoreOptions {
        replace: args.replace,
        database: args.part.database.clone(),
        rename: args.part.rename.clone(),
        ..RestoreOptions::default()
    };
    write(&snapshot, &target, &options, session).await
}

pub(crate) async fn convert(args: &Convert, session: &Session) -> Result<ExitCode, Failure> {
    let source: StoreLocation = args.source.parse()?;
    let target: StoreLocation = args.target.parse()?;
    let options = options(&args.writing);
    let reading = SourceOptions { wait: Some(args.waiting.wait), ..SourceOptions::default() };
    let (host, context) = (&session.host, &session.context);
    let report =
        keepsum::convert::convert(&source, &reading, &target, &options, host, context).await?;
    print(&report, session)
}

async fn write(
    snapshot: &SnapshotSpec,
    target: &StoreLocation,
    options: &RestoreOptions,
    session: &Session,
) -> Result<ExitCode, Failure> {
    let repository = session.repository().await?;
    let report =
        engine::restore(&repository, snapshot, target, options, &session.host, &session.context)
            .await?;
    print(&report, session)
}

/// A container's start: whatever is there stays, and what went wrong is never taken for "no backup".
async fn where_missing(
    snapshot: &SnapshotSpec,
    target: &StoreLocation,
    options: &RestoreOptions,
    session: &Session,
) -> Result<ExitCode, Failure> {
    let (repository, host) = (session.location()?, session.host.clone());
    let manager = RestoreManager::new(repository, target.clone(), host)
        .snapshot(snapshot.clone())
        .options(options.clone())
        .context(session.context.clone());
    if manager.is_there().await? {
        session.print(&AlreadyThere::new(target))?;
        return Ok(ExitCode::Done);
    }
    let repository = session.repository().await?;
    match manager.restore_from(&repository).await? {
        Outcome::Restored(report) => print(&report, session),
        Outcome::AlreadyThere => {
            session.print(&AlreadyThere::new(target))?;
            Ok(ExitCode::Done)
        }
        Outcome::NoBackup(error) => Err(error.into()),
    }
}

async fn salvage(
    snapshot: &SnapshotSpec,
    target: &StoreLocation,
    options: &RestoreOptions,
    session: &Session,
) -> Result<ExitCode, Failure> {
    let (host, context) = (&session.host, &session.context);
    let repository = session.repository().await?;
    let done = keepsum::salvage::salvage(&repository, snapshot, target, options, host, context);
    let report = done.await?;
    print(&report, session)?;
    Ok(if report.losses.is_empty() { ExitCode::Done } else { ExitCode::Damaged })
}

fn print(report: &RestoreReport, session: &Session) -> Result<ExitCode, Failure> {
    session.notes(&report.unusual);
    session.notes(&report.notes);
    session.print(report)?;
    Ok(ExitCode::Done)
}

fn options(writing: &Writing) -> RestoreOptions {
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
    }
}
