//! The commands: each calls the engine once and prints its report.

mod backup;
mod inspect;
mod restore;

use clap::CommandFactory;
use clap_complete::Shell;
use keepsum::ExitCode;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// Runs a command to its end and prints the result.
pub(crate) async fn run(command: &Command, session: &Session) -> Result<ExitCode, Failure> {
    match command {
        Command::Init => backup::init(session).await,
        Command::Backup(args) => backup::backup(args, session).await,
        Command::Import(args) => backup::import(args, session).await,
        Command::Prove(args) => backup::prove(args, session).await,
        Command::Snapshots(args) => inspect::snapshots(args, session).await,
        Command::Show(args) => inspect::show(args, session).await,
        Command::Status(args) => inspect::status(args, session).await,
        Command::Verify(args) => inspect::verify(args, session).await,
        Command::Diff(args) => inspect::diff(args, session).await,
        Command::Hash(args) => inspect::hash(args, session).await,
        Command::Restore(args) => restore::restore(args, session).await,
        Command::Export(args) => restore::export(args, session).await,
        Command::Convert(args) => restore::convert(args, session).await,
        Command::Completions { shell } => completions(*shell),
    }
}

fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keepsum", &mut script);
    output::raw(&script)?;
    Ok(ExitCode::Done)
}
