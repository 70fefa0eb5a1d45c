//! RocksDB, compiled once for every profile, feature set and clone.
//!
//! Compiling it takes about a quarter of an hour, and cargo would do so once for each profile and
//! again in each clone. So it is compiled here in a target folder of its own, and its archives are
//! kept in the cache under a name that changes with whatever changes them. The binding's build
//! script links what `ROCKSDB_LIB_DIR` and `SNAPPY_LIB_DIR` name instead of compiling.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cache::Cache;
use crate::fingerprint::Fingerprint;
use crate::process;
use crate::stopwatch::{Readable, Stopwatch};
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

const BINDING: &str = "librocksdb-sys";
const ARCHIVES: [&str; 2] = ["librocksdb.a", "libsnappy.a"];
/// Builds kept in the cache: this one, and the one before it for who switches between two.
const KEPT_BUILDS: usize = 2;
/// How often a sign of life is printed while RocksDB compiles.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The folder of the archives, built if need be; `None` where the environment names one already.
pub(crate) fn prepare(
    workspace: &Workspace,
    cache: &Cache,
    toolchain: &Toolchain,
) -> Result<Option<PathBuf>> {
    if let Some(chosen) = std::env::var_os("ROCKSDB_LIB_DIR") {
        eprintln!("RocksDB: the one in $ROCKSDB_LIB_DIR, {}", chosen.display());
        return Ok(None);
    }
    let folder = cache.path(&build_name(workspace, toolchain)?);
    if !is_whole(&folder) {
        build(workspace, cache, toolchain, &folder)?;
    }
    eprintln!("RocksDB: {}", folder.display());
    Ok(Some(folder))
}

/// The variables that make every cargo call link the archives of `folder`.
pub(crate) fn variables(folder: &Path) -> [(&'static str, OsString); 4] {
    [
        ("ROCKSDB_LIB_DIR", folder.into()),
        ("ROCKSDB_STATIC", "1".into()),
        ("SNAPPY_LIB_DIR", folder.into()),
        ("SNAPPY_STATIC", "1".into()),
    ]
}

fn is_whole(folder: &Path) -> bool {
    ARCHIVES.iter().all(|archive| folder.join(archive).is_file())
}

/// `rocksdb-<version of the binding>-<fingerprint of all that shapes the archives>`.
fn build_name(workspace: &Workspace, toolchain: &Toolchain) -> Result<String> {
    let lock = workspace.root().join("Cargo.lock");
    let lock =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let version = locked_version(&lock, BINDING)
        .with_context(|| format!("Cargo.lock does not name {BINDING}"))?;
    let features = process::read(workspace.cargo().args([
        "tree",
        "--workspace",
        "--invert",
        BINDING,
        "--depth",
        "0",
        "--format",
        "{f}",
    ]))?;
    let rustc = process::probe("rustc", &["--version", "--verbose"]).unwrap_or_default();
    let host = rustc.lines().find(|line| line.starts_with("host:")).unwrap_or_default();
    let mut fingerprint = Fingerprint::new();
    fingerprint.field(features.trim()).field(host).field(&toolchain.compiler);
    for variable in ["CFLAGS", "CXXFLAGS", "RUSTFLAGS", "ROCKSDB_CXX_STD", "CARGO_BUILD_TARGET"] {
        fingerprint.field(&std::env::var(variable).unwrap_or_default());
    }
    Ok(format!("rocksdb-{version}-{fingerprint}"))
}

/// The version of a package in a `Cargo.lock`.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{package}\""))?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn build(workspace: &Workspace, cache: &Cache, toolchain: &Toolchain, folder: &Path) -> Result<()> {
    let target = cache.path("build-rocksdb");
    eprintln!("compiling RocksDB, once: about 15 minutes on two cores ({})", target.display());
    let stopwatch = Stopwatch::start();
    // The package is no member, so cargo takes the features the workspace asks it for.
    let mut command = workspace.cargo();
    command
        .args(["build", "--release", "--package", BINDING])
        .args(["--config", "profile.release.debug=false"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(&target)
        .env("LIBCLANG_PATH", &toolchain.libclang);
    let out = output_folder(&with_heartbeat(&mut command, &target)?)?;
    keep(&out, folder)?;
    eprintln!("compiled RocksDB in {}", Readable(stopwatch.elapsed()));
    // Its objects would never be used again: another build has another name.
    fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
    forget_old_builds(cache, folder)
}

/// Runs the build, saying how far it is: a quarter of an hour of silence looks like a hang.
fn with_heartbeat(command: &mut Command, target: &Path) -> Result<String> {
    let stopwatch = Stopwatch::start();
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let objects = count_objects(target);
                eprintln!(
                    "  RocksDB: {objects} files compiled after {}",
                    Readable(stopwatch.elapsed())
                );
            }
        });
        let output = process::read(command);
        drop(done);
        output
    })
}

fn count_objects(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count_objects(&entry.path()),
        _ => usize::from(entry.path().extension().is_some_and(|extension| extension == "o")),
    };
    entries.flatten().map(count).sum()
}

/// Where the binding's build script left its archives, from cargo's messages.
fn output_folder(messages: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "build-script-executed")
        .filter(|message| message["package_id"].as_str().is_some_and(|id| id.contains(BINDING)))
        .find_map(|message| message["out_dir"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo did not say where {BINDING} was built"))
}

/// Copies the archives into their folder, which appears whole or not at all.
fn keep(out: &Path, folder: &Path) -> Result<()> {
    let beside = folder.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
    for archive in ARCHIVES {
        let (from, to) = (out.join(archive), beside.join(archive));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    if fs::rename(&beside, folder).is_err() {
        // Another run was faster, or left a broken folder behind, which this one replaces.
        if !is_whole(folder) {
            fs::remove_dir_all(folder)
                .and_then(|()| fs::rename(&beside, folder))
                .with_context(|| format!("cannot put {} in place", folder.display()))?;
        }
    }
    if !is_whole(folder) {
        bail!("{} is not complete after the build", folder.display());
    }
    Ok(())
}

/// Removes all builds but the newest ones and `current`.
fn forget_old_builds(cache: &Cache, current: &Path) -> Result<()> {
    let mut builds = Vec::new();
    for entry in fs::read_dir(cache.root()).context("cannot list the cache")? {
        let path = entry.context("cannot list the cache")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("rocksdb-") && path != current && path.is_dir() {
            let modified = fs::metadata(&path).and_then(|data| data.modified()).ok();
            builds.push((modified, path));
        }
    }
    builds.sort_by(|a, b| b.cmp(a));
    for (_, old) in builds.into_iter().skip(KEPT_BUILDS - 1) {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_version_is_that_of_the_package_itself() {
        let lock = "[[package]]\nname = \"librocksdb\"\nversion = \"1.0.0\"\n\n[[package]]\n\
                    name = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\n";
        assert_eq!(locked_version(lock, BINDING), Some("0.19.0+11.8.1"));
        assert_eq!(locked_version(lock, "absent"), None);
    }

    #[test]
    fn the_output_folder_is_taken_from_the_bindings_message_alone() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"package_id\":\"librocksdb-sys\",\"out_dir\":\"/no\"}\n\
            {\"reason\":\"build-script-executed\",\"package_id\":\"zstd-sys@2\",\"out_dir\":\"/z\"}\n\
            {\"reason\":\"build-script-executed\",\"package_id\":\"r#librocksdb-sys@0.19\",\"out_dir\":\"/r\"}\n";
        assert_eq!(output_folder(messages).expect("the message is there"), Path::new("/r"));
        assert!(output_folder("").is_err());
    }

    #[test]
    fn archives_are_kept_whole_and_a_broken_folder_is_replaced() {
        let scratch = Scratch::new("rocksdb-keep");
        let (out, folder) = (scratch.path("out"), scratch.path("rocksdb-1-a"));
        scratch.write("out/librocksdb.a", "r");
        scratch.write("out/libsnappy.a", "s");
        scratch.write("rocksdb-1-a/librocksdb.a", "cut off");
        assert!(!is_whole(&folder));
        keep(&out, &folder).expect("the folder is replaced");
        assert!(is_whole(&folder));
        assert_eq!(fs::read_to_string(folder.join("librocksdb.a")).expect("it is there"), "r");

        fs::remove_file(out.join("libsnappy.a")).expect("it was there");
        assert!(keep(&out, &scratch.path("rocksdb-1-b")).is_err());
        assert!(!is_whole(&scratch.path("rocksdb-1-b")));
    }

    #[test]
    fn old_builds_go_and_the_current_one_stays() {
        let scratch = Scratch::new("rocksdb-forget");
        for name in ["rocksdb-1-a", "rocksdb-1-b", "rocksdb-1-c", "target"] {
            scratch.write(&format!("{name}/librocksdb.a"), "");
        }
        let cache = Cache::at(scratch.root()).expect("a scratch cache");
        let current = cache.path("rocksdb-1-a");
        forget_old_builds(&cache, &current).expect("old builds go");
        let left = |name: &str| cache.path(name).exists();
        assert!(left("rocksdb-1-a") && left("target"));
        assert!(left("rocksdb-1-b") != left("rocksdb-1-c"), "one of the others is kept");
    }
}
