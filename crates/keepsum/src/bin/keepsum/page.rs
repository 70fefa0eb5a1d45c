//! Reports as pages for people.

mod backup;
mod databases;
mod diff;
mod restore;
mod snapshot;
mod status;
mod table;
pub(crate) mod text;
mod verify;

pub(crate) use snapshot::Listed;
pub(crate) use status::Made;

/// A report that can be read by people: whole lines, each with its end.
pub(crate) trait Page {
    /// The text of the page.
    fn page(&self) -> String;
}

/// Sections, a blank line apart; empty ones are left out.
fn sections(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}
