//! A folder with a repository in it, and databases beside that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backup_core::check::CheckLevel;
use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::diff::{DiffOptions, Side, diff};
use keepsum::location::SourceOptions;
use keepsum::report::{BackupReport, DiffReport, RestoreReport};
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Host, Repository, RepositoryLocation, StoreLocation};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Both shapes that a SQLite database is backed up in.
pub(crate) const SHAPES: [ShapeChoice; 2] = [ShapeChoice::Files, ShapeChoice::Records];

/// The name of the host that backs up.
pub(crate) const HOST: &str = "test-host";

pub(crate) struct Place {
    folder: TempDir,
    runtime: Runtime,
}

impl Place {
    /// In memory where the system has such a place.
    pub(crate) fn new() -> Self {
        Self::within(testkit::faults::in_memory())
    }

    /// On a disk, for what is large.
    pub(crate) fn on_disk() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(folder: TempDir) -> Self {
        let place = Self { folder, runtime: Runtime::new().unwrap() };
        let (location, host, context) = (place.location(), host(), Context::default());
        place.runtime.block_on(Repository::init(&location, &host, &context)).unwrap();
        for name in ["state", "tmp", "source"] {
            fs::create_dir(place.path(name)).unwrap();
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn location(&self) -> RepositoryLocation {
        RepositoryLocation::parse(self.path("repo").to_str().unwrap()).unwrap()
    }

    pub(crate) fn repository(&self) -> Repository {
        let (location, host, context) = (self.location(), host(), Context::default());
        let opened = self.runtime.block_on(Repository::open(&location, &host, &context)).unwrap();
        opened.with_memory(remote::Memory::new(self.path("state")))
    }

    /// Backs a database up, in this process.
    pub(crate) fn back_up(
        &self,
        database: &Path,
        shape: ShapeChoice,
    ) -> keepsum::Result<BackupReport> {
        self.back_up_with(database, shape, &SourceOptions::default())
    }

    /// As [`back_up`](Self::back_up), read in a way that is asked for.
    pub(crate) fn back_up_with(
        &self,
        database: &Path,
        shape: ShapeChoice,
        reading: &SourceOptions,
    ) -> keepsum::Result<BackupReport> {
        let source = at(database).source(reading)?;
        let options = BackupOptions { shape: Some(shape), ..BackupOptions::default() };
        let repository = self.repository();
        self.runtime.block_on(backup(&repository, source.as_ref(), &options))
    }

    /// Restores a snapshot as a file of this name, every index and all of its structure checked.
    #[track_caller]
    pub(crate) fn restore(&self, snapshot: &str, name: &str) -> (PathBuf, RestoreReport) {
        let path = self.path(name);
        let options = RestoreOptions { check: Some(CheckLevel::Full), ..RestoreOptions::default() };
        let (spec, target) = (snapshot.parse().unwrap(), at(&path).target().unwrap());
        let repository = self.repository();
        let restored = restore(&repository, &spec, target.as_ref(), &options);
        let report = self.runtime.block_on(restored).unwrap();
        assert!(report.proved.is_some(), "{report:?}");
        (path, report)
    }

    /// Compares two snapshots record by record.
    pub(crate) fn diff(&self, old: &str, new: &str) -> DiffReport {
        let side = |snapshot: &str| Side::Snapshot(snapshot.parse().unwrap());
        let (repository, context) = (self.repository(), Context::default());
        let (old, new) = (side(old), side(new));
        let options = DiffOptions { records: true, ..DiffOptions::default() };
        let compared = diff(Some(&repository), &old, &new, &options, &context);
        self.runtime.block_on(compared).unwrap()
    }

    /// The repository has no finding, and no backup left a pin in it.
    pub(crate) fn assert_clean(&self) {
        let repository = self.repository();
        let checked = verify(&repository, Level::Full);
        assert_eq!(self.runtime.block_on(checked).unwrap().findings, []);
        let head = self.runtime.block_on(repository.head()).unwrap();
        assert_eq!(head.state.pins.len(), 0, "pins are left");
    }

    /// The command, which finds this repository.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keepsum"));
        command.args(arguments).stdin(Stdio::null()).current_dir(self.folder.path());
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("KEEPSUM_")) {
            command.env_remove(name);
        }
        command
            .env("KEEPSUM_REPO", self.path("repo"))
            .env("KEEPSUM_STATE", self.path("state"))
            .env("TMPDIR", self.path("tmp"));
        command
    }

    /// The names in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn at(database: &Path) -> StoreLocation {
    format!("sqlite:{}", database.display()).parse().unwrap()
}

fn host() -> Host {
    Host::system(HOST)
}

/// One answer of a database.
#[track_caller]
pub(crate) fn ask<T: rusqlite::types::FromSql>(database: &Path, sql: &str) -> T {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// SQLite finds it sound.
#[track_caller]
pub(crate) fn assert_sound(database: &Path) {
    assert_eq!(ask::<String>(database, "PRAGMA integrity_check"), "ok", "{}", database.display());
}
