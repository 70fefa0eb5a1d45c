//! `bench`: backups beside what a user would do instead, as ratios of one run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifacts::Artifacts;
use crate::environment::Environment;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

/// Arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the store, in MiB of keys and values; about four times as much disk is used
    #[arg(long, default_value_t = 1024)]
    store_mib: u64,
    /// Bytes of each value
    #[arg(long, default_value_t = 1024)]
    value_bytes: u64,
    /// How often each is measured; medians are compared
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// A new folder on the disk to measure, removed afterwards; without it, one in the cache
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let environment = Environment::prepare(workspace)?;
    let artifacts = Artifacts::build(&environment, &["bench_backup"])?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => in_the_cache(&environment)?,
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    println!("\n{}", Machine::describe(&folder));
    let mut command = Command::new(artifacts.program("bench_backup")?);
    command.arg("--keepsum").arg(artifacts.program("keepsum")?);
    command.arg("--folder").arg(&folder);
    command.args(["--store-mib", &args.store_mib.to_string()]);
    command.args(["--value-bytes", &args.value_bytes.to_string()]);
    command.args(["--rounds", &args.rounds.to_string()]);
    process::run(&mut command)
}

/// The task's own folder, emptied of what an interrupted run left.
fn in_the_cache(environment: &Environment) -> Result<PathBuf> {
    let folder = environment.cache.path("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(folder)
}
