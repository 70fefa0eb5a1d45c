//! A folder with a repository of its own, and the command run in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::memory_file;

/// The binary under test.
pub(crate) const KEEPSUM: &str = env!("CARGO_BIN_EXE_keepsum");

/// A scratch folder, removed when dropped, in which the command finds the repository `repo`.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What a run of the command said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with a repository.
    pub(crate) fn new() -> Self {
        let place = Self::empty();
        place.run(["init"]).done();
        place
    }

    /// A folder with a repository, and in it one snapshot of the memory store `store.bcs`.
    pub(crate) fn with_snapshot() -> Self {
        let place = Self::new();
        memory_file::write(&place.path("store.bcs"), &memory_file::sample(300));
        place.run(["backup", &place.memory("store.bcs")]).done();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path as text, for arguments.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The memory store of this name, as a location.
    pub(crate) fn memory(&self, name: &str) -> String {
        format!("memory:{}", self.text(name))
    }

    /// The command, ready to run; no variable of the caller's reaches it.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.program(KEEPSUM, args)
    }

    /// As [`command`](Self::command), of another program, say one that runs the command.
    pub(crate) fn program<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).current_dir(self.folder.path());
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("KEEPSUM_")) {
            command.env_remove(name);
        }
        command.env("KEEPSUM_REPO", self.path("repo")).env("KEEPSUM_STATE", self.path("state"));
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        Answer::of(&self.command(args).output().unwrap())
    }

    /// Runs the command with `--json`, to its good end, and reads its document.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        self.run_json(args).done().json()
    }

    /// Runs the command with `--json`.
    pub(crate) fn run_json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        let mut command = self.command(args);
        Answer::of(&command.arg("--json").output().unwrap())
    }
}

impl Answer {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code().expect("an exit, not a signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The run succeeded.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// The run failed with `code` and said why in one line, which has each of `words`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let errors: Vec<&str> =
            self.stderr.lines().filter(|line| line.starts_with("keepsum: ")).collect();
        let [line] = errors.as_slice() else { panic!("not one line of error: {self:?}") };
        for word in words {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Says that a test lacks what it needs; fails where everything must be there.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("KEEPSUM_TEST_ALL").is_none(), "{why}, and KEEPSUM_TEST_ALL is set");
    eprintln!("skipped: {why}");
}
