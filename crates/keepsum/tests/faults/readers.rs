//! `verify` and `diff`, of which any operation fails: they answer as ever or say that they could not, never
//! that something is damaged or different, and they leave the repository as it is.

use std::path::PathBuf;

use testkit::crash::{Tree, Volume};
use testkit::faults::{Ran, Shim, ShimFault};

use crate::place::{Place, shown};
use crate::scenario::{RESTORES, Scenario};

const FAULTS: [ShimFault; 6] = [
    ShimFault::Error,
    ShimFault::Onwards,
    ShimFault::Short,
    ShimFault::Kill,
    ShimFault::ReadError,
    ShimFault::ReadShort,
];

/// A command that is run again and again from the same beginning.
struct Runs<'a> {
    shim: &'a Shim,
    place: Place,
    beginning: Tree,
    args: Vec<String>,
    /// The answer without a fault.
    good: serde_json::Value,
}

impl<'a> Runs<'a> {
    async fn new(scenario: &Scenario, shim: &'a Shim, words: &[&str]) -> Self {
        let place = Place::new();
        scenario.prepare(&place).await;
        let state = place.repository().await.head().await.unwrap().state;
        let first = state.snapshots.values().min_by_key(|snapshot| snapshot.entry);
        let first = first.unwrap().id.to_string();
        let args = words.iter().map(|word| word.replace("FIRST", &first)).collect();
        let beginning = Volume::read(&place.home()).unwrap().seen_tree();
        let mut runs = Self { shim, place, beginning, args, good: serde_json::Value::Null };
        let output = runs.place.command(&runs.args).output().unwrap();
        runs.good = answer(&output.stdout).unwrap_or_else(|| panic!("{}", shown(&output)));
        runs
    }

    fn repository(&self) -> Vec<PathBuf> {
        let tree = Volume::read(&self.place.path("repo")).unwrap().seen_tree();
        tree.entries.into_keys().collect()
    }

    /// Runs the command with one fault, and looks. False once the fault comes no more.
    fn run(&self, fault: ShimFault, number: u64) -> bool {
        self.place.reset(&self.beginning);
        let before = self.repository();
        let journal = self.place.beside("journal");
        let mut command = self.place.command(&self.args);
        self.shim.load_fault(&mut command, &self.place.home(), &journal, (fault, number));
        let output = command.output().unwrap();
        let ran = Ran::read(&journal, &self.place.home()).unwrap();
        let what = format!("{:?}, {fault:?} at {number}: {}", self.args, shown(&output));
        assert!(!what.contains("panicked"), "{what}");
        if output.status.success() {
            assert_eq!(answer(&output.stdout).as_ref(), Some(&self.good), "{what}");
        } else if fault != ShimFault::Kill {
            assert_eq!(output.status.code(), Some(1), "{what}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.lines().any(|line| line.starts_with("keepsum: ")), "{what}");
        }
        assert_eq!(self.repository(), before, "{what}");
        ran.struck
    }
}

/// What the command printed, without the time that it took.
fn answer(printed: &[u8]) -> Option<serde_json::Value> {
    let mut answer: serde_json::Value = serde_json::from_slice(printed).ok()?;
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("elapsed_seconds");
    }
    Some(answer)
}

/// The telling ones, where the command has many operations because it goes through a scratch store.
const SOME: [ShimFault; 2] = [ShimFault::Error, ShimFault::ReadError];

async fn everywhere(scenario: &Scenario, words: &[&str]) {
    let Some(shim) = Shim::compile() else { return };
    let all = std::env::var("KEEPSUM_FAULTS").is_ok_and(|which| which == "all");
    let is_long = words[0] == "diff" && scenario.shape == "files";
    let faults = if is_long && !all { &SOME[..] } else { &FAULTS };
    let runs = Runs::new(scenario, &shim, words).await;
    let mut tried = Vec::new();
    for fault in faults {
        let mut count = 0;
        while runs.run(*fault, count) {
            count += 1;
        }
        tried.push(format!("{count} {fault:?}"));
    }
    println!("{}, {words:?}: {}", scenario.shape, tried.join(", "));
    assert!(tried.iter().any(|tried| !tried.starts_with("0 ")), "{tried:?}");
}

#[tokio::test]
async fn verify_failed() {
    for scenario in [&RESTORES[0], &RESTORES[3]] {
        everywhere(scenario, &["verify", "--level", "full"]).await;
        everywhere(scenario, &["verify", "--level", "list"]).await;
    }
}

#[tokio::test]
async fn diff_failed() {
    for scenario in [&RESTORES[0], &RESTORES[3]] {
        everywhere(scenario, &["diff", "FIRST", "latest", "--records"]).await;
    }
}
