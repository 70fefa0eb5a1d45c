//! What a report says of files of which parts are lost, and where they have holes.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;

use remote::tree::{FileSurvey, SurveyedFile};

use crate::report::LossReport;

/// How many files a note names.
const NAMED: usize = 5;

/// All that is lost: what is known by the names of files last, sorted by path.
pub(super) fn losses(survey: &FileSurvey) -> impl Iterator<Item = LossReport> {
    let gone = survey.gone.iter().map(|(path, loss)| (path.as_str(), loss));
    let holed = survey
        .files
        .iter()
        .flat_map(|SurveyedFile { info, lost }| lost.iter().map(|loss| (info.path.as_str(), loss)));
    let mut known: Vec<_> = gone.chain(holed).collect();
    known.sort_by_key(|(path, loss)| (*path, loss.range.start));
    let known = known.into_iter().map(|(path, loss)| LossReport::of_file(path, loss));
    survey.unnamed.iter().map(LossReport::of_files).chain(known)
}

/// Which files have holes, and what a person can do with them.
pub(super) fn notes(survey: &FileSurvey, engine: &str, folder: &Path) -> Vec<String> {
    let holed: Vec<&str> = survey
        .files
        .iter()
        .filter(|file| file.holes().next().is_some())
        .map(|file| file.info.path.as_str())
        .collect();
    let Some(first) = holed.first() else { return Vec::new() };
    let mut notes = vec![format!(
        "{} as long as it was and has zeros where bytes are lost: {}; the list of losses says which bytes",
        if holed.len() == 1 { "one file is" } else { "each of these files is" },
        shortened(&holed),
    )];
    match engine {
        "sqlite" => notes.push(format!(
            "SQLite's own shell copies the rows that are left into a new database: sqlite3 {} .recover | sqlite3 NEW.db \
             (some systems' shells are made without it; that of sqlite.org has it)",
            folder.join(first).display()
        )),
        "rocksdb" => notes.push(
            "these files are no whole RocksDB store: on a copy of the folder, `ldb scan --db=FOLDER`, and again with \
             --from=KEY, reads up to a hole and behind it; `ldb repair --db=FOLDER` makes a store without the tables \
             that have one"
                .to_owned(),
        ),
        _ => notes.push(
            "the program that wrote them may stop at the zeros, or take them for data; try it on a copy".to_owned(),
        ),
    }
    notes
}

fn shortened(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The holes that are still to be left, in the order of the files.
pub(super) struct Holes(VecDeque<(usize, Range<u64>)>);

impl Holes {
    pub(super) fn of(files: &[SurveyedFile]) -> Self {
        let files = files.iter().enumerate();
        Self(files.flat_map(|(at, file)| file.holes().map(move |hole| (at, hole))).collect())
    }

    /// The next of those that come before a place of a file.
    pub(super) fn before(&mut self, file: usize, offset: u64) -> Option<(usize, Range<u64>)> {
        self.0.pop_front_if(|(at, hole)| (*at, hole.start) < (file, offset))
    }
}

impl Iterator for Holes {
    type Item = (usize, Range<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front()
    }
}
