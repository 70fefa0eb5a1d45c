//! Commands that write into the repository: `init`, `backup`, `import`, `prove`.

use keepsum::backup::{self as engine, BackupOptions, ProofChoice, ShapeChoice};
use keepsum::location::SourceOptions;
use keepsum::{Engines, Error, ExitCode, Repository, StoreLocation};

use crate::args::{Backup, Import, Named, Proof, Remarks, Selection};
use crate::failure::Failure;
use crate::meant;
use crate::page::Made;
use crate::session::Session;

pub(crate) async fn init(session: &Session) -> Result<ExitCode, Failure> {
    let location = session.location()?;
    let repository =
        Repository::init(&location, &session.host, &session.context).await.map_err(Error::from)?;
    let report = keepsum::status::status(&repository).await?;
    session.print(&Made(report))?;
    Ok(ExitCode::Done)
}

pub(crate) async fn backup(args: &Backup, session: &Session) -> Result<ExitCode, Failure> {
    let source: StoreLocation = args.source.parse()?;
    let options = BackupOptions {
        shape: shape(args),
        proof: match args.proof {
            Proof::Physical => ProofChoice::Physical,
            Proof::Logical => ProofChoice::Logical,
        },
        fresh: args.fresh,
        name: args.remarks.name.clone().or_else(meant::name_of_environment),
        ..remarks(&args.remarks)
    };
    let selection = SourceOptions { wait: Some(args.waiting.wait), ..selection(&args.selection) };
    store(&source, &selection, &options, &args.remarks, session).await
}

pub(crate) async fn import(args: &Import, session: &Session) -> Result<ExitCode, Failure> {
    let source = StoreLocation::portable(&args.file);
    let options = BackupOptions { shape: Some(ShapeChoice::Records), ..remarks(&args.remarks) };
    store(&source, &SourceOptions::default(), &options, &args.remarks, session).await
}

async fn store(
    source: &StoreLocation,
    selection: &SourceOptions,
    options: &BackupOptions,
    remarks: &Remarks,
    session: &Session,
) -> Result<ExitCode, Failure> {
    let source = source.source(selection)?;
    let host = session.host_named(remarks.host.as_deref());
    let repository = session.repository().await?.on_host(&host);
    let report = engine::backup(&repository, source.as_ref(), options).await?;
    session.notes(&report.unusual);
    session.notes(&report.notes);
    session.print(&report)?;
    Ok(ExitCode::Done)
}

pub(crate) async fn prove(args: &Named, session: &Session) -> Result<ExitCode, Failure> {
    let snapshot = meant::snapshot(&args.snapshot, &args.within)?;
    let repository = session.repository().await?;
    let report = keepsum::prove::prove(&repository, &snapshot, &Engines::default()).await?;
    session.notes(&report.unusual);
    session.notes(&report.notes);
    session.print(&report)?;
    Ok(ExitCode::Done)
}

fn shape(args: &Backup) -> Option<ShapeChoice> {
    if args.records { Some(ShapeChoice::Records) } else { args.files.then_some(ShapeChoice::Files) }
}

fn remarks(remarks: &Remarks) -> BackupOptions {
    BackupOptions {
        name: remarks.name.clone(),
        label: remarks.label.clone(),
        description: remarks.description.clone(),
        ..BackupOptions::default()
    }
}

fn selection(selection: &Selection) -> SourceOptions {
    SourceOptions {
        include: selection.include.clone(),
        exclude: selection.exclude.clone(),
        quiesce: selection.quiesce.clone(),
        block_writers: selection.block_writers,
        scratch: selection.scratch.clone(),
        wait: None,
        wal_dir: selection.wal_dir.clone(),
        also_in: [&selection.db_path[..], &selection.cf_path].concat(),
    }
}
