//! `bench`: keepsum beside what a user would do instead, as ratios of one run.

mod lthash;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use self::page::Page;
use crate::artifacts::Artifacts;
use crate::environment::Environment;
use crate::machine::Machine;
use crate::process;
use crate::toolchain;
use crate::workspace::Workspace;

/// The groups of figures, in the order of the page. The program that measures knows what each is.
const GROUPS: [&str; 12] = [
    "files",
    "proof",
    "restore",
    "records",
    "insert",
    "memory",
    "growth",
    "sqlite-files",
    "sqlite-records",
    "sqlite-writer",
    "sqlite-memory",
    LTHASH,
];

/// The group that another program measures, without a disk.
const LTHASH: &str = "lthash";

/// Programs of other people that stand beside keepsum, and what makes them say their version. Each is a
/// Debian package of the same name.
const PEERS: [(&str, &str); 2] = [("restic", "version"), ("sqlite3", "--version")];

/// The program that measures, an example of `keepsum`.
const PROGRAM: &str = "bench";

/// Where the figures are kept.
const PAGE: &str = "docs/BENCHMARKS.md";

/// Arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure; without any, all
    #[arg(value_parser = PossibleValuesParser::new(GROUPS))]
    groups: Vec<String>,
    /// The size of every store, as a share of the size that is promised; 0.02 is a quick look
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How often each is measured; medians are compared
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// A new folder on the disk to measure, removed afterwards; without it, one in the cache. At
    /// full scale it needs 30 GiB
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Put the figures into docs/BENCHMARKS.md, in place of those of the same groups
    #[arg(long)]
    write: bool,
    /// Fail where a figure is beyond its limit
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let environment = Environment::prepare(workspace)?;
    let wanted = |group: &&str| args.groups.is_empty() || args.groups.iter().any(|g| g == group);
    let (of_lthash, groups): (Vec<_>, Vec<_>) =
        GROUPS.into_iter().filter(wanted).partition(|group| *group == LTHASH);
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => in_the_cache(&environment, "bench")?,
    };
    let tables = in_the_cache(&environment, "bench-tables")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let machine = Machine::describe(&folder).to_string();
    println!("\n{machine}");
    // What was measured is kept even where a later group fails.
    let outcome = if groups.is_empty() {
        Ok(())
    } else {
        engines(&environment, args, &groups, &folder, &tables)
    };
    let outcome = if of_lthash.is_empty() {
        outcome
    } else {
        lthash::measure(workspace, &environment, &tables).and(outcome)
    };
    if args.write {
        keep(workspace, args, &machine, &tables)?;
    }
    outcome
}

/// Runs the program that measures backups and restores.
fn engines(
    environment: &Environment,
    args: &Args,
    groups: &[&str],
    folder: &Path,
    tables: &Path,
) -> Result<()> {
    let artifacts = Artifacts::build(environment, &[PROGRAM])?;
    let mut command = Command::new(artifacts.program(PROGRAM)?);
    command.args(groups);
    command.arg("--keepsum").arg(artifacts.program("keepsum")?);
    for (program, version) in PEERS {
        if let Some(program) = peer(program, version) {
            command.args([&format!("--{program}"), program]);
        }
    }
    command.arg("--folder").arg(folder).arg("--tables").arg(tables);
    command.args(["--scale", &args.scale.to_string(), "--rounds", &args.rounds.to_string()]);
    if args.check {
        command.arg("--check");
    }
    process::run(&mut command)
}

/// The folder of that name in the cache, without what an earlier run left.
fn in_the_cache(environment: &Environment, name: &str) -> Result<PathBuf> {
    let folder = environment.cache.path(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(folder)
}

/// A program to stand beside, installed where this user may; without it, its figures are unmeasured.
fn peer(program: &'static str, version: &str) -> Option<&'static str> {
    let found = || process::probe(program, &[version]);
    if found().is_none()
        && let Err(error) = toolchain::install(&[program])
    {
        eprintln!("what stands beside {program} stays unmeasured: {error:#}");
    }
    println!("{}", found()?);
    Some(program)
}

/// Puts the measured groups into the page, each with how it came about.
fn keep(workspace: &Workspace, args: &Args, machine: &str, tables: &Path) -> Result<()> {
    let path = workspace.root().join(PAGE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut page = Page::new(text);
    for group in GROUPS {
        let table = tables.join(format!("{group}.md"));
        if !table.exists() {
            continue;
        }
        let table = fs::read_to_string(&table)
            .with_context(|| format!("cannot read {}", table.display()))?;
        let section = format!(
            "{table}\nTo repeat: `cargo xtask bench {group} --scale {} --rounds {}`. Measured on:\n\n\
             ```text\n{machine}\n```",
            args.scale, args.rounds
        );
        page.put(group, &section)?;
    }
    fs::write(&path, page.text()).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_every_group() {
        let path = Workspace::locate().root().join(PAGE);
        let mut page = Page::new(fs::read_to_string(path).expect("the page is there"));
        for group in GROUPS {
            page.put(group, "a table").expect("the group has its place");
        }
        assert_eq!(page.text().matches("a table").count(), GROUPS.len());
    }
}
