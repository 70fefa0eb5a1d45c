//! What somebody who depends on one crate pulls in: no engine, runtime or command line that was not
//! asked for.

use anyhow::Result;

use super::Finding;
use crate::process;
use crate::workspace::{Package, Workspace, room};

/// An engine's own crates, and the workspace's crate that brings it.
const ENGINES: &[(&str, &str)] = &[
    ("rocksdb", "backend-rocksdb"),
    ("librocksdb-sys", "backend-rocksdb"),
    ("rusqlite", "backend-sqlite"),
    ("libsqlite3-sys", "backend-sqlite"),
    ("scylla", "backend-scylla"),
];

/// Crates that name no async runtime, so that they work under any.
const WITHOUT_RUNTIME: [&str; 8] = [
    "lthash",
    "backup-core",
    "archive",
    "layers",
    "backend-memory",
    "backend-rocksdb",
    "backend-sqlite",
    "backend-files",
];
const RUNTIME: &str = "tokio";

/// What speaks to object stores on the network.
const NETWORK: [&str; 4] = ["reqwest", "hyper", "rustls", "ring"];
/// The features that bring it.
const NETWORK_FEATURES: [&str; 4] = ["aws", "gcp", "azure", "http"];
/// A second TLS library, or a second C library of cryptography: one is enough.
const NEVER: [&str; 4] = ["native-tls", "openssl-sys", "aws-lc-rs", "aws-lc-sys"];

/// Only for a command.
const COMMAND_LINE: [&str; 4] = ["clap", "anyhow", "indicatif", "tracing-subscriber"];
/// The feature that brings it.
const COMMAND_FEATURE: &str = "cli";

pub(crate) fn check(workspace: &Workspace, packages: &[Package]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.publishable) {
        let features = package.features.iter().filter(|feature| *feature != "default");
        for feature in features.map(Some).chain([None]) {
            let pulled = pulled(workspace, &package.name, feature.map(String::as_str))?;
            findings.extend(judge(room(&package.name), feature.map(String::as_str), &pulled));
        }
    }
    Ok(findings)
}

/// The names of all crates that a consumer of `package` compiles.
fn pulled(workspace: &Workspace, package: &str, feature: Option<&str>) -> Result<Vec<String>> {
    let mut command = workspace.cargo();
    command.args(["tree", "--package", package, "--edges", "normal", "--no-default-features"]);
    command.args(["--prefix", "none", "--format", "{p}"]);
    if let Some(feature) = feature {
        command.args(["--features", feature]);
    }
    Ok(names(&process::read(&mut command)?))
}

fn names(tree: &str) -> Vec<String> {
    let mut names: Vec<_> =
        tree.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

fn judge(package: &str, feature: Option<&str>, pulled: &[String]) -> Vec<Finding> {
    let place = match feature {
        None => format!("{package} without features"),
        Some(feature) => format!("{package} with feature {feature}"),
    };
    let finding =
        |name: &str| Finding::new(&place, format!("pulls {name}, which was not asked for"));
    let has = |name: &str| pulled.iter().any(|pulled| pulled == name);
    // `backend-rocksdb` asks for RocksDB, and so does the feature `rocksdb`.
    let asked = |backend: &str| {
        package == backend || feature.is_some_and(|feature| backend == format!("backend-{feature}"))
    };
    let engines = ENGINES.iter().filter(|(name, backend)| has(name) && !asked(backend));
    let mut findings: Vec<_> = engines.map(|(name, _)| finding(name)).collect();
    if feature != Some(COMMAND_FEATURE) {
        findings.extend(COMMAND_LINE.iter().filter(|name| has(name)).map(|name| finding(name)));
    }
    if !feature.is_some_and(|feature| NETWORK_FEATURES.contains(&feature)) {
        findings.extend(NETWORK.iter().filter(|name| has(name)).map(|name| finding(name)));
    }
    findings.extend(NEVER.iter().filter(|name| has(name)).map(|name| finding(name)));
    if WITHOUT_RUNTIME.contains(&package) && has(RUNTIME) {
        findings.push(finding(RUNTIME));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str, feature: Option<&str>, pulled: &[&str]) -> Vec<String> {
        let pulled: Vec<_> = pulled.iter().map(|&name| name.to_owned()).collect();
        judge(package, feature, &pulled).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_engine_comes_only_when_asked_for() {
        assert_eq!(
            found("remote", None, &["remote", "rocksdb"]),
            ["remote without features: pulls rocksdb, which was not asked for"]
        );
        assert_eq!(found("keepsum", Some("files"), &["librocksdb-sys"]).len(), 1);
        assert!(found("keepsum", Some("rocksdb"), &["rocksdb", "tokio"]).is_empty());
        assert!(found("backend-rocksdb", None, &["rocksdb", "librocksdb-sys"]).is_empty());
        assert_eq!(found("backend-rocksdb", None, &["rusqlite"]).len(), 1);
    }

    #[test]
    fn neither_a_runtime_nor_a_command_line_comes_unasked() {
        assert_eq!(found("archive", None, &["tokio"]).len(), 1);
        assert!(found("remote", None, &["tokio"]).is_empty());
        assert_eq!(found("keepsum", Some("rocksdb"), &["clap"]).len(), 1);
        assert!(found("keepsum", Some("cli"), &["clap", "anyhow"]).is_empty());
    }

    #[test]
    fn a_network_comes_with_a_cloud_and_with_one_tls() {
        assert_eq!(found("remote", None, &["reqwest", "hyper"]).len(), 2);
        assert!(found("remote", Some("aws"), &["reqwest", "hyper", "rustls", "ring"]).is_empty());
        assert_eq!(found("remote", Some("aws"), &["reqwest", "openssl-sys"]).len(), 1);
        assert_eq!(found("keepsum", Some("cli"), &["rustls"]).len(), 1);
    }

    #[test]
    fn names_are_read_from_the_tree_without_versions_and_marks() {
        let tree = "remote v0.1.0 (/w/crates/remote)\nbytes v1.2.3\nbytes v1.2.3 (*)\n";
        assert_eq!(names(tree), ["bytes", "remote"]);
    }
}
