//! Damaged copies of the good repositories.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use backup_core::progress::Context;
use keepsum::verify::{Level, not_opened, verify};
use keepsum::{Repository, RepositoryLocation};
use serde_json::{Value, json};

use crate::{deterministic, write_expected};

/// A kind of damage.
struct Damage {
    name: &'static str,
    about: &'static str,
    /// The good repository that it is done to.
    of: &'static str,
    harm: fn(&Path) -> Result<()>,
}

const DAMAGES: [Damage; 7] = [
    Damage {
        name: "damaged-flipped-byte",
        about: "one bit of the largest object is flipped",
        of: "memory-records",
        harm: |repository| change(&largest(repository)?, |bytes| bytes[1000] ^= 0x10),
    },
    Damage {
        name: "damaged-truncated-object",
        about: "the largest object ends early",
        of: "rocksdb-files",
        harm: |repository| change(&largest(repository)?, |bytes| bytes.truncate(100)),
    },
    Damage {
        name: "damaged-missing-object",
        about: "the largest object is gone",
        of: "rocksdb-records",
        harm: |repository| Ok(fs::remove_file(largest(repository)?)?),
    },
    Damage {
        name: "damaged-swapped-objects",
        about: "the two largest objects have each other's names",
        of: "memory-records",
        harm: |repository| {
            let mut all = objects(repository)?;
            let (Some(one), Some(other)) = (all.pop(), all.pop()) else {
                anyhow::bail!("there are two objects")
            };
            let aside = one.1.with_extension("aside");
            fs::rename(&one.1, &aside)?;
            fs::rename(&other.1, &one.1)?;
            Ok(fs::rename(&aside, &other.1)?)
        },
    },
    Damage {
        name: "damaged-missing-entry",
        about: "an entry in the middle of the catalog is gone",
        of: "memory-records",
        harm: |repository| Ok(fs::remove_file(repository.join("catalog").join(entry(1)))?),
    },
    Damage {
        name: "damaged-replaced-entry",
        about: "the newest entry of the catalog is a copy of the first",
        of: "files",
        harm: |repository| {
            let catalog = repository.join("catalog");
            let newest = fs::read_dir(&catalog)?.count() as u64 - 1;
            ensure!(newest > 0, "there are two entries");
            Ok(fs::copy(catalog.join(entry(0)), catalog.join(entry(newest))).map(drop)?)
        },
    },
    Damage {
        name: "damaged-descriptor",
        about: "a letter of keepsum.json is another",
        of: "files",
        harm: |repository| change(&repository.join("keepsum.json"), |bytes| bytes[20] ^= 0x01),
    },
];

/// Writes them all.
pub(crate) async fn write(parent: &Path) -> Result<()> {
    for Damage { name, about, of, harm } in DAMAGES {
        let folder = parent.join(name);
        let repository = folder.join("repository");
        copy(&parent.join(of).join("repository"), &repository)?;
        harm(&repository).with_context(|| format!("cannot make {name}"))?;
        let location = RepositoryLocation::folder(&repository)?;
        let context = Context::default();
        let opened = Repository::open(&location, &deterministic::host(9), &context).await;
        let report = match opened {
            Ok(repository) => verify(&repository, Level::Full).await?,
            Err(error) => not_opened(Level::Full, error)?,
        };
        ensure!(!report.findings.is_empty(), "{name} is found");
        let base = repository.display().to_string();
        let found = |finding: &keepsum::report::Finding| {
            let what = finding.what.replace(&base, "").trim_start_matches('/').to_owned();
            json!({"kind": finding.kind, "what": what})
        };
        let findings: Vec<Value> = report.findings.iter().map(found).collect();
        write_expected(&folder, about, &[], &findings)?;
    }
    Ok(())
}

fn entry(number: u64) -> String {
    format!("{number:020}")
}

/// All objects with their lengths, the largest last.
fn objects(repository: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for part in fs::read_dir(repository.join("objects"))? {
        for object in fs::read_dir(part?.path())? {
            let object = object?;
            all.push((object.metadata()?.len(), object.path()));
        }
    }
    all.sort();
    Ok(all)
}

fn largest(repository: &Path) -> Result<PathBuf> {
    Ok(objects(repository)?.pop().context("there are objects")?.1)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}
