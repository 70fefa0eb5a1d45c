//! Hostile repositories: what somebody who can write to a repository may put there, correctly hashed and
//! committed. `verify` finds it, and `restore`, `diff`, `show` and `export` end in an answer or an error,
//! within 64 MiB of memory and a second, with nothing written outside the target.
//!
//! Each repository is read by a process of its own: this binary, run again with [`measure::CASE`] set.
#![cfg(all(target_os = "linux", feature = "cli", feature = "rocksdb", feature = "files"))]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

mod files;
mod forge;
mod measure;
mod records;

use forge::Forge;
use measure::{Outcome, read_in_a_child};

/// The most memory that reading takes, beside what the process has before.
const MAX_MEMORY: u64 = 64 << 20;

/// The most CPU time of one operation, in milliseconds. A second is the aim; this is a build without
/// optimisation on a machine that does other things.
const MAX_MILLISECONDS: u64 = 5_000;

/// A repository whose newest snapshot is hostile.
struct Hostile {
    name: &'static str,
    forge: Forge,
    /// Whether its manifest is sound, so that `show` may print it.
    shows: bool,
}

#[tokio::test]
async fn hostile_repositories_are_refused_within_memory_and_time() {
    if measure::is_child() {
        return Box::pin(measure::read()).await;
    }
    let mut all = records::all().await;
    all.extend(files::all().await);
    assert!(all.len() >= 40, "{}", all.len());
    let (mut memory, mut slowest) = (0, 0);
    for hostile in &all {
        let name = hostile.name;
        let outcomes = read_in_a_child(hostile);
        assert_eq!(outcomes.len(), 5, "{name}: {outcomes:?}");
        for outcome in &outcomes {
            let Outcome { operation, refused, kilobytes, milliseconds, said } = outcome;
            let must = match operation.as_str() {
                "verify" | "restore" | "export" => Some(true),
                "show" => Some(!hostile.shows),
                // It reads no more than it needs to tell that two snapshots differ.
                _ => None,
            };
            assert!(must.is_none_or(|must| must == *refused), "{name}: {outcome:?}");
            assert!(!said.is_empty(), "{name}: {outcome:?}");
            assert!(kilobytes << 10 <= MAX_MEMORY, "{name}: {outcome:?}");
            assert!(*milliseconds <= MAX_MILLISECONDS, "{name}: {outcome:?}");
            (memory, slowest) = (memory.max(*kilobytes), slowest.max(*milliseconds));
        }
        hostile.forge.assert_nothing_outside(name);
    }
    println!("{} hostile repositories, each refused", all.len());
    println!("at most {memory} KiB more, and {slowest} ms of one processor");
}
