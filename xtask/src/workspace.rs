//! The clone this program was started in, and what cargo knows about its crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The top folder of the clone.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The clone that `cargo xtask` was called in. Cargo names it at run time; the path compiled in
    /// would be that of another clone where two of them share a target folder.
    pub(crate) fn locate() -> Self {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.parent().map_or_else(|| own.clone(), Path::to_path_buf);
        Self { root }
    }

    /// A clone, or a copy of one, at a given place.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo call in this workspace, by the cargo that started this program.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// The crates of this workspace, by name.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let text =
            process::read(self.cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
        packages_of(&text)
    }
}

/// A crate of the workspace, as `cargo metadata` describes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder of its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    pub(crate) publishable: bool,
    pub(crate) description: String,
    pub(crate) license: String,
    pub(crate) repository: String,
    pub(crate) readme: Option<String>,
    pub(crate) keywords: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a dependency table.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    /// Part of this workspace, rather than of a registry.
    pub(crate) local: bool,
}

/// The table a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// The room of a package: its folder and library, which others also know in the registry by a longer name.
pub(crate) fn room(package: &str) -> &str {
    package.strip_prefix(PREFIX).unwrap_or(package)
}

/// What the names of packages begin with, but for the command's and the hash's.
const PREFIX: &str = "keepsum-";

fn packages_of(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut packages = packages.iter().map(package_of).collect::<Result<Vec<_>>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn package_of(value: &Value) -> Result<Package> {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let manifest = PathBuf::from(text("manifest_path"));
    let mut features: Vec<_> =
        value["features"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    features.sort();
    let dependencies = value["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(Package {
        name: text("name"),
        version: text("version"),
        folder: manifest.parent().context("a manifest lies in a folder")?.to_path_buf(),
        // Absent or null: any registry. An empty list: none.
        publishable: value["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        description: text("description"),
        license: text("license"),
        repository: text("repository"),
        readme: value["readme"].as_str().map(str::to_owned),
        keywords: texts(&value["keywords"]),
        categories: texts(&value["categories"]),
        features,
        dependencies: dependencies.iter().map(dependency_of).collect(),
    })
}

fn dependency_of(value: &Value) -> Dependency {
    Dependency {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        kind: match value["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        },
        optional: value["optional"].as_bool().unwrap_or_default(),
        local: value["path"].is_string(),
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_is_read_whole() {
        let metadata = r#"{"packages": [{
            "name": "keepsum-remote", "manifest_path": "/w/crates/remote/Cargo.toml", "publish": null,
            "description": "d", "license": "MIT", "repository": "r", "readme": "README.md",
            "keywords": ["a"], "categories": ["b"], "features": {"aws": [], "default": []},
            "dependencies": [
                {"name": "keepsum-archive", "kind": null, "optional": false, "path": "/w/crates/archive"},
                {"name": "keepsum-testkit", "kind": "dev", "optional": false, "path": "/w/crates/testkit"},
                {"name": "clap", "kind": null, "optional": true}
            ]
        }, {"name": "kit", "manifest_path": "/w/kit/Cargo.toml", "publish": []}]}"#;
        let packages = packages_of(metadata).expect("the sample is metadata");
        let [remote, kit] = packages.as_slice() else { panic!("two packages: {packages:?}") };
        assert!(!kit.publishable && remote.publishable);
        assert_eq!((room(&remote.name), room("keepsum")), ("remote", "keepsum"));
        assert_eq!(remote.folder, Path::new("/w/crates/remote"));
        assert_eq!(remote.features, ["aws", "default"]);
        let kinds: Vec<_> =
            remote.dependencies.iter().map(|d| (d.kind, d.local, d.optional)).collect();
        assert_eq!(
            kinds,
            [(Kind::Normal, true, false), (Kind::Dev, true, false), (Kind::Normal, false, true)]
        );
    }
}
