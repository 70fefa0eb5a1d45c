//! The command `keepsum`: it parses, calls the engine of the library, and prints.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod flags;
mod interrupt;
mod logging;
mod meant;
mod output;
mod page;
mod progress;
mod scheduling;
mod session;
mod state;
mod usage;

use std::process;
use std::thread;

use clap::Parser;
use keepsum::ExitCode;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

fn main() -> process::ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => answer(&cli),
        Err(error) => usage::answer(&error),
    };
    process::ExitCode::from(code as u8)
}

/// Runs the command and says what went wrong, if anything did.
fn answer(cli: &Cli) -> ExitCode {
    let output = Output::new(cli.common.json);
    let result = run(cli, output);
    result.unwrap_or_else(|failure| output.failure(&failure))
}

/// Threads that hash, compress, and read and write files: one for each processor, and some that wait for the
/// disk. More of them would be no faster, and the allocator keeps memory back for each.
fn blocking_threads() -> usize {
    const WAITING: usize = 2;
    thread::available_parallelism().map_or(1, usize::from) + WAITING
}

fn run(cli: &Cli, output: Output) -> Result<ExitCode, Failure> {
    logging::start(&cli.common);
    scheduling::let_others_finish();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads())
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let session = Session::start(&cli.common, output)?;
        let result = commands::run(&cli.command, &session).await;
        session.reporter.finish();
        result
    })
}
