//! Folders of real data that most machines have.

use std::path::PathBuf;

/// Package lists, what is installed, documentation, headers, sources; below the top of the file
/// system.
const PLACES: [&str; 7] = [
    "/var/lib/dpkg/info",
    "/var/lib/apt/lists",
    "/usr/share/doc",
    "/usr/include",
    "/usr/lib/python3",
    "/usr/share/man",
    "/Library/Developer/CommandLineTools/SDKs",
];

/// The folders that are here. Cargo's own sources always are: they were compiled a moment ago.
pub(crate) fn folders() -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let sources = cargo.map(|cargo| cargo.join("registry/src"));
    let mut folders: Vec<_> = PLACES.iter().map(PathBuf::from).chain(sources).collect();
    folders.retain(|folder| folder.is_dir());
    folders
}
