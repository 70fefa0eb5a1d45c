//! How the command is told what the library says can be done: the library's sentences name no flags.

/// What the library says, word by word, and the flags that ask for it.
const WAYS: [(&str, &str); 12] = [
    ("accept it as it is now", "keepsum status --accept"),
    ("back up everything anew", "--fresh"),
    ("back up the files", "--files"),
    ("back up the records", "--records"),
    ("each of the others by itself", "--database NAME"),
    ("leave out the logical proof", "--proof logical"),
    ("let the writers wait", "--block-writers"),
    ("make the store quiet for the snapshot", "--quiesce COMMAND"),
    ("name a scratch folder", "--scratch FOLDER"),
    ("name the folder of the tables", "--db-path FOLDER, --cf-path FOLDER"),
    ("say where the logs are", "--wal-dir FOLDER"),
    ("the partitioned layout", "--layout partitioned"),
];

/// A sentence of the library's, with the flags behind what it says can be done.
pub(crate) fn named(sentence: &str) -> String {
    let mut named = sentence.to_owned();
    for (way, flag) in WAYS {
        if let Some(at) = named.find(way) {
            named.insert_str(at + way.len(), &format!(" ({flag})"));
        }
    }
    named
}

/// What is to be added to the command, where the engine cannot know how it is written.
pub(crate) fn to_add(error: &keepsum::Error) -> &'static str {
    match error {
        keepsum::Error::SeveralSources { .. } => {
            "; say which one with --name NAME, or with --host HOST and --source LOCATION, or give the id \
             of a snapshot"
        }
        keepsum::Error::OnlyOthers { .. } => {
            "; if one of those is meant, add --name NAME, or --host HOST and --source LOCATION"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn flags_stand_behind_what_they_ask_for() {
        assert_eq!(
            named("it is encrypted; back up the files instead"),
            "it is encrypted; back up the files (--files) instead"
        );
        assert_eq!(named("cancelled"), "cancelled");
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// A sentence that is worded anew must not lose its flag unseen, and none names one by itself.
    #[test]
    fn the_library_says_each_of_these_and_names_no_flag() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir(crates).unwrap() {
            let folder = entry.unwrap().path().join("src");
            if folder.is_dir() {
                sources(&folder, &mut found);
            }
        }
        // What the command itself says, and what only tests have.
        let aside = |path: &PathBuf| {
            path.ends_with("keepsum/src/location.rs")
                || path
                    .components()
                    .any(|part| part.as_os_str() == "bin" || part.as_os_str() == "testkit")
        };
        found.retain(|path| !aside(path));
        let mut all = String::new();
        for path in &found {
            let text = fs::read_to_string(path).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let flag = line.split([' ', '(', '"', '`']).find(|word| {
                    word.strip_prefix("--")
                        .is_some_and(|rest| rest.starts_with(char::is_alphabetic))
                });
                // What is said of another program's flags.
                let of_another = ["aws configure", "export-credentials", "ldb", "--from=KEY"]
                    .iter()
                    .any(|word| line.contains(word));
                assert!(flag.is_none() || of_another, "{}: {line}", path.display());
                all.push_str(line.trim().trim_end_matches('\\'));
                all.push(' ');
            }
        }
        let all: Vec<&str> = all.split_whitespace().collect();
        let all = all.join(" ");
        for (way, _) in WAYS {
            assert!(all.contains(way), "{way:?} is said nowhere");
        }
    }
}
