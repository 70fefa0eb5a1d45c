//! The crates as a registry would hand them out: packaged, unpacked again, and compiled from that.
//!
//! `cargo package` alone can do so, but it keeps what it unpacked by name and version, and would
//! compile one crate against an earlier state of another one whose version has not changed since.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::environment::Environment;
use crate::process;
use crate::workspace::{Package, Workspace};

/// Packages every publishable crate and compiles the packages.
pub(crate) fn check(workspace: &Workspace, environment: &Environment) -> Result<()> {
    let packages = workspace.packages()?;
    let publishable: Vec<_> = packages.iter().filter(|package| package.publishable).collect();
    make(environment, &packages)?;
    let folder = environment.target().join("unpacked");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for package in &publishable {
        unpack(environment, package, &folder)?;
    }
    gather(workspace, &publishable, &folder)?;
    let mut command = environment.cargo();
    command.current_dir(&folder).args(["check", "--quiet", "--workspace", "--all-features"]);
    println!("$ cargo {} (in {})", process::arguments(&command), folder.display());
    process::run(&mut command)
}

fn make(environment: &Environment, packages: &[Package]) -> Result<()> {
    let mut command = environment.cargo();
    command.args(["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty"]);
    for package in packages.iter().filter(|package| !package.publishable) {
        command.args(["--exclude", &package.name]);
    }
    println!("$ cargo {}", process::arguments(&command));
    process::run(&mut command)
}

fn unpack(environment: &Environment, package: &Package, folder: &Path) -> Result<()> {
    let archive =
        environment.target().join("package").join(format!("{}.crate", full_name(package)));
    // Times of change as of now: those in the archive never change, and cargo goes by them.
    process::run(Command::new("tar").arg("-xmzf").arg(archive).arg("-C").arg(folder))
}

/// Makes one workspace of the unpacked crates, which takes each from here and not from a registry.
fn gather(workspace: &Workspace, packages: &[&Package], folder: &Path) -> Result<()> {
    let own = workspace.root().join("Cargo.toml");
    let own = fs::read_to_string(&own).with_context(|| format!("cannot read {}", own.display()))?;
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, manifest_of(packages, &own))
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    let lock = workspace.root().join("Cargo.lock");
    fs::copy(&lock, folder.join("Cargo.lock"))
        .with_context(|| format!("cannot copy {}", lock.display()))?;
    Ok(())
}

/// With this workspace's profiles, so that dependencies that clippy compiled serve again.
fn manifest_of(packages: &[&Package], own: &str) -> String {
    let mut text =
        "[workspace]\nresolver = \"3\"\nmembers = [\"*-*.*.*\"]\n\n[patch.crates-io]\n".to_owned();
    for package in packages {
        let name = full_name(package);
        writeln!(text, "{} = {{ path = \"{name}\" }}", package.name).expect("a string takes all");
    }
    let profiles = own.find("\n[profile.").map_or("", |start| &own[start..]);
    text + profiles
}

fn full_name(package: &Package) -> String {
    format!("{}-{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_taken_from_its_package_and_profiles_are_kept() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            ..Package::default()
        };
        let own = "[workspace]\nmembers = [\"crates/*\"]\n\n[profile.dev]\nopt-level = 1\n";
        let text = manifest_of(&[&package("lthash"), &package("remote")], own);
        assert!(text.contains("\nlthash = { path = \"lthash-0.1.0\" }\nremote = { path"), "{text}");
        assert!(text.ends_with("\n\n[profile.dev]\nopt-level = 1\n"), "{text}");
        assert!(!text.contains("crates/*"), "{text}");
    }
}
