//! keepsum beside what a user would do instead, in one run, as ratios: `cargo xtask bench`.
//!
//! Rounds alternate between the sides, so that a machine that slows down slows both; medians are
//! compared. All data was just written and is in the page cache for every side, and nothing is left
//! to write back when a measurement starts.

mod arithmetic;
mod clock;
mod command;
mod database;
mod figure;
mod folder;
mod groups;
mod instead;
mod noise;
mod peak;
mod setting;
mod store;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::figure::Table;
use crate::groups::Group;
use crate::setting::Setting;

#[derive(Parser)]
#[command(about = "Compares backups and restores with what a user would do instead")]
struct Args {
    /// What to measure; without any, all
    groups: Vec<Group>,
    /// The keepsum command to measure
    #[arg(long)]
    keepsum: PathBuf,
    /// restic; without it, what it stands beside is unmeasured
    #[arg(long)]
    restic: Option<PathBuf>,
    /// The shell of SQLite; without it, what it stands beside is unmeasured
    #[arg(long)]
    sqlite3: Option<String>,
    /// An empty or new folder on the disk to measure; what is written there is removed again
    #[arg(long)]
    folder: PathBuf,
    /// A folder that gets a Markdown file for each group
    #[arg(long)]
    tables: PathBuf,
    /// The size of every store, as a share of the size that is promised
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Fail where a figure is beyond its limit
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == peak::MEASURE) {
        return peak::measure(&words[2..]);
    }
    run(&Args::parse())
}

fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    ensure!(args.scale > 0.0 && args.scale <= 100.0, "--scale must be above 0 and at most 100");
    for folder in [&args.folder, &args.tables] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let empty = fs::read_dir(&args.folder).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(empty, "{} is not empty; name another folder", args.folder.display());
    let mut setting = Setting::new(&args.keepsum, &args.folder, args.scale, args.rounds);
    setting.restic.clone_from(&args.restic);
    setting.sqlite3.clone_from(&args.sqlite3);
    let all = Group::all();
    let groups = if args.groups.is_empty() { &all[..] } else { &args.groups[..] };
    let mut short = 0;
    for group in groups {
        println!("\n{group}");
        let table = group.measure(&mut setting)?;
        println!("\n{table}");
        short += table.figures.iter().filter(|figure| figure.holds() == Some(false)).count();
        write(args, *group, &table)?;
    }
    folder::remove(&args.folder)?;
    println!("{short} figures are beyond their limits");
    ensure!(!args.check || short == 0, "{short} figures are beyond their limits");
    Ok(())
}

fn write(args: &Args, group: Group, table: &Table) -> Result<()> {
    let path = args.tables.join(format!("{group}.md"));
    fs::write(&path, table.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
