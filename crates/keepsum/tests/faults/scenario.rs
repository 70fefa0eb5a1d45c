//! What is run under faults: a backup of a changed store over an earlier snapshot of it, and a restore
//! over a store that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use testkit::contents::Contents;

use crate::place::{Place, at, fill};

/// A command, and the stores it works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) shape: &'static str,
    /// The store that was backed up, as `engine:name`.
    pub(crate) source: &'static str,
    /// The target of the restore.
    pub(crate) target: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Backup,
    Restore,
}

pub(crate) const BACKUPS: [Scenario; 5] = [
    Scenario {
        name: "backup of records from memory",
        work: Work::Backup,
        shape: "records",
        source: "memory:source.bcs",
        target: "memory:target",
    },
    Scenario {
        name: "backup of records from RocksDB",
        work: Work::Backup,
        shape: "records",
        source: "rocksdb:source",
        target: "memory:target",
    },
    Scenario {
        name: "backup of files from RocksDB",
        work: Work::Backup,
        shape: "files",
        source: "rocksdb:source",
        target: "rocksdb:target",
    },
    Scenario {
        name: "backup of records from SQLite",
        work: Work::Backup,
        shape: "records",
        source: "sqlite:source.db",
        target: "memory:target",
    },
    Scenario {
        name: "backup of pages from SQLite",
        work: Work::Backup,
        shape: "files",
        source: "sqlite:source.db",
        target: "sqlite:target.db",
    },
];

pub(crate) const RESTORES: [Scenario; 8] = [
    Scenario {
        name: "restore of records into a portable file",
        work: Work::Restore,
        shape: "records",
        source: "memory:source.bcs",
        target: "memory:target.bcs",
    },
    Scenario {
        name: "restore of records into portable files",
        work: Work::Restore,
        shape: "records",
        source: "rocksdb:source",
        target: "memory:target",
    },
    Scenario {
        name: "restore of records into RocksDB",
        work: Work::Restore,
        shape: "records",
        source: "rocksdb:source",
        target: "rocksdb:target",
    },
    Scenario {
        name: "restore of files into RocksDB",
        work: Work::Restore,
        shape: "files",
        source: "rocksdb:source",
        target: "rocksdb:target",
    },
    Scenario {
        name: "restore of files into portable files",
        work: Work::Restore,
        shape: "files",
        source: "rocksdb:source",
        target: "memory:target",
    },
    Scenario {
        name: "restore of records into SQLite",
        work: Work::Restore,
        shape: "records",
        source: "rocksdb:source",
        target: "sqlite:target.db",
    },
    Scenario {
        name: "restore of pages into SQLite",
        work: Work::Restore,
        shape: "files",
        source: "sqlite:source.db",
        target: "sqlite:target.db",
    },
    Scenario {
        name: "restore of pages into RocksDB",
        work: Work::Restore,
        shape: "files",
        source: "sqlite:source.db",
        target: "rocksdb:target",
    },
];

impl Scenario {
    /// A store as it was at `version`; a tenth of its records differ from version to version.
    pub(crate) fn content(&self, version: u64) -> Contents {
        let mut contents = Contents::new();
        let one_file = is_portable_file(self.source);
        for number in 0..120_u64 {
            let of = if number.is_multiple_of(10) { version } else { 0 };
            let value = testkit::noise(number ^ (of << 32), 90);
            let database = if one_file || number < 80 { "default" } else { "other" };
            contents.put(database, b"", format!("key {number:04}").as_bytes(), value);
        }
        contents
    }

    /// The earlier snapshot's content.
    pub(crate) fn earlier(&self) -> Contents {
        self.content(1)
    }

    /// What the command is to bring about.
    pub(crate) fn wanted(&self) -> Contents {
        self.content(2)
    }

    /// What is at the target before.
    pub(crate) fn replaced(&self) -> Contents {
        self.content(3)
    }

    /// Everything as it is before the command.
    pub(crate) async fn prepare(&self, place: &Place) {
        place.init().await;
        self.put_source(place, &self.earlier()).await;
        self.back_up(place).await;
        self.put_source(place, &self.wanted()).await;
        if self.work == Work::Restore {
            self.back_up(place).await;
            fill(&place.store(self.target), &self.replaced()).await;
        }
        fs::create_dir(place.path("tmp")).unwrap();
    }

    async fn put_source(&self, place: &Place, content: &Contents) {
        let _ = fs::remove_dir_all(place.path("source"));
        let _ = fs::remove_file(place.path("source.bcs"));
        let _ = fs::remove_file(place.path("source.bcs.keepsum"));
        for ending in ["", ".keepsum", "-wal", "-shm"] {
            let _ = fs::remove_file(place.path(&format!("source.db{ending}")));
        }
        fill(&place.store(self.source), content).await;
    }

    /// The backup, in this process.
    pub(crate) async fn back_up(&self, place: &Place) -> keepsum::report::BackupReport {
        let source = place.store(self.source).source(&SourceOptions::default()).unwrap();
        let shape = if self.shape == "files" { ShapeChoice::Files } else { ShapeChoice::Records };
        let options = BackupOptions { shape: Some(shape), ..BackupOptions::default() };
        let repository = place.repository().await;
        backup(&repository, source.as_ref(), &options).await.unwrap()
    }

    /// The command line.
    pub(crate) fn args(&self, place: &Place) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match self.work {
            Work::Backup => {
                let source = at(&place.home(), self.source).to_string();
                let shape = format!("--{}", self.shape);
                own(&["backup", &source, &shape, "--host", crate::place::HOST])
            }
            Work::Restore => {
                let target = at(&place.home(), self.target).to_string();
                own(&["restore", "latest", &target, "--replace"])
            }
        }
    }
}

/// The names of the objects in a repository: content hash and nonce.
pub(crate) fn objects(repository: &Path) -> BTreeSet<String> {
    let folders = fs::read_dir(repository.join("objects")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    // What a crash left of a file is none.
    names.filter(|name| !name.contains('#')).collect()
}

/// Whether a location or name is that of one portable file.
pub(crate) fn is_portable_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "bcs")
}

/// The content hash of an object's name.
pub(crate) fn hash_of(name: &str) -> String {
    name.split('.').next().unwrap().to_owned()
}
