//! `test-all`: every check and every test, in an order that fails early.

use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::environment::Environment;
use crate::package;
use crate::process;
use crate::services;
use crate::stopwatch::{Readable, Stopwatch};
use crate::test_report::TestReport;
use crate::tidy;
use crate::workspace::{Package, Workspace};

/// Arguments of `test-all`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these steps, in their usual order; without any, all of them
    #[arg(value_enum)]
    only: Vec<Step>,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted
    Format,
    /// Arrows between crates, pages, names, sizes
    Tidy,
    /// No warning of the compiler or clippy, for each feature set
    Clippy,
    /// No warning of rustdoc
    Docs,
    /// All tests: units, conformance suites, the command, the pages' examples
    Tests,
    /// Every publishable crate is packaged, and compiles from its package
    Package,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let whole = Stopwatch::start();
    let mut environment = Environment::prepare(workspace)?;
    let mut summary = Vec::new();
    let steps = Step::value_variants();
    for (index, step) in steps.iter().enumerate() {
        let name = step.name();
        if !args.only.is_empty() && !args.only.contains(step) {
            summary.push(format!("{name:<8} skipped: not asked for"));
            continue;
        }
        println!("\n==> [{}/{}] {name}: {}", index + 1, steps.len(), step.about());
        let stopwatch = Stopwatch::start();
        let notes = step
            .run(workspace, &mut environment)
            .with_context(|| format!("`cargo xtask test-all {name}`"))?;
        let took = Readable(stopwatch.elapsed()).to_string();
        println!("==> {name}: passed in {took}");
        summary.push(format!("{name:<8} {took}"));
        summary.extend(notes.into_iter().map(|note| format!("         {note}")));
    }
    println!("\n{}", summary.join("\n"));
    let asked = if args.only.is_empty() { "" } else { ", as far as asked," };
    println!("test-all: passed{asked} in {}", Readable(whole.elapsed()));
    Ok(())
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn about(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Runs the step; returns what the summary should say of it.
    fn run(self, workspace: &Workspace, environment: &mut Environment) -> Result<Vec<String>> {
        match self {
            Self::Format => run_all([cargo(environment, &["fmt", "--all", "--check"])]),
            Self::Tidy => tidy::run(workspace).map(|()| Vec::new()),
            Self::Clippy => {
                let sets = feature_sets(&workspace.packages()?);
                run_all(sets.iter().map(|set| clippy(environment, set)))
            }
            Self::Docs => run_all([docs(environment)]),
            Self::Tests => tests(environment),
            Self::Package => package::check(workspace, environment).map(|()| Vec::new()),
        }
    }
}

fn run_all(commands: impl IntoIterator<Item = Command>) -> Result<Vec<String>> {
    for mut command in commands {
        println!("$ cargo {}", process::arguments(&command));
        process::run(&mut command)?;
    }
    Ok(Vec::new())
}

fn cargo(environment: &Environment, args: &[&str]) -> Command {
    let mut command = environment.cargo();
    command.args(args);
    command
}

fn clippy(environment: &Environment, set: &[String]) -> Command {
    let mut command = cargo(environment, &["clippy", "--quiet"]);
    command.args(set).args(["--", "--deny", "warnings"]);
    command
}

/// What clippy is called with: the whole workspace with all features and all tests first, then each
/// crate that has features with none, with its default ones, and with each alone. The latter without
/// tests, whose own dependencies would turn features on again.
fn feature_sets(packages: &[Package]) -> Vec<Vec<String>> {
    let mut sets = vec![vec!["--workspace", "--all-targets", "--all-features"]];
    for package in packages.iter().filter(|package| !package.features.is_empty()) {
        let name = package.name.as_str();
        sets.push(vec!["--package", name]);
        sets.push(vec!["--package", name, "--no-default-features"]);
        for feature in package.features.iter().filter(|feature| *feature != "default") {
            sets.push(vec!["--package", name, "--no-default-features", "--features", feature]);
        }
    }
    sets.into_iter().map(|set| set.into_iter().map(str::to_owned).collect()).collect()
}

fn docs(environment: &Environment) -> Command {
    let mut command =
        cargo(environment, &["doc", "--quiet", "--workspace", "--all-features", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    command
}

/// Installs what tests ask for, then runs them all. `KEEPSUM_TEST_ALL` tells a test that whatever it
/// needs must be there: it fails where it would otherwise skip.
fn tests(environment: &mut Environment) -> Result<Vec<String>> {
    services::prepare_all(environment)?;
    let mut command = cargo(environment, &["test", "--workspace", "--all-features"]);
    println!("$ cargo {}", process::arguments(&command));
    let mut report = TestReport::default();
    process::run_watched(&mut command, |line| {
        println!("{line}");
        report.line(line);
    })?;
    report.notes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_alone_beside_all_and_none() {
        let package = |name: &str, features: &[&str]| Package {
            name: name.to_owned(),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
            ..Package::default()
        };
        let sets = feature_sets(&[package("plain", &[]), package("rich", &["default", "x"])]);
        let lines: Vec<_> = sets.iter().map(|set| set.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "--workspace --all-targets --all-features",
                "--package rich",
                "--package rich --no-default-features",
                "--package rich --no-default-features --features x",
            ]
        );
    }

    #[test]
    fn every_step_has_a_name_and_says_what_it_is_about() {
        for step in Step::value_variants() {
            assert!(!step.name().is_empty() && !step.about().is_empty(), "{step:?}");
        }
    }
}
