//! The tasks of this project: `cargo xtask help` lists them.
//!
//! A task does its own set-up, prints what it runs, and ends with a non-zero exit and the command to
//! repeat where something failed. Nothing of the workspace is linked in: this program must build and
//! report when the rest of the tree does not compile.

mod artifacts;
mod bench;
mod cache;
mod demo;
mod environment;
mod fingerprint;
mod machine;
mod package;
mod plant;
mod process;
mod rocksdb;
#[cfg(test)]
mod scratch;
mod services;
mod stopwatch;
mod test_all;
mod test_report;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The tasks of this project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = CACHE_HELP)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const CACHE_HELP: &str = "\
Everything built or installed is kept outside the clone, in $KEEPSUM_CACHE, else in
$XDG_CACHE_HOME/keepsum, else in ~/.cache/keepsum. Removing that folder is always safe; the next
task makes what it needs anew (RocksDB takes about 15 minutes on two cores).";

#[derive(Subcommand)]
enum Task {
    /// Run every check and every test; what continuous integration runs
    TestAll(test_all::Args),
    /// Back up, change, verify and restore a store of real data, and say what happened
    Demo(demo::Args),
    /// Measure speed and memory beside what a user would use instead, and print the ratios
    Bench(bench::Args),
    /// Plant known faults in a copy of the code, one at a time, and see that a test finds each
    Plant(plant::Args),
    /// Install what tests need beyond this workspace, and say where it is
    Services(services::Args),
    /// Print the variables for calling cargo by hand, as in `eval "$(cargo xtask env)"`
    Env,
    /// Check what compilers and clippy do not: arrows between crates, pages, names, sizes
    Tidy,
}

fn main() -> ExitCode {
    match run(&Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::locate();
    match task {
        Task::TestAll(args) => test_all::run(&workspace, args),
        Task::Demo(args) => demo::run(&workspace, args),
        Task::Bench(args) => bench::run(&workspace, args),
        Task::Plant(args) => plant::run(&workspace, args),
        Task::Services(args) => services::run(args),
        Task::Env => environment::print(&workspace),
        Task::Tidy => tidy::run(&workspace),
    }
}
