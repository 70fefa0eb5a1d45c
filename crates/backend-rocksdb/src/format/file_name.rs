//! The names of a database's files (`file/filename.cc`).

/// The file that names the current MANIFEST.
pub(crate) const CURRENT: &str = "CURRENT";

/// The file with the database's lasting id.
pub(crate) const IDENTITY: &str = "IDENTITY";

/// The file that a process with the database open holds a lock on. It is never opened here: closing
/// any descriptor of it would drop this process's own locks on it.
pub(crate) const LOCK: &str = "LOCK";

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    Table(u64),
    Blob(u64),
    Wal(u64),
    Manifest(u64),
    Options(u64),
    Current,
    Identity,
    /// LOCK, information logs, temporary files: no part of the data.
    Passing,
}

impl FileKind {
    /// The kind of the file of this name, if it is one of RocksDB's.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            CURRENT => return Some(Self::Current),
            IDENTITY => return Some(Self::Identity),
            LOCK | "LOG" | "LOG.old" => return Some(Self::Passing),
            _ => {}
        }
        if name.starts_with("LOG.old.") || name.ends_with("_LOG") || name.contains("_LOG.old") {
            return Some(Self::Passing);
        }
        if let Some(rest) = name.strip_prefix("MANIFEST-") {
            return number(rest).map(Self::Manifest);
        }
        if let Some(rest) = name.strip_prefix("OPTIONS-") {
            let passing = rest.strip_suffix(".dbtmp").and_then(number).map(|_| Self::Passing);
            return number(rest).map(Self::Options).or(passing);
        }
        let (stem, extension) = name.split_once('.')?;
        let number = number(stem)?;
        match extension {
            "sst" | "ldb" => Some(Self::Table(number)),
            "blob" => Some(Self::Blob(number)),
            "log" => Some(Self::Wal(number)),
            "dbtmp" | "trash" | "sst.trash" | "blob.trash" | "log.trash" => Some(Self::Passing),
            _ => None,
        }
    }
}

/// The name of a table.
pub(crate) fn table(number: u64) -> String {
    format!("{number:06}.sst")
}

/// The name a table has in a database that LevelDB, or a very old RocksDB, began.
pub(crate) fn old_table(number: u64) -> String {
    format!("{number:06}.ldb")
}

/// The name of a blob file.
pub(crate) fn blob(number: u64) -> String {
    format!("{number:06}.blob")
}

/// The name of the MANIFEST that the content of CURRENT names.
pub(crate) fn manifest_of(current: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(current).ok()?.strip_suffix('\n')?;
    matches!(FileKind::of(name), Some(FileKind::Manifest(_))).then(|| name.to_owned())
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let kinds = [
            ("000012.sst", Some(FileKind::Table(12))),
            ("000012.ldb", Some(FileKind::Table(12))),
            ("1234567.blob", Some(FileKind::Blob(1_234_567))),
            ("000009.log", Some(FileKind::Wal(9))),
            ("MANIFEST-000005", Some(FileKind::Manifest(5))),
            ("OPTIONS-000007", Some(FileKind::Options(7))),
            ("OPTIONS-000007.dbtmp", Some(FileKind::Passing)),
            ("LOG.old.1700000000", Some(FileKind::Passing)),
            ("LOCK", Some(FileKind::Passing)),
            ("CURRENT", Some(FileKind::Current)),
            ("000012.sst.bak", None),
            ("+12.sst", None),
            ("notes.txt", None),
            ("99999999999999999999999.sst", None),
        ];
        for (name, kind) in kinds {
            assert_eq!(FileKind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn current_must_name_a_manifest() {
        assert_eq!(manifest_of(b"MANIFEST-000005\n").as_deref(), Some("MANIFEST-000005"));
        assert_eq!(manifest_of(b"MANIFEST-000005"), None);
        assert_eq!(manifest_of(b"../MANIFEST-000005\n"), None);
        assert_eq!(manifest_of(b"\xff\xfe\n"), None);
    }
}
