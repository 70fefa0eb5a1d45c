//! The set-up that every cargo call of a task shares: toolchain, RocksDB, target folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::process;
use crate::rocksdb;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Above this size, in bytes, the shared target folder is removed and built anew: cargo itself
/// never takes anything out of it.
const TARGET_LIMIT: u64 = 40 << 30;

/// A prepared machine.
pub(crate) struct Environment<'a> {
    workspace: &'a Workspace,
    pub(crate) cache: Cache,
    target: PathBuf,
    variables: Vec<(String, OsString)>,
    /// Held as long as this lives, where the target folder is the shared one.
    _turn: Option<File>,
}

impl<'a> Environment<'a> {
    /// Prepares all that compiling the workspace needs, saying what is used and where it is.
    pub(crate) fn prepare(workspace: &'a Workspace) -> Result<Self> {
        let cache = opened_cache()?;
        // Before the turn is taken: compiling RocksDB for the first time takes long.
        let variables = linking(workspace, &cache)?;
        Self::at_its_turn(workspace, cache, variables)
    }

    /// The same for what is built without RocksDB, which then needs neither it nor libclang.
    pub(crate) fn prepare_without_rocksdb(workspace: &'a Workspace) -> Result<Self> {
        Self::at_its_turn(workspace, opened_cache()?, Vec::new())
    }

    fn at_its_turn(
        workspace: &'a Workspace,
        cache: Cache,
        mut variables: Vec<(String, OsString)>,
    ) -> Result<Self> {
        let (target, turn) = target_folder(workspace, &cache)?;
        eprintln!("target folder: {}", target.display());
        variables.push(("CARGO_TARGET_DIR".to_owned(), target.clone().into()));
        Ok(Self { workspace, cache, target, variables, _turn: turn })
    }

    /// The same for a workspace whose builds share their target folder with nobody, as long as `turn`
    /// is held.
    pub(crate) fn prepare_apart(
        workspace: &'a Workspace,
        cache: Cache,
        target: PathBuf,
        turn: File,
    ) -> Result<Self> {
        let mut variables = linking(workspace, &cache)?;
        variables.push(("CARGO_TARGET_DIR".to_owned(), target.clone().into()));
        Ok(Self { workspace, cache, target, variables, _turn: Some(turn) })
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Sets a variable for every cargo call from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// A cargo call with all that was prepared.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.workspace.cargo();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn opened_cache() -> Result<Cache> {
    let cache = Cache::open()?;
    eprintln!("cache: {}; removing it is always safe", cache.root().display());
    Ok(cache)
}

/// Prints the variables for calling cargo by hand, for a shell to evaluate. The target folder is not
/// among them: without the turn that a task takes, clones would mix up each other's crates in it.
pub(crate) fn print(workspace: &Workspace) -> Result<()> {
    for (name, value) in linking(workspace, &Cache::open()?)? {
        println!("export {name}={}", process::quoted(&value.to_string_lossy()));
    }
    Ok(())
}

/// What makes cargo find libclang and link the one RocksDB.
fn linking(workspace: &Workspace, cache: &Cache) -> Result<Vec<(String, OsString)>> {
    let toolchain = Toolchain::prepare()?;
    eprintln!("C++ compiler: {}", toolchain.compiler);
    eprintln!("libclang: {}", toolchain.libclang.display());
    let mut variables = vec![("LIBCLANG_PATH".to_owned(), toolchain.libclang.clone().into())];
    if let Some(folder) = rocksdb::prepare(workspace, cache, &toolchain)? {
        let links = rocksdb::variables(&folder);
        variables.extend(links.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(variables)
}

/// The target folder: the caller's own, or the one all clones share, so that what was compiled of
/// other people's crates survives a clone.
fn target_folder(workspace: &Workspace, cache: &Cache) -> Result<(PathBuf, Option<File>)> {
    if let Some(chosen) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok((workspace.root().join(chosen), None));
    }
    let target = cache.path("target");
    let turn = take_turn(&cache.path("target.lock"))?;
    if size_of(&target) > TARGET_LIMIT {
        eprintln!("{} grew beyond {} GiB and starts anew", target.display(), TARGET_LIMIT >> 30);
        fs::remove_dir_all(&target)
            .with_context(|| format!("cannot remove {}", target.display()))?;
    }
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    hand_over(workspace, &target)?;
    Ok((target, Some(turn)))
}

/// Waits until no other task uses the target folder that the file at `path` stands for.
pub(crate) fn take_turn(path: &Path) -> Result<File> {
    let lock = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another `cargo xtask` that uses the same target folder");
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(lock)
}

/// Removes the workspace's own crates from the shared target folder where another clone built
/// them. Cargo names them by their place in the workspace and compares times of change alone, so it
/// would take another clone's newer build of an older file for this clone's own.
fn hand_over(workspace: &Workspace, target: &Path) -> Result<()> {
    let mark = target.join("clone");
    let clone = identity(workspace.root())?;
    if fs::read_to_string(&mark).is_ok_and(|last| last == clone) {
        return Ok(());
    }
    let members = workspace.packages()?;
    for profile in ["dev", "release"] {
        let mut command = workspace.cargo();
        command.args(["clean", "--quiet", "--profile", profile]).env("CARGO_TARGET_DIR", target);
        for member in &members {
            command.args(["--package", &member.name]);
        }
        process::run(&mut command)?;
    }
    fs::write(&mark, clone).with_context(|| format!("cannot write {}", mark.display()))
}

/// Which clone this is: its path, and when the folder was made, so that a new clone in an old place
/// is another one.
fn identity(root: &Path) -> Result<String> {
    let data = fs::metadata(root).with_context(|| format!("cannot read {}", root.display()))?;
    Ok(format!("{}\n{:?}\n", root.display(), data.created().ok()))
}

/// The bytes of all files below a folder; what cannot be read counts as nothing.
pub(crate) fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn sizes_add_up_over_folders() {
        let scratch = Scratch::new("environment-size");
        scratch.write("a", "123");
        scratch.write("b/c/d", "4567");
        assert_eq!(size_of(scratch.root()), 7);
        assert_eq!(size_of(&scratch.path("absent")), 0);
    }

    #[test]
    fn two_clones_are_told_apart_and_one_stays_itself() {
        let scratch = Scratch::new("environment-identity");
        scratch.write("one/f", "");
        scratch.write("two/f", "");
        let of = |name| identity(&scratch.path(name)).expect("the folder is there");
        assert_eq!(of("one"), of("one"));
        assert_ne!(of("one"), of("two"));
    }

    #[test]
    fn a_turn_is_exclusive_and_ends_with_its_holder() {
        let scratch = Scratch::new("environment-turn");
        let path = scratch.path("lock");
        let first = take_turn(&path).expect("nobody holds it");
        let second = File::create(&path).expect("the file is there");
        assert!(second.try_lock().is_err());
        drop(first);
        assert!(second.try_lock().is_ok());
    }
}
