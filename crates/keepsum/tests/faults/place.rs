//! A folder with a repository, a store and a target in it, on which commands run with faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use backup_core::progress::Context;
use backup_core::target::Existing;
use keepsum::location::SourceOptions;
use keepsum::{Host, Repository, RepositoryLocation, StoreLocation};
use testkit::contents::{Contents, contents};
use testkit::crash::Tree;
use testkit::faults::in_memory;
use testkit::transfer::transfer;

/// The name of the host that backs up: pins are found by it.
pub(crate) const HOST: &str = "test-host";

/// The folder. Everything that a command touches lies in `home`; `beside` is for the test's own.
pub(crate) struct Place {
    above: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { above: in_memory() };
        fs::create_dir(place.home()).unwrap();
        place
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.above.path().join("home")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.above.path().join(name)
    }

    /// A store in `home`, as `engine:name`.
    pub(crate) fn store(&self, location: &str) -> StoreLocation {
        at(&self.home(), location)
    }

    /// Puts the home folder into the state `left`.
    pub(crate) fn reset(&self, left: &Tree) {
        fs::remove_dir_all(self.home()).unwrap();
        fs::create_dir(self.home()).unwrap();
        left.write_to(&self.home()).unwrap();
    }

    /// The command, which finds the repository `repo` and its memory in `home`.
    pub(crate) fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keepsum"));
        command.args(args).arg("--json").stdin(Stdio::null()).current_dir(self.above.path());
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("KEEPSUM_")) {
            command.env_remove(name);
        }
        // Temporary files are the command's own, too.
        fs::create_dir_all(self.path("tmp")).unwrap();
        command
            .env("KEEPSUM_REPO", self.path("repo"))
            .env("KEEPSUM_STATE", self.path("state"))
            .env("TMPDIR", self.path("tmp"));
        command
    }

    /// The repository, with this host's memory of it.
    pub(crate) async fn repository(&self) -> Repository {
        let location = RepositoryLocation::parse(self.path("repo").to_str().unwrap()).unwrap();
        let opened = Repository::open(&location, &host(), &Context::default()).await.unwrap();
        opened.with_memory(remote::Memory::new(self.path("state")))
    }

    pub(crate) async fn init(&self) {
        let location = RepositoryLocation::parse(self.path("repo").to_str().unwrap()).unwrap();
        Repository::init(&location, &host(), &Context::default()).await.unwrap();
    }

    /// The names in `home`.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn at(folder: &Path, location: &str) -> StoreLocation {
    let (engine, name) = location.split_once(':').unwrap();
    format!("{engine}:{}", folder.join(name).display()).parse().unwrap()
}

pub(crate) fn host() -> Host {
    Host::system(HOST)
}

/// Makes a store with this content.
pub(crate) async fn fill(location: &StoreLocation, wanted: &Contents) {
    let target = location.target().unwrap();
    transfer(wanted, target.as_ref(), Existing::Refuse).await.unwrap();
}

/// What a store holds; none where there is no store.
pub(crate) async fn look(location: &StoreLocation) -> Option<Contents> {
    let source = location.source(&SourceOptions::default());
    let found = match source {
        Ok(source) => contents(source.as_ref()).await,
        Err(keepsum::Error::Core(error)) => Err(error),
        Err(error) => panic!("{location}: {error}"),
    };
    match found {
        Ok(mut found) => {
            // RocksDB lists its `default` only where it has records or is the only one.
            found.databases.retain(|name, records| name != "default" || !records.is_empty());
            Some(found)
        }
        Err(backup_core::Error::NotFound { .. }) => None,
        Err(error) => panic!("{location} is between: {error}"),
    }
}

/// What a run answered, to be shown with a failure.
pub(crate) fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{}: {} {}", output.status, text(&output.stdout), text(&output.stderr))
}
