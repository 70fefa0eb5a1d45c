//! A shell command that makes the store quiet.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use backup_core::Result;
use backup_core::position::Position;

use crate::quiesce::{Quiesce, failed};

/// The longest position a command may print, in bytes.
const MAX_LINE: u64 = 4096;

/// Runs a shell command to make the store quiet and to let it go on.
///
/// The command is run by `sh -c` twice, with these variables in its environment:
///
/// | variable | value |
/// |---|---|
/// | `KEEPSUM_PHASE` | `pause`, then `resume` |
/// | `KEEPSUM_SOURCE` | the folder that is backed up |
///
/// - `pause`: it returns when the files stay as they are. The first line it prints is the position: a
///   number is a log sequence number, anything else a name, nothing is unknown.
/// - `resume`: it lets the writers go on. It is run after every `pause`, also after one that failed.
/// - Each must end with exit code 0. What it prints as an error is told when it does not.
/// - It may leave a process behind in `pause` that `resume` ends, say a session that holds a lock.
///   That process should give up by itself after a while: nobody resumes for a backup that was killed.
#[derive(Debug, Clone)]
pub struct QuiesceCommand {
    command: String,
    folder: PathBuf,
}

impl QuiesceCommand {
    /// The command line `command`, for the store in `folder`.
    pub fn new(command: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self { command: command.into(), folder: folder.into() }
    }

    /// Runs one phase and returns the first line that it printed.
    fn run(&self, phase: &'static str) -> Result<String> {
        let action = format!("run the quiesce command with KEEPSUM_PHASE={phase}");
        // Files, not pipes: a process that the command leaves behind would keep a pipe open, and one
        // that prints a lot would wait for a reader.
        let file = || tempfile::tempfile().map_err(|error| failed(&action, error));
        let (mut output, mut errors) = (file()?, file()?);
        let handed = |file: &File| file.try_clone().map_err(|error| failed(&action, error));
        let status = Command::new("sh")
            .arg("-c")
            .arg(&self.command)
            .env("KEEPSUM_PHASE", phase)
            .env("KEEPSUM_SOURCE", &self.folder)
            .stdin(Stdio::null())
            .stdout(handed(&output)?)
            .stderr(handed(&errors)?)
            .status()
            .map_err(|error| failed(&action, error))?;
        let said = if status.success() { &mut output } else { &mut errors };
        let line = first_line(said).map_err(|error| failed(&action, error))?;
        if status.success() {
            return Ok(line);
        }
        Err(failed(&action, format!("{status}; it said: {line:?}")))
    }
}

impl Quiesce for QuiesceCommand {
    fn pause(&self) -> Result<Position> {
        let line = self.run("pause")?;
        Ok(match line.parse::<u64>() {
            // Written in another way, as in 00042.log, it is a name.
            Ok(number) if number.to_string() == line => Position::Log(number),
            _ if line.is_empty() => Position::Unknown,
            _ => Position::Named(line),
        })
    }

    fn resume(&self) -> Result<()> {
        self.run("resume").map(drop)
    }
}

fn first_line(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MAX_LINE).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
