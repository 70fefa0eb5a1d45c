//! What can be written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// Backups that add up: backs up databases to any object store, restores them anywhere, and proves
/// the result
#[derive(Debug, Parser)]
#[command(name = "keepsum", version, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = false)]
#[command(after_help = PLACES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const PLACES: &str = "\
SOURCE and TARGET are sqlite:FILE, rocksdb:PATH, memory:FILE.bcs, memory:FOLDER or files:PATH.
SNAPSHOT is an id or the beginning of one, `latest`, or a time like @2026-11-21T12:00:00.250. The last
two choose among the snapshots of one source, which --name, --host, --source and --label select.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damage found, 4 nothing there, 5 refused.

Example:
  keepsum init --repo /backups/app
  keepsum backup rocksdb:/var/lib/app/db --repo /backups/app
  keepsum restore latest rocksdb:/tmp/db --repo /backups/app";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The repository: a path, file:///PATH, or s3://BUCKET/PREFIX
    #[arg(long, global = true, value_name = "REPO", env = "KEEPSUM_REPO")]
    #[arg(hide_env_values = true, value_hint = ValueHint::DirPath, help_heading = EVERYWHERE)]
    pub(crate) repo: Option<String>,
    /// Print one JSON document
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// How long to wait for a repository's store that has answered and is away
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 120)]
    #[arg(help_heading = EVERYWHERE)]
    pub(crate) patience: u64,
    /// How to show progress, on standard error
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    #[arg(help_heading = EVERYWHERE)]
    pub(crate) progress: ProgressStyle,
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Log what is done to standard error; -vv and -vvv log more
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub(crate) verbose: u8,
}

const EVERYWHERE: &str = "Options of every command";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// A bar with rate and time left
    Bar,
    /// A line every few seconds
    Plain,
    /// A JSON event on each line
    Json,
    /// Nothing
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new repository
    #[command(after_help = "Example:\n  keepsum init --repo /backups/app")]
    Init,
    /// Back a store up into the repository
    Backup(Backup),
    /// List the snapshots of the repository
    Snapshots(Snapshots),
    /// Show all that is known of a snapshot
    #[command(after_help = "Example:\n  keepsum show latest")]
    Show(Named),
    /// Check that everything in the repository is there and whole
    Verify(Verify),
    /// Add the LtHash of every database to a snapshot that was taken without
    #[command(after_help = "\
The records are read from the repository: the proof shows what is kept there, not what the source
held.

Example:
  keepsum prove latest")]
    Prove(Named),
    /// Restore a snapshot into a store
    Restore(Restore),
    /// Compare two snapshots, two stores, or a snapshot and a store
    Diff(Diff),
    /// Print the LtHash of every database of a store
    Hash(Hash),
    /// Copy a store into one of another engine, without a repository
    Convert(Convert),
    /// Write a snapshot's records into portable files
    Export(Export),
    /// Back portable files up into the repository
    Import(Import),
    /// Show the state of the repository, and backups that are under way
    Status(Status),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  keepsum completions bash > ~/.local/share/bash-completion/completions/keepsum")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A snapshot, named.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// An id or the beginning of one, `latest`, or @TIME
    pub(crate) snapshot: String,
    #[command(flatten)]
    pub(crate) within: Within,
}

const WITHIN: &str = "Which snapshots are meant";

/// Within what a snapshot is looked for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = WITHIN)]
pub(crate) struct Within {
    /// Those of the source that `backup --name` gave this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Those that this host took
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub(crate) host: Option<String>,
    /// Those of the store at this location, as `snapshots` prints it or as `backup` was given it
    #[arg(long, value_name = "LOCATION")]
    pub(crate) source: Option<String>,
    /// Those with this label
    #[arg(long, value_name = "WORD")]
    pub(crate) label: Option<String>,
}

/// Arguments of `snapshots`.
#[derive(Debug, Args)]
#[command(after_help = "\
The snapshots of each source stand together, the newest last: the catalog counts them, whatever clocks
say. A time that is ahead of this host's clock, or before that of the snapshot before it, is marked.

Examples:
  keepsum snapshots --json --repo /backups/app
  keepsum snapshots --host db1 --last 3")]
pub(crate) struct Snapshots {
    #[command(flatten)]
    pub(crate) within: Within,
    /// Only so many of the newest of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = WITHIN)]
    pub(crate) last: Option<u32>,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --records or --files, the engine's fastest exact shape is taken. A backup sends only what
the repository does not have yet; when it is interrupted, the same command goes on.

Examples:
  keepsum backup rocksdb:/var/lib/app/db --label nightly
  keepsum backup rocksdb:/var/lib/app/db --files --proof logical
  keepsum backup sqlite:/data/app.db --name app
  keepsum backup files:/var/lib/app --include '*.dat' --quiesce 'app-ctl pause'")]
pub(crate) struct Backup {
    /// The store: sqlite:FILE, rocksdb:PATH, memory:FILE.bcs, memory:FOLDER or files:PATH
    pub(crate) source: String,
    /// Store the records, which restore into any engine
    #[arg(long, conflicts_with = "files")]
    pub(crate) records: bool,
    /// Store the engine's own files, as they are
    #[arg(long)]
    pub(crate) files: bool,
    /// What the snapshot proves; records always prove logically
    #[arg(long, value_name = "PROOF", default_value = "physical")]
    pub(crate) proof: Proof,
    #[command(flatten)]
    pub(crate) remarks: Remarks,
    /// Reuse nothing that is stored already
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// What a snapshot proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proof {
    /// Hashes of all that is stored
    Physical,
    /// The LtHash of every database as well
    Logical,
}

/// What a person says of a snapshot.
#[derive(Debug, Args)]
pub(crate) struct Remarks {
    /// A word to find the snapshot by
    #[arg(long, value_name = "WORD")]
    pub(crate) label: Option<String>,
    /// The name of the source, for a host or path that changes; `backup` takes KEEPSUM_NAME too
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A sentence about the snapshot
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The host to record, instead of this one's name
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(crate) host: Option<String>,
}

/// How a store is read: which files of a folder, and what a database's writers bear.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// files: only those that match; rocksdb: an application's files in the folder, too; `*` matches within one
    /// folder, `**` across folders; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// files: without those that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// files: a shell command that makes the engine quiet while the files are linked or copied
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub(crate) quiesce: Option<String>,
    /// sqlite: writers of a database in rollback-journal mode wait until it is read
    #[arg(long)]
    pub(crate) block_writers: bool,
    /// sqlite: where scratch copies are made
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) scratch: Option<PathBuf>,
    /// rocksdb: the folder of its write-ahead logs, if they are neither where OPTIONS says nor in or beside the
    /// store
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) wal_dir: Option<PathBuf>,
    /// rocksdb: one folder of its db_paths, which RocksDB does not record; may be repeated
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) db_path: Vec<PathBuf>,
    /// rocksdb: one folder of its cf_paths; may be repeated
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) cf_path: Vec<PathBuf>,
}

/// How long a store is waited for.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// sqlite: how long to wait for programs that are in the way of a snapshot
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) wait: Duration,
}

/// A number of seconds, a day at most.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> =
        text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let wrong = || "write a number of seconds from 0 to 86400".to_owned();
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is wrong is printed, and the exit code is 3. The repository is told which objects are damaged,
so that the next backup stores them anew; with --read-only nothing is written to it.

Examples:
  keepsum verify --level full
  keepsum verify --level full --read-only")]
pub(crate) struct Verify {
    /// How much is looked at
    #[arg(long, value_name = "LEVEL", default_value = "list")]
    pub(crate) level: VerifyLevel,
    /// Do not write to the repository which objects are damaged
    #[arg(long)]
    pub(crate) read_only: bool,
}

/// How much `verify` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyLevel {
    /// The catalog, the manifests, and that every object is there with its length
    List,
    /// Every stored byte, every hash, every sum
    Full,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The store is built beside the target, checked, and then put in its place at once. A target that is
not empty is refused without --replace, which keeps the old one aside.

`latest` and @TIME choose among the snapshots of one source; KEEPSUM_NAME stands for --name. With
--if-missing and no other word, the source is the target itself: this host, and the target's location.

Examples:
  keepsum restore latest rocksdb:/tmp/db
  keepsum restore latest sqlite:/tmp/app.db --host db1 --source sqlite:/var/lib/app/app.db
  keepsum restore 3fa2b1 memory:/tmp/users.bcs --database users --as default
  keepsum restore @2026-11-21 rocksdb:/var/lib/app/db --replace --dry-run
  keepsum restore latest sqlite:/var/lib/app/app.db --if-missing
  keepsum restore 3fa2b1 rocksdb:/tmp/what-is-left --salvage
  keepsum restore 3fa2b1 files:/tmp/what-is-left --salvage")]
pub(crate) struct Restore {
    /// An id or the beginning of one, `latest`, or @TIME
    pub(crate) snapshot: String,
    /// The store to make: sqlite:FILE, rocksdb:PATH, memory:FILE.bcs, memory:FOLDER or files:PATH
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) within: Within,
    #[command(flatten)]
    pub(crate) writing: Writing,
    /// Do nothing where a store is there already; where there is no snapshot, exit with 4
    #[arg(long, conflicts_with_all = ["replace", "dry_run", "salvage"])]
    pub(crate) if_missing: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Restore what is left of a damaged snapshot, and list what is lost; nothing is proved
    ///
    /// Records that are whole go into any store. Files of which a part is lost go into files:FOLDER alone: they
    /// keep their length and have zeros where bytes are lost.
    #[arg(long, conflicts_with_all = ["replace", "check", "strict", "dry_run"])]
    pub(crate) salvage: bool,
}

/// How a target is written.
#[derive(Debug, Args)]
pub(crate) struct Writing {
    /// Replace a target that is not empty, and keep the old one aside
    #[arg(long)]
    pub(crate) replace: bool,
    /// How records are laid out; without it, as they were
    #[arg(long, value_name = "LAYOUT")]
    pub(crate) layout: Option<LayoutChoice>,
    #[command(flatten)]
    pub(crate) part: Part,
    /// Make no store where something around its records cannot be made again, and exit with 5
    #[arg(long)]
    pub(crate) strict: bool,
    /// Have SQLite check the store, and put nothing in place where it finds anything; without this, it
    /// checks quickly and only tells
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true,
        default_missing_value = "quick")]
    pub(crate) check: Option<CheckChoice>,
}

/// How a restored store is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckChoice {
    /// Not at all; other engines than SQLite have nothing else
    None,
    /// The structure of every page: SQLite's quick_check
    Quick,
    /// Every index against its table as well: SQLite's integrity_check
    Full,
}

/// A part of a store.
#[derive(Debug, Args)]
pub(crate) struct Part {
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Give the database another name
    #[arg(long = "as", value_name = "NAME", requires = "database")]
    pub(crate) rename: Option<String>,
}

/// How records are laid out in a key-value engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutChoice {
    /// Keys as they are; there are no root keys
    Plain,
    /// Root keys are kept
    Partitioned,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Added are the records that only B has, removed those that only A has. `latest` beside a store is the
latest snapshot of that store, where there is one.

Examples:
  keepsum diff 3fa2b1 latest
  keepsum diff latest rocksdb:/var/lib/app/db --records")]
pub(crate) struct Diff {
    /// A snapshot, or a store like rocksdb:PATH
    #[arg(value_name = "A")]
    pub(crate) before: String,
    /// A snapshot, or a store like rocksdb:PATH
    #[arg(value_name = "B")]
    pub(crate) after: String,
    /// List the records that differ, by key
    #[arg(long)]
    pub(crate) records: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) within: Within,
}

/// Arguments of `hash`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keepsum hash rocksdb:/var/lib/app/db")]
pub(crate) struct Hash {
    /// The store: sqlite:FILE, rocksdb:PATH, memory:FILE.bcs or memory:FOLDER
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  keepsum convert rocksdb:/var/lib/app/db memory:/tmp/app")]
pub(crate) struct Convert {
    /// The store to read: sqlite:FILE, rocksdb:PATH, memory:FILE.bcs or memory:FOLDER
    pub(crate) source: String,
    /// The store to make: sqlite:FILE, rocksdb:PATH, memory:FILE.bcs or memory:FOLDER
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE.bcs holds one database; any other name is a folder with a file for each database.

Examples:
  keepsum export latest /tmp/app
  keepsum export latest /tmp/users.bcs --database users")]
pub(crate) struct Export {
    /// An id or the beginning of one, `latest`, or @TIME
    pub(crate) snapshot: String,
    /// The file or folder to make
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) file: std::path::PathBuf,
    /// Replace what is there, and keep it aside
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) part: Part,
    #[command(flatten)]
    pub(crate) within: Within,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keepsum import /tmp/users.bcs --label moved")]
pub(crate) struct Import {
    /// FILE.bcs, or a folder of such files
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) file: std::path::PathBuf,
    #[command(flatten)]
    pub(crate) remarks: Remarks,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
This host remembers the newest state it saw, and refuses a repository that went back behind it or
was replaced. Where that was intended, --accept forgets what was seen. Where it was not, and several
hosts write there, the store may have let two of them create one entry: what one of them backed up is
lost then, and stays so; back it up again, into a store that keeps to `If-None-Match`.

Example:
  keepsum status")]
pub(crate) struct Status {
    /// Accept a repository that was put back to an older state
    #[arg(long)]
    pub(crate) accept: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("keepsum {}", command.get_name())), "{command}");
        }
    }
}
