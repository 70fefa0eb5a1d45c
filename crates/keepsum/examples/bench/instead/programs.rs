//! Other people's programs: `cp` and `restic`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::folder;

/// `cp -r`, and then an fsync of every file and of the folder.
pub(crate) fn copy_durably(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-r").args([from, to]))?;
    folder::sync(to)
}

/// restic with a repository of its own.
pub(crate) struct Restic {
    pub(crate) program: PathBuf,
    pub(crate) repository: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Restic {
    pub(crate) fn init(&self) -> Result<()> {
        run(self.command().arg("init"))
    }

    pub(crate) fn backup(&self, folder: &Path) -> Result<()> {
        run(self.command().arg("backup").arg(folder))
    }

    pub(crate) fn remove(&self) -> Result<()> {
        folder::remove(&self.repository)?;
        folder::remove(&self.cache)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--quiet").arg("--repo").arg(&self.repository);
        command.arg("--cache-dir").arg(&self.cache).env("RESTIC_PASSWORD", "bench");
        command
    }
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.stdout(Stdio::null()).status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}
