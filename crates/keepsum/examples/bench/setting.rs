//! What every group measures with.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::Keepsum;
use crate::store::{Sample, Shape, Store};

/// The length of values where files are compared.
const VALUE_BYTES: usize = 1024;

/// The command, a folder, the size, the rounds.
pub(crate) struct Setting {
    keepsum: PathBuf,
    pub(crate) restic: Option<PathBuf>,
    /// The shell of SQLite.
    pub(crate) sqlite3: Option<String>,
    pub(crate) folder: PathBuf,
    scale: f64,
    pub(crate) rounds: u32,
    /// How many threads this machine runs at once, which is what keepsum uses.
    pub(crate) threads: usize,
    sample: Option<Sample>,
    /// The store of the last group, which the next one may want too.
    kept: Option<Store>,
}

impl Setting {
    pub(crate) fn new(keepsum: &Path, folder: &Path, scale: f64, rounds: u32) -> Self {
        Self {
            keepsum: keepsum.to_path_buf(),
            restic: None,
            sqlite3: None,
            folder: folder.to_path_buf(),
            scale,
            rounds,
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            sample: None,
            kept: None,
        }
    }

    /// A size or number that is promised, at the scale of this run.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes far below 2^53, and a scale that was checked"
    )]
    pub(crate) fn scaled(&self, value: u64) -> u64 {
        ((value as f64 * self.scale) as u64).max(1)
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The command with a new repository; there is one at a time.
    pub(crate) fn keepsum(&self) -> Result<Keepsum> {
        Keepsum::init(&self.keepsum, &self.folder)
    }

    /// The shape of a store with so many bytes on disk, at the scale of this run, and values of 1 KiB.
    pub(crate) fn files_shape(&mut self, bytes: u64) -> Result<Shape> {
        let sample = match self.sample {
            Some(sample) => sample,
            None => Sample::take(VALUE_BYTES, &self.folder)?,
        };
        self.sample = Some(sample);
        Ok(Shape::of_files(self.scaled(bytes), sample))
    }

    /// A store of this shape that nobody changes; give it back to [`keep`](Self::keep).
    pub(crate) fn store(&mut self, shape: Shape) -> Result<Store> {
        match self.kept.take() {
            Some(store) if store.shape == shape => Ok(store),
            other => {
                if let Some(other) = other {
                    other.remove()?;
                }
                Store::make(&self.path("store"), shape)
            }
        }
    }

    /// Keeps a store for who wants the same next.
    pub(crate) fn keep(&mut self, store: Store) {
        self.kept = Some(store);
    }

    /// Makes room on the disk.
    pub(crate) fn keep_nothing(&mut self) -> Result<()> {
        self.kept.take().map_or(Ok(()), Store::remove)
    }

    /// Says which round this is.
    pub(crate) fn each_round(
        &self,
        most: u32,
        mut round: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let rounds = self.rounds.min(most);
        for number in 1..=rounds {
            println!("round {number} of {rounds}");
            round()?;
        }
        Ok(())
    }
}
