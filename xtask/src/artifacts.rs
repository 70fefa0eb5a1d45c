//! Programs of this workspace, built to be run by a task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::environment::Environment;
use crate::process;

/// Built programs, by name.
pub(crate) struct Artifacts(BTreeMap<String, PathBuf>);

impl Artifacts {
    /// Builds the `keepsum` command and some examples of its crate, optimised.
    ///
    /// In the release profile: from a cold start it takes as long as the other one, since
    /// dependencies are optimised in both, and the rates that a task prints are those of a real
    /// build.
    pub(crate) fn build(environment: &Environment, examples: &[&str]) -> Result<Self> {
        Self::build_with(environment, &["--all-features"], examples)
    }

    /// The same with these arguments for cargo, as which features are built.
    pub(crate) fn build_with(
        environment: &Environment,
        args: &[&str],
        examples: &[&str],
    ) -> Result<Self> {
        println!("building keepsum, optimised; the first time takes some minutes");
        let mut command = environment.cargo();
        command.args(["build", "--release", "--package", "keepsum", "--bin", "keepsum"]);
        command.args(args);
        for example in examples {
            command.args(["--example", example]);
        }
        command.args(["--message-format", "json-render-diagnostics"]);
        Ok(Self(executables(&process::read(&mut command)?)))
    }

    /// The program of that name.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let program = self.0.get(name).map(PathBuf::as_path);
        program.with_context(|| format!("cargo did not say where it built {name}"))
    }
}

/// The executables that cargo's messages name.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_told_from_libraries_of_the_same_name() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"keepsum","kind":["bin"]},"executable":"/t/keepsum"}
{"reason":"compiler-artifact","target":{"name":"keepsum","kind":["lib"]},"executable":null}
{"reason":"build-finished","success":true}"#;
        let artifacts = Artifacts(executables(messages));
        assert_eq!(artifacts.program("keepsum").expect("it was built"), Path::new("/t/keepsum"));
        assert!(artifacts.program("fill").is_err());
    }
}
