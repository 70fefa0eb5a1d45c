//! The demo's chapters.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::keepsum::{Answer, Content, Keepsum, Size};
use super::{Engine, real_data, writer};
use crate::environment::size_of;

/// Changes made while a backup runs, and the time they take.
const CHANGES: u64 = 4_000;
const CHANGING: Duration = Duration::from_secs(10);
/// How long the writer is at work before that backup begins.
const HEAD_START: Duration = Duration::from_secs(1);

/// What the demo works with.
pub(crate) struct Setting<'a> {
    pub(crate) keepsum: &'a Path,
    pub(crate) writer: writer::Writer<'a>,
    pub(crate) engine: Engine,
    pub(crate) folder: &'a Path,
    pub(crate) limit_mb: u64,
}

pub(crate) fn tell(setting: &Setting) -> Result<()> {
    let repository = setting.folder.join("repository");
    let store = setting.folder.join(match setting.engine {
        Engine::Sqlite => "store.db",
        Engine::Rocksdb => "store",
    });
    let state = setting.folder.join("state");
    let keepsum = Keepsum { program: setting.keepsum, repository: &repository, state: &state };
    let source = format!("{}:{}", setting.engine.word(), store.display());

    make_store(setting, &store)?;
    chapter("A repository, and a first backup");
    keepsum.call(&["init"])?;
    let first = keepsum.call(&["backup", &source, "--label", "first"])?;
    say_backup(&first, stored(&store))?;

    let changing = while_it_changes(setting, &keepsum, &store, &source)?;

    chapter("A backup after the changes, with the LtHash of every record");
    let proved = keepsum.call(&["backup", &source, "--proof", "logical", "--label", "changed"])?;
    say_backup(&proved, stored(&store))?;
    chapter("The same records once more, in the portable shape that any engine takes");
    let records = keepsum.call(&["backup", &source, "--records", "--label", "records"])?;
    say_backup(&records, records.content()?.bytes())?;

    verify(&keepsum)?;
    check_snapshot_of_changing_store(setting, &keepsum, &changing)?;
    restore_and_compare(setting, &keepsum, &source, [&proved, &records])?;
    farewell(setting, &keepsum, [first.text("snapshot")?, proved.text("snapshot")?]);
    Ok(())
}

/// The bytes of a store: of a folder, or of a file and the log beside it.
fn stored(store: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if store.is_dir() {
        size_of(store)
    } else {
        length(store) + length(&store.with_extension("db-wal"))
    }
}

fn chapter(title: &str) {
    println!("\n== {title}");
}

fn make_store(setting: &Setting, store: &Path) -> Result<()> {
    chapter(&format!("A {} store of real data", setting.engine.name()));
    let folders = real_data::folders();
    ensure!(!folders.is_empty(), "found no folder of real data on this machine");
    for folder in &folders {
        println!("  reading {}", folder.display());
    }
    let filled = writer::fill(setting.writer, store, &folders, setting.limit_mb)?;
    println!(
        "{} files and {} lines of text, {} of keys and values, in {}",
        filled.files,
        filled.lines,
        Size(filled.bytes),
        store.display()
    );
    Ok(())
}

/// A snapshot taken while another process wrote.
struct UnderWrites {
    snapshot: String,
    /// How many changes there were before the backup began, at least.
    before: u64,
}

/// Backs up while another process writes.
fn while_it_changes(
    setting: &Setting,
    keepsum: &Keepsum,
    store: &Path,
    source: &str,
) -> Result<UnderWrites> {
    chapter("A backup while another process holds the store open and changes it");
    let changing = writer::Changing::start(setting.writer, store, CHANGES, CHANGING)?;
    // The backup should meet a writer at work, and a log that grows.
    thread::sleep(HEAD_START);
    let before = changing.last_change();
    let backup = keepsum.call(&["backup", source, "--label", "while-changing"])?;
    let after = changing.last_change();
    say_backup(&backup, stored(store))?;
    let all = changing.finish()?;
    println!(
        "changes made: {before} before the backup, {} during it, {all} in all",
        after - before
    );
    ensure!(before < all, "the writer was done before the backup began: nothing was shown");
    Ok(UnderWrites { snapshot: backup.text("snapshot")?.to_owned(), before })
}

fn verify(keepsum: &Keepsum) -> Result<()> {
    chapter("Is every stored byte what it should be?");
    let report = keepsum.call(&["verify", "--level", "full"])?;
    let findings = report.list("findings")?;
    println!(
        "{} objects checked, {} read, {} findings",
        report.number("objects_checked")?,
        Size(report.number("bytes_read")?),
        findings.len()
    );
    ensure!(findings.is_empty(), "the new repository is damaged: {findings:?}");
    Ok(())
}

/// The snapshot taken under writes must be a state that the store really had.
fn check_snapshot_of_changing_store(
    setting: &Setting,
    keepsum: &Keepsum,
    taken: &UnderWrites,
) -> Result<()> {
    chapter("What did the backup under writes catch?");
    let restored = setting.folder.join("restored-while-changing");
    keepsum.call(&[
        "restore",
        &taken.snapshot,
        &format!("{}:{}", setting.engine.word(), restored.display()),
    ])?;
    let changes = writer::check(setting.writer, &restored)?;
    ensure!(
        changes >= taken.before,
        "change {} was made before the backup began, and is not in it",
        taken.before
    );
    println!(
        "one moment between two changes: all of number 1 to {changes}, and nothing of the next"
    );
    Ok(())
}

/// Restores both shapes and compares what came back with what is there.
fn restore_and_compare(
    setting: &Setting,
    keepsum: &Keepsum,
    source: &str,
    [files, records]: [&Answer; 2],
) -> Result<()> {
    let engine = setting.engine;
    chapter(&format!(
        "Restored into {} from the files, and into memory from the records",
        engine.name()
    ));
    let place = |engine: &str, name: &str| {
        format!("{engine}:{}", PathBuf::from(setting.folder).join(name).display())
    };
    let same_engine = place(engine.word(), "restored-from-files");
    let memory = place("memory", "restored-memory");
    for (backup, target) in [(files, &same_engine), (records, &memory)] {
        let restored = keepsum.call(&["restore", backup.text("snapshot")?, target])?;
        let (bytes, seconds) = (restored.number("bytes")?, restored.seconds("elapsed_seconds")?);
        println!(
            "{} restored in {seconds:.2} s{}; proof: {}",
            Size(bytes),
            rate(bytes, seconds),
            restored.text("proved")?
        );
    }

    chapter("Is it the same? The LtHash of each, computed anew from its records");
    let original = keepsum.call(&["hash", source])?.content()?;
    for database in &original.databases {
        println!("  {database}");
    }
    println!("  all      {}", original.global);
    same(&original, &files.content()?, "the files snapshot")?;
    same(&original, &records.content()?, "the records snapshot")?;
    for target in [&same_engine, &memory] {
        same(&original, &keepsum.call(&["hash", target])?.content()?, target)?;
    }
    Ok(())
}

fn same(original: &Content, other: &Content, name: &str) -> Result<()> {
    if original != other {
        bail!("{name} differs from the store: {other:?} instead of {original:?}");
    }
    println!("{name}: the same records");
    Ok(())
}

/// Says what a backup did, at what rate over the `bytes` it covers.
fn say_backup(backup: &Answer, bytes: u64) -> Result<()> {
    let seconds = backup.seconds("elapsed_seconds")?;
    println!("snapshot {}", backup.text("snapshot")?);
    println!(
        "{} shape, {} proof: {} in {seconds:.2} s{}; {} stored anew, {} reused",
        backup.text("shape")?,
        backup.text("proof")?,
        Size(bytes),
        rate(bytes, seconds),
        Size(backup.number("uploaded_bytes")?),
        Size(backup.number("reused_bytes")?),
    );
    Ok(())
}

fn rate(bytes: u64, seconds: f64) -> String {
    if seconds <= 0.0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = bytes as f64 / 1e6 / seconds;
    format!(" ({rate:.0} MB/s)")
}

fn farewell(setting: &Setting, keepsum: &Keepsum, [first, changed]: [&str; 2]) {
    chapter("Yours to look at");
    println!("the store, the repository and what was restored are in {}", setting.folder.display());
    println!("try these; the next demo removes that folder:");
    println!("  export KEEPSUM_REPO={}", keepsum.repository.display());
    let compare = format!("diff {first} {changed}");
    for args in ["snapshots", "show latest", "verify --level full", &compare] {
        println!("  {} {args}", setting.keepsum.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_nothing_takes_no_time() {
        assert_eq!(rate(50_000_000, 0.5), " (100 MB/s)");
        assert_eq!(rate(1, 0.0), "");
    }
}
