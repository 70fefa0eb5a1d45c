//! `demo`: the whole path on real data, told in plain words.

mod keepsum;
mod real_data;
mod story;
mod writer;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::artifacts::Artifacts;
use crate::environment::Environment;
use crate::workspace::Workspace;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The engine of the store; SQLite is built in a few minutes, RocksDB takes longer the first time
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// Millions of bytes of real data to take; about six times as much disk is used
    #[arg(long, default_value_t = 300)]
    limit_mb: u64,
    /// A new folder to work in; without it, one in the cache, which the next demo replaces
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// An engine that the demo knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// SQLite, with a write-ahead log
    Sqlite,
    /// RocksDB, with three column families
    Rocksdb,
}

impl Engine {
    /// Its name in locations.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Rocksdb => "rocksdb",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Rocksdb => "RocksDB",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let environment = match args.engine {
        Engine::Sqlite => Environment::prepare_without_rocksdb(workspace)?,
        Engine::Rocksdb => Environment::prepare(workspace)?,
    };
    // One engine alone is built, as its users may.
    let features = match args.engine {
        Engine::Sqlite => "cli,sqlite",
        Engine::Rocksdb => "cli,rocksdb",
    };
    let args_of_cargo = ["--no-default-features", "--features", features];
    let artifacts = Artifacts::build_with(&environment, &args_of_cargo, &[writer::PROGRAM])?;
    let folder = folder(&environment, args)?;
    let writer =
        writer::Writer { program: artifacts.program(writer::PROGRAM)?, engine: args.engine.word() };
    story::tell(&story::Setting {
        keepsum: artifacts.program("keepsum")?,
        writer,
        engine: args.engine,
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
