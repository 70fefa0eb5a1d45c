//! Stores that are built beside their target and put in its place.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod at_once;
mod places;
mod placing;
mod publishing;
mod without_modes;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backup_core::Result;
use backup_core::disk::LocalDisk;
use backup_core::staging::{Form, Staging};
use backup_core::target::{Existing, Origin};

const FOLDER: Form = Form::Folder { last: Some("CURRENT") };

fn begin(target: &Path, form: Form, existing: Existing) -> Result<Staging> {
    Staging::begin(Arc::new(LocalDisk), target, form, existing)
}

fn origin() -> Origin {
    Origin {
        snapshot: "abc".into(),
        position: "sequence 1".into(),
        taken: "then".into(),
        salvaged: false,
        ownership: None,
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
