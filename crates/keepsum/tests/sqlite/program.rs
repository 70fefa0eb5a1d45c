//! Other people's programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program that the environment names.
#[derive(Debug, Clone)]
pub(crate) struct Program(PathBuf);

impl Program {
    /// The program that `variable` names; nothing where it names none, which is said.
    pub(crate) fn named(variable: &str) -> Option<Self> {
        testkit::program::named(variable).map(Self)
    }

    /// A call in a folder that is home to it, so that it neither reads nor writes what is this user's.
    pub(crate) fn call<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).current_dir(folder).env("HOME", folder).env("USER", "tester");
        command
    }
}

/// What a program printed, which must have done well.
#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {out}{error}", output.status);
    out
}
