//! Commands that only read: `snapshots`, `show`, `status`, `verify`, `diff`, `hash`.

use backup_core::Source;
use keepsum::diff::{DiffOptions, Side};
use keepsum::location::SourceOptions;
use keepsum::snapshots::Listing;
use keepsum::verify::Level;
use keepsum::{ExitCode, SnapshotSpec, StoreLocation};

use crate::args::{Diff, Hash, Named, Snapshots, Status, Verify, VerifyLevel, Waiting};
use crate::failure::Failure;
use crate::meant;
use crate::page::Listed;
use crate::session::Session;
use crate::state;

/// The table is made of the catalog alone; the document names the databases too.
pub(crate) async fn snapshots(args: &Snapshots, session: &Session) -> Result<ExitCode, Failure> {
    let last = args.last.and_then(|last| usize::try_from(last).ok());
    let listing = Listing { within: args.within.selector()?, last };
    let repository = session.repository().await?;
    let snapshots = if session.prints_documents() {
        keepsum::snapshots::list_with_databases(&repository, &listing).await?
    } else {
        keepsum::snapshots::list(&repository, &listing).await?
    };
    session.print(&Listed { snapshots, selected: listing != Listing::default() })?;
    Ok(ExitCode::Done)
}

pub(crate) async fn show(args: &Named, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::snapshot(&args.snapshot, &args.within)?;
    let repository = session.repository().await?;
    let report = keepsum::snapshots::show(&repository, &snapshot).await?;
    session.notes(&report.unusual);
    session.notes(&report.notes);
    session.print(&report)?;
    Ok(ExitCode::Done)
}

pub(crate) async fn status(args: &Status, session: &Session) -> Result<ExitCode, Failure> {
    let repository = session.repository().await?;
    if let (true, Some(memory)) = (args.accept, state::memory()) {
        let accepted = memory.accept(repository.id(), repository.location()).await;
        accepted.map_err(keepsum::Error::from)?;
    }
    let report = keepsum::status::status(&repository).await?;
    session.print(&report)?;
    Ok(ExitCode::Done)
}

/// What is wrong is a result, printed like any other; the exit code tells it apart.
pub(crate) async fn verify(args: &Verify, session: &Session) -> Result<ExitCode, Failure> {
    let level = match args.level {
        VerifyLevel::List => Level::List,
        VerifyLevel::Full => Level::Full,
    };
    let report = match session.try_repository().await? {
        Ok(repository) if args.read_only => keepsum::verify::verify(&repository, level).await?,
        Ok(repository) => keepsum::verify::verify_and_list(&repository, level).await?,
        Err(damage) => keepsum::verify::not_opened(level, damage)?,
    };
    session.notes(&report.notes);
    session.print(&report)?;
    Ok(if report.findings.is_empty() { ExitCode::Done } else { ExitCode::Damaged })
}

pub(crate) async fn diff(args: &Diff, session: &Session) -> Result<ExitCode, Failure> {
    let (before, after) =
        (Compared::parse(&args.before, args)?, Compared::parse(&args.after, args)?);
    let stores = [&before, &after].iter().all(|side| matches!(side, Compared::Store(_)));
    let repository = if stores { None } else { Some(session.repository().await?) };
    let options = DiffOptions { records: args.records, ..DiffOptions::default() };
    let (before, after) = (before.side(), after.side());
    let context = &session.context;
    let report =
        keepsum::diff::diff(repository.as_ref(), &before, &after, &options, context).await?;
    session.print(&report)?;
    Ok(ExitCode::Done)
}

pub(crate) async fn hash(args: &Hash, session: &Session) -> Result<ExitCode, Failure> {
    let location: StoreLocation = args.source.parse()?;
    let source = location.source(&reading(&args.waiting))?;
    let report = keepsum::hash::hash(source.as_ref(), &session.context).await?;
    session.print(&report)?;
    Ok(ExitCode::Done)
}

/// What is compared.
enum Compared {
    Snapshot(SnapshotSpec),
    Store(Box<dyn Source>),
}

impl Compared {
    /// A store where `engine:` stands before it, else a snapshot; no snapshot's name has a colon but a
    /// time, which begins with `@`.
    fn parse(text: &str, args: &Diff) -> Result<Self, Failure> {
        let is_store = text.contains(':') && !text.starts_with('@');
        Ok(if is_store {
            Self::Store(text.parse::<StoreLocation>()?.source(&reading(&args.waiting))?)
        } else {
            Self::Snapshot(meant::snapshot(text, &args.within)?)
        })
    }

    fn side(&self) -> Side<'_> {
        match self {
            Self::Snapshot(spec) => Side::Snapshot(spec.clone()),
            Self::Store(source) => Side::Store(source.as_ref()),
        }
    }
}

fn reading(waiting: &Waiting) -> SourceOptions {
    SourceOptions { wait: Some(waiting.wait), ..SourceOptions::default() }
}
