//! Commands that only read: `snapshots`, `show`, `status`, `verify`, `diff`, `hash`.

use keepsum::diff::Side;
use keepsum::location::SourceOptions;
use keepsum::verify::Level;
use keepsum::{ExitCode, StoreLocation};

use crate::args::{Diff, Hash, Named, Status, Verify, VerifyLevel, Waiting};
use crate::failure::Failure;
use crate::session::Session;
use crate::state;

pub(crate) async fn snapshots(session: &Session) -> Result<ExitCode, Failure> {
    let repository = session.repository().await?;
    let list = keepsum::snapshots::list(&repository, &session.context).await?;
    session.print(list.as_slice())?;
    Ok(ExitCode::Done)
}

pub(crate) async fn show(args: &Named, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = args.snapshot.parse()?;
    let repository = session.repository().await?;
    let report = keepsum::snapshots::show(&repository, &snapshot, &session.context).await?;
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
    let report = keepsum::status::status(&repository, &session.context).await?;
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
        Ok(repository) if args.read_only => {
            keepsum::verify::verify(&repository, level, &session.context).await?
        }
        Ok(repository) => {
            keepsum::verify::verify_and_list(&repository, level, &session.context).await?
        }
        Err(damage) => keepsum::verify::not_opened(level, damage)?,
    };
    session.notes(&report.notes);
    session.print(&report)?;
    Ok(if report.findings.is_empty() { ExitCode::Done } else { ExitCode::Damaged })
}

pub(crate) async fn diff(args: &Diff, session: &Session) -> Result<ExitCode, Failure> {
    let (before, after) = (side(&args.before, &args.waiting)?, side(&args.after, &args.waiting)?);
    let stores = [&before, &after].iter().all(|side| matches!(side, Side::Store(..)));
    let repository = if stores { None } else { Some(session.repository().await?) };
    let report =
        keepsum::diff::diff(repository.as_ref(), &before, &after, args.records, &session.context)
            .await?;
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

/// A store where `engine:` stands before it, else a snapshot; no snapshot's name has a colon but a
/// time, which begins with `@`.
fn side(text: &str, waiting: &Waiting) -> Result<Side, Failure> {
    let is_store = text.contains(':') && !text.starts_with('@');
    Ok(if is_store {
        Side::Store(text.parse()?, reading(waiting))
    } else {
        Side::Snapshot(text.parse()?)
    })
}

fn reading(waiting: &Waiting) -> SourceOptions {
    SourceOptions { wait: Some(waiting.wait), ..SourceOptions::default() }
}
