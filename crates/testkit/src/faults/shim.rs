//! The preloaded shim: file operations of a whole program, its engine's included.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crash::{Op, parse, starts_fault};

/// The shim's source.
const SOURCE: &str = include_str!("../../shim/faults.c");

/// The compiled shim.
#[derive(Debug)]
pub struct Shim {
    folder: tempfile::TempDir,
}

/// A fault that the shim brings into one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimFault {
    /// It fails and does nothing: no space left, or an input/output error.
    Error,
    /// It and all after it fail: a disk that is full, or gone.
    Onwards,
    /// A write does half of its bytes and fails.
    Torn,
    /// A write does half of its bytes and says so: the program must go on with the rest.
    Short,
    /// The process is killed before it.
    Kill,
    /// A read fails.
    ReadError,
    /// A read gives half of the bytes that are there.
    ReadShort,
}

/// What a program did, from its journal.
#[derive(Debug)]
pub struct Ran {
    /// What it did to the folder.
    pub ops: Vec<Op>,
    /// Whether the fault came.
    pub struck: bool,
}

impl ShimFault {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Onwards => "onwards",
            Self::Torn => "torn",
            Self::Short => "short",
            Self::Kill => "kill",
            Self::ReadError => "read-error",
            Self::ReadShort => "read-short",
        }
    }
}

impl Shim {
    /// Compiles it with `cc`. None where there is no compiler, or where it does not work.
    ///
    /// # Panics
    /// Where that is so and `KEEPSUM_TEST_ALL` is set.
    pub fn compile() -> Option<Self> {
        let compiled = Self::try_compile();
        if let Err(error) = &compiled {
            let all = std::env::var_os("KEEPSUM_TEST_ALL").is_some();
            assert!(!all, "the shim must compile where KEEPSUM_TEST_ALL is set: {error}");
            println!("skipped: no C compiler: {error}");
        }
        compiled.ok()
    }

    fn try_compile() -> io::Result<Self> {
        let shim = Self { folder: tempfile::tempdir()? };
        let source = shim.folder.path().join("faults.c");
        fs::write(&source, SOURCE)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(shim.library())
            .arg(&source)
            .arg("-ldl")
            .output()?;
        if built.status.success() {
            return Ok(shim);
        }
        Err(io::Error::other(String::from_utf8_lossy(&built.stderr).into_owned()))
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("faults.so")
    }

    /// Loads it into `command`, for what is below `root`; `journal` must not lie there.
    pub fn load(&self, command: &mut Command, root: &Path, journal: &Path) {
        command
            .env("LD_PRELOAD", self.library())
            .env("KEEPSUM_FAULTS_ROOT", root)
            .env("KEEPSUM_FAULTS_JOURNAL", journal);
    }

    /// As [`load`](Self::load), with a fault in the operation of this number, from 0. Reads are
    /// counted apart; of what may be short, writes alone.
    pub fn load_fault(
        &self,
        command: &mut Command,
        root: &Path,
        journal: &Path,
        (fault, number): (ShimFault, u64),
    ) {
        self.load(command, root, journal);
        command
            .env("KEEPSUM_FAULTS_KIND", fault.word())
            .env("KEEPSUM_FAULTS_AT", number.to_string());
    }
}

impl Ran {
    /// Reads the journal of a program that has ended, and removes it.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub fn read(journal: &Path, root: &Path) -> io::Result<Self> {
        let bytes = fs::read(journal)?;
        fs::remove_file(journal)?;
        Ok(Self { ops: parse(&bytes, root)?, struck: starts_fault(&bytes) })
    }
}
