//! The program that owns the demo's store: an example of the `keepsum` crate that knows engines and
//! nothing of backups.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;

/// The example's name.
pub(crate) const PROGRAM: &str = "fill";

/// The program, and the engine it writes with.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) program: &'a Path,
    pub(crate) engine: &'a str,
}

impl Writer<'_> {
    /// The program with a task, on a store.
    fn command(self, task: &str, store: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.args([task, "--engine", self.engine, "--store"]).arg(store);
        command
    }
}

/// What a new store holds.
pub(crate) struct Filled {
    pub(crate) files: u64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// Makes a store of the files below `folders`.
pub(crate) fn fill(
    writer: Writer<'_>,
    store: &Path,
    folders: &[PathBuf],
    limit_mb: u64,
) -> Result<Filled> {
    let mut command = writer.command("fill", store);
    command.args(["--limit-mb", &limit_mb.to_string()]);
    for folder in folders {
        command.arg("--from").arg(folder);
    }
    let said = parse(&process::read(&mut command)?)?;
    Ok(Filled {
        files: number(&said, "files")?,
        lines: number(&said, "lines")?,
        bytes: number(&said, "bytes")?,
    })
}

/// How many changes a store holds, checked to be a state that it really had.
pub(crate) fn check(writer: Writer<'_>, store: &Path) -> Result<u64> {
    let text = process::read(&mut writer.command("check", store))?;
    number(&parse(&text)?, "changes")
}

/// A process that changes the store.
pub(crate) struct Changing {
    child: Child,
    last: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
}

impl Changing {
    /// Starts to change `store` and waits for the first change.
    pub(crate) fn start(
        writer: Writer<'_>,
        store: &Path,
        changes: u64,
        duration: Duration,
    ) -> Result<Self> {
        let mut child = writer
            .command("change", store)
            .args(["--change", &changes.to_string()])
            .args(["--for-seconds", &duration.as_secs().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", writer.program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("a piped child has an output")?);
        let mut first = String::new();
        lines.read_line(&mut first).context("cannot read what the writer says")?;
        ensure!(!first.is_empty(), "the writer ended before its first change");
        let last = Arc::new(AtomicU64::new(number(&parse(&first)?, "last_change")?));
        let reader = thread::spawn({
            let last = Arc::clone(&last);
            move || {
                // A line that is no progress says nothing; the exit code tells of failures.
                let said = |line: String| number(&parse(&line).ok()?, "last_change").ok();
                for change in lines.lines().map_while(Result::ok).filter_map(said) {
                    last.store(change, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { child, last, reader: Some(reader) })
    }

    /// The number of the last change it told of.
    pub(crate) fn last_change(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Waits for the last change.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let status = self.child.wait().context("cannot wait for the writer")?;
        let read = self.reader.take().map_or(Ok(()), JoinHandle::join);
        ensure!(read.is_ok(), "the thread that reads the writer panicked");
        ensure!(status.success(), "the writer failed: {status}");
        Ok(self.last.load(Ordering::Relaxed))
    }
}

impl Drop for Changing {
    /// Where the demo fails half-way, nothing goes on writing; after `finish` this does nothing.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("the writer said no JSON: {text}"))
}

fn number(said: &Value, field: &str) -> Result<u64> {
    said[field].as_u64().with_context(|| format!("the writer said no `{field}`: {said}"))
}
