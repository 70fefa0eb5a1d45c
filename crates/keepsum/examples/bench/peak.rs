//! The most memory that a program has resident at a time.
//!
//! The kernel says it of all children that ended, at their highest, and counts the parent's own
//! memory for a child that was just forked. So this program starts itself once more, to have one
//! child only and little memory.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// The subcommand of this program that measures.
pub(crate) const MEASURE: &str = "peak";

/// Runs a command and returns its peak resident memory in bytes (`ru_maxrss`).
pub(crate) fn peak(command: &Command) -> Result<u64> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut measuring = Command::new(own);
    measuring.arg(MEASURE).arg(command.get_program()).args(command.get_args());
    measuring.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output =
        measuring.stderr(Stdio::inherit()).output().context("cannot start this program")?;
    ensure!(output.status.success(), "the measured command failed: {}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().with_context(|| format!("{said:?} is no number of bytes"))
}

/// What the other process does: runs the command, and prints the bytes.
pub(crate) fn measure(words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().context("name a program to measure")?;
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} failed: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the usage of memory")?;
    // Linux counts KiB, macOS bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    println!("{}", usage.max_rss() * unit);
    Ok(())
}
