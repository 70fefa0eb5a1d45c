//! `demo`: the whole path on real data, told in plain words.

mod keepsum;
mod real_data;
mod story;
mod writer;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::artifacts::Artifacts;
use crate::environment::Environment;
use crate::workspace::Workspace;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Millions of bytes of real data to take; about six times as much disk is used
    #[arg(long, default_value_t = 300)]
    limit_mb: u64,
    /// A new folder to work in; without it, one in the cache, which the next demo replaces
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let environment = Environment::prepare(workspace)?;
    let artifacts = Artifacts::build(&environment, &[writer::PROGRAM])?;
    let folder = folder(&environment, args)?;
    story::tell(&story::Setting {
        keepsum: artifacts.program("keepsum")?,
        writer: artifacts.program(writer::PROGRAM)?,
        folder: &folder,
        limit_mb: args.limit_mb,
    })
}

/// The demo's folder, empty.
fn folder(environment: &Environment, args: &Args) -> Result<PathBuf> {
    let folder = match &args.folder {
        Some(chosen) => {
            ensure!(!chosen.exists(), "{} exists; name a new folder", chosen.display());
            chosen.clone()
        }
        None => environment.cache.path("demo"),
    };
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove the demo before: {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("cannot resolve {}", folder.display()))
}
