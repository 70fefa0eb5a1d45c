//! `plant`: shows that the tests can fail.
//!
//! Each fault of the list is planted in a copy of the clone, alone; the test that it names must then
//! fail. A fault that no test finds is a rule that nothing holds up.

mod copy;
pub(crate) mod faults;

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::environment::{self, Environment};
use crate::process;
use crate::services;
use crate::stopwatch::{Readable, Stopwatch};
use crate::workspace::Workspace;
use copy::Copy;
use faults::{FOLDER, Fault};

/// Arguments of `plant`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the faults whose `page/name` holds one of these words
    names: Vec<String>,
    /// Print the faults, and plant none
    #[arg(long)]
    list: bool,
}

/// How much of what a failed test said is printed, in characters.
const SAID: usize = 200;

/// What came of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The test failed, and said this.
    Caught(String),
    /// The test passed.
    Missed,
    /// With the fault in it, the code does not compile.
    DoesNotCompile,
    /// The text to replace is not there exactly once.
    DoesNotFit(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(said) => write!(f, "caught: {said}"),
            Self::Missed => f.write_str("MISSED: the test passes"),
            Self::DoesNotCompile => f.write_str("DOES NOT COMPILE"),
            Self::DoesNotFit(why) => write!(f, "DOES NOT FIT: {why}"),
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut faults = read(workspace.root())?;
    let asked = |fault: &Fault| args.names.iter().any(|name| fault.name.contains(name.as_str()));
    faults.retain(|fault| args.names.is_empty() || asked(fault));
    if faults.is_empty() {
        bail!("no such fault; `cargo xtask plant --list` prints them all");
    }
    if args.list {
        for fault in &faults {
            println!("{}\n    {}", fault.name, fault.shows);
        }
        return Ok(());
    }
    let cache = Cache::open()?;
    let turn = environment::take_turn(&cache.path("planted.lock"))?;
    let folder = cache.path("planted");
    eprintln!("the copy that faults are planted in: {}", folder.display());
    let copy = Copy::make(workspace.root(), &folder.join("clone"))?;
    let copied = Workspace::at(copy.root().to_owned());
    let mut environment = Environment::prepare_apart(&copied, cache, folder.join("target"), turn)?;
    services::prepare_all(&mut environment)?;
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    Planting { copy: &copy, environment: &environment, logs: &logs }.all(&faults)
}

/// All faults of all pages, in the order of the pages' names.
fn read(root: &Path) -> Result<Vec<Fault>> {
    let folder = root.join(FOLDER);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let pages = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    let mut pages = pages.with_context(|| format!("cannot list {}", folder.display()))?;
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "toml"));
    pages.sort();
    let mut faults = Vec::new();
    for page in pages {
        let named = || page.display().to_string();
        let text = fs::read_to_string(&page).with_context(named)?;
        let topic = page.file_stem().unwrap_or_default().to_string_lossy();
        faults.extend(faults::parse(&topic, &text).with_context(named)?);
    }
    Ok(faults)
}

/// A copy, and the means to build and test it.
struct Planting<'a> {
    copy: &'a Copy,
    environment: &'a Environment<'a>,
    logs: &'a Path,
}

impl Planting<'_> {
    /// Plants one fault after the other, and reports.
    fn all(&self, faults: &[Fault]) -> Result<()> {
        self.check_tests(faults)?;
        let mut wrong = Vec::new();
        for (index, fault) in faults.iter().enumerate() {
            let stopwatch = Stopwatch::start();
            let outcome = self.one(fault)?;
            let took = Readable(stopwatch.elapsed());
            println!("[{}/{}] {} ({took})\n    {outcome}", index + 1, faults.len(), fault.name);
            if !matches!(outcome, Outcome::Caught(_)) {
                println!("    the test's output: {}", self.log(&fault.name).display());
                wrong.push(fault.name.as_str());
            }
        }
        if wrong.is_empty() {
            println!("plant: all {} faults were caught", faults.len());
            return Ok(());
        }
        let (count, names) = (wrong.len(), wrong.join("\n  "));
        bail!("{count} of {} faults were not caught:\n  {names}", faults.len());
    }

    /// A test that fails by itself would seem to catch everything.
    fn check_tests(&self, faults: &[Fault]) -> Result<()> {
        let mut tests: Vec<_> = faults.iter().map(|fault| &fault.test).collect();
        tests.sort();
        tests.dedup();
        for test in tests {
            println!("without a fault: cargo test --all-features {}", test.join(" "));
            if !self.cargo_test(test, "without-a-fault")? {
                let log = self.log("without-a-fault");
                bail!("the test fails without any fault; its output: {}", log.display());
            }
        }
        Ok(())
    }

    fn one(&self, fault: &Fault) -> Result<Outcome> {
        if let Err(error) = self.copy.plant(&fault.edits) {
            return Ok(Outcome::DoesNotFit(format!("{error:#}")));
        }
        let outcome = self.outcome(fault);
        self.copy.uproot(&fault.edits)?;
        outcome
    }

    fn outcome(&self, fault: &Fault) -> Result<Outcome> {
        let build: Vec<_> = std::iter::once("--no-run".to_owned())
            .chain(fault.test.iter().take_while(|word| *word != "--").cloned())
            .collect();
        if !self.cargo_test(&build, &fault.name)? {
            return Ok(Outcome::DoesNotCompile);
        }
        if self.cargo_test(&fault.test, &fault.name)? {
            return Ok(Outcome::Missed);
        }
        let said = fs::read(self.log(&fault.name)).unwrap_or_default();
        Ok(Outcome::Caught(complaint(&String::from_utf8_lossy(&said))))
    }

    /// Whether `cargo test` with these arguments succeeds. Its output goes to the log.
    fn cargo_test(&self, args: &[String], log: &str) -> Result<bool> {
        let path = self.log(log);
        let unwritable = || format!("cannot write {}", path.display());
        let log = File::create(&path).with_context(unwritable)?;
        let mut command = self.environment.cargo();
        command.args(["test", "--all-features"]).args(args).env("RUST_BACKTRACE", "0");
        command.stdout(log.try_clone().with_context(unwritable)?).stderr(log);
        let status = command.status();
        let named = || format!("cannot start `cargo {}`", process::arguments(&command));
        Ok(status.with_context(named)?.success())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}.log", name.replace('/', "-")))
    }
}

/// The first thing that a failed test said: the line after the one that says where it panicked.
fn complaint(log: &str) -> String {
    let mut lines = log.lines().skip_while(|line| !line.contains(" panicked at "));
    let said = lines.nth(1).map(str::trim).filter(|line| !line.is_empty());
    said.unwrap_or("the test fails").chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_complaint_of_a_test_is_found() {
        let log = "running 2 tests\n\nthread 'a' (1) panicked at src/a.rs:3:5:\nseed 7: lost\nmore\n\
                   thread 'b' (2) panicked at src/b.rs:1:1:\nother\n";
        assert_eq!(complaint(log), "seed 7: lost");
        assert_eq!(complaint("process aborted"), "the test fails");
    }

    #[test]
    fn the_pages_of_this_clone_are_well_formed_and_their_names_differ() {
        let faults = read(Workspace::locate().root()).expect("every page can be read");
        let mut names: Vec<_> = faults.iter().map(|fault| &fault.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), faults.len());
        assert!(!faults.is_empty());
    }
}
