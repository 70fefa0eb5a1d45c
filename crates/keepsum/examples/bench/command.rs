//! The command that is measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::folder;

/// The command, with a repository of its own.
pub(crate) struct Keepsum {
    program: PathBuf,
    pub(crate) repository: PathBuf,
    state: PathBuf,
}

impl Keepsum {
    /// With a new, empty repository in `folder`.
    pub(crate) fn init(program: &Path, folder: &Path) -> Result<Self> {
        let [repository, state] = ["repository", "state"].map(|name| folder.join(name));
        folder::remove(&repository)?;
        folder::remove(&state)?;
        let keepsum = Self { program: program.to_path_buf(), repository, state };
        keepsum.run(&["init"])?;
        Ok(keepsum)
    }

    /// Backs up the store with this address.
    pub(crate) fn backup(&self, source: &str, arguments: &[&str]) -> Result<()> {
        self.run(&[&["backup", source], arguments].concat())
    }

    /// Restores the newest snapshot into a new store with this address.
    pub(crate) fn restore(&self, target: &str) -> Result<()> {
        self.run(&["restore", "latest", target])
    }

    /// The command line of a backup or restore, for who runs it otherwise.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--repo").arg(&self.repository).args(arguments).args(["--json", "--quiet"]);
        command.env("KEEPSUM_STATE", &self.state).stdout(Stdio::null());
        command
    }

    pub(crate) fn remove(self) -> Result<()> {
        folder::remove(&self.repository)?;
        folder::remove(&self.state)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let status = self
            .command(arguments)
            .status()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        ensure!(status.success(), "`keepsum {}` failed: {status}", arguments.join(" "));
        Ok(())
    }
}
