//! Commands that make a store: `restore`, `export`, `convert`.

use backup_core::source::Layout;
use keepsum::report::RestoreReport;
use keepsum::restore::{self as engine, RestoreOptions};
use keepsum::{ExitCode, SnapshotSpec, StoreLocation};

use crate::args::{Convert, Export, LayoutChoice, Restore, Writing};
use crate::failure::Failure;
use crate::session::Session;

pub(crate) async fn restore(args: &Restore, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot: SnapshotSpec = args.snapshot.parse()?;
    let target: StoreLocation = args.target.parse()?;
    let options = options(&args.writing);
    if args.salvage {
        return salvage(&snapshot, &target, &options, session).await;
    }
    if !args.dry_run {
        return write(&snapshot, &target, &options, session).await;
    }
    let repository = session.repository().await?;
    let plan = engine::plan(&repository, &snapshot, &target, &options, &session.context).await?;
    print(&plan, session)
}

pub(crate) async fn export(args: &Export, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot: SnapshotSpec = args.snapshot.parse()?;
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
    let report =
        keepsum::convert::convert(&source, &target, &options, &session.host, &session.context)
            .await?;
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
        check: writing.check,
    }
}
