//! What a snapshot keeps of each table so that it can be made again, as text: `DatabaseInfo::settings`.
//!
//! `docs/FORMAT.md` describes it line by line.

use backup_core::source::DatabaseInfo;
use backup_core::{Error, Result};

use super::encoding::Encoding;

/// The name of the database that holds the schema.
pub(super) const SCHEMA: &str = "sqlite_schema";

/// What the settings of every database of a SQLite store begin with, and the version that this program writes.
const WORD: &str = "sqlite-rows ";
const VERSION: &str = "1";

/// The settings of a database of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settings {
    /// Of the database that holds the schema.
    Schema(Pragmas),
    /// Of a table.
    Table {
        /// The encoding of its database.
        encoding: Encoding,
        /// What its rows are found by.
        key: String,
        /// The statement that makes it.
        sql: String,
    },
}

/// The settings of a SQLite database as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pragmas {
    /// The encoding of its text.
    pub(super) encoding: Encoding,
    /// The length of its pages in bytes.
    pub(super) page_size: u32,
    /// 0, 1 or 2, as the pragma gives it.
    pub(super) auto_vacuum: u8,
    /// What the application calls its files.
    pub(super) application_id: i32,
    /// What the application counts its schema's versions with.
    pub(super) user_version: i32,
    /// Whether it has a write-ahead log.
    pub(super) is_wal: bool,
    /// How many bytes at the end of each page are kept for a checksum or a cipher.
    pub(super) reserved: u8,
}

impl Pragmas {
    /// Those of a new database with this encoding.
    pub(super) fn new(encoding: Encoding) -> Self {
        let (page_size, auto_vacuum, application_id, user_version) = (4096, 0, 0, 0);
        let (is_wal, reserved) = (false, 0);
        Self { encoding, page_size, auto_vacuum, application_id, user_version, is_wal, reserved }
    }

    /// The name of its journal mode. Of all of them only the log is a property of the file.
    pub(super) fn journal_mode(&self) -> &'static str {
        if self.is_wal { "wal" } else { "delete" }
    }

    fn line(&self) -> String {
        format!(
            "schema page_size={} auto_vacuum={} application_id={} user_version={} journal_mode={} reserved={}",
            self.page_size,
            self.auto_vacuum,
            self.application_id,
            self.user_version,
            self.journal_mode(),
            self.reserved,
        )
    }

    /// Exactly what [`line`](Self::line) writes is read.
    fn read(encoding: Encoding, line: &str) -> Option<Self> {
        let mut pragmas = Self::new(encoding);
        for field in line.strip_prefix("schema ")?.split(' ') {
            let (name, value) = field.split_once('=')?;
            match name {
                "page_size" => pragmas.page_size = value.parse().ok()?,
                "auto_vacuum" => pragmas.auto_vacuum = value.parse().ok()?,
                "application_id" => pragmas.application_id = value.parse().ok()?,
                "user_version" => pragmas.user_version = value.parse().ok()?,
                "journal_mode" => pragmas.is_wal = value == "wal",
                "reserved" => pragmas.reserved = value.parse().ok()?,
                _ => return None,
            }
        }
        let is_page = (512..=65536).contains(&pragmas.page_size);
        // SQLite takes no page with less room.
        let has_room = pragmas.page_size.saturating_sub(pragmas.reserved.into()) >= 480;
        let fits =
            is_page && has_room && pragmas.page_size.is_power_of_two() && pragmas.auto_vacuum <= 2;
        (fits && pragmas.line() == line).then_some(pragmas)
    }
}

impl Settings {
    /// Its text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Schema(pragmas) => {
                let (encoding, line) = (pragmas.encoding.name(), pragmas.line());
                format!("{WORD}{VERSION}\nencoding {encoding}\n{line}")
            }
            Self::Table { encoding, key, sql } => {
                format!("{WORD}{VERSION}\nencoding {}\nkey {key}\n{sql}", encoding.name())
            }
        }
    }

    /// The encoding of the database.
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Schema(pragmas) => pragmas.encoding,
            Self::Table { encoding, .. } => *encoding,
        }
    }

    /// Reads the settings of a database.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for those of another engine or a later version, [`Error::Invalid`] for what
    /// is none.
    pub(super) fn read(info: &DatabaseInfo) -> Result<Self> {
        let what = || format!("restoring {:?} as a table of SQLite", info.name);
        let Some(text) = info.settings.as_deref().and_then(|text| text.strip_prefix(WORD)) else {
            return Err(Error::unsupported(
                what(),
                "its records are not rows of a SQLite table, and others beside it are; restore them apart",
            ));
        };
        let (version, rest) = text.split_once('\n').unwrap_or((text, ""));
        if version != VERSION {
            return Err(Error::unsupported(
                what(),
                format!("its rows are of version {version:?}, which a later keepsum knows"),
            ));
        }
        Self::body(&info.name, rest).ok_or_else(|| {
            let what = format!("the settings of table {:?}", info.name);
            Error::invalid(what, "they are not what keepsum writes; the snapshot is not whole")
        })
    }

    fn body(name: &str, text: &str) -> Option<Self> {
        let (encoding, rest) = text.strip_prefix("encoding ")?.split_once('\n')?;
        let encoding = Encoding::named(encoding)?;
        if name == SCHEMA {
            return Pragmas::read(encoding, rest).map(Self::Schema);
        }
        let (key, sql) = rest.strip_prefix("key ")?.split_once('\n')?;
        Some(Self::Table { encoding, key: key.to_owned(), sql: sql.to_owned() })
    }
}

/// Whether these are tables of SQLite databases, of whatever version, and not databases of other engines.
///
/// # Errors
/// [`Error::Unsupported`] where they are both.
pub(crate) fn can_load(databases: &[DatabaseInfo]) -> Result<bool> {
    let is_table = |info: &&DatabaseInfo| {
        info.settings.as_deref().is_some_and(|settings| settings.starts_with(WORD))
    };
    match databases.iter().filter(is_table).count() {
        0 => Ok(false),
        tables if tables == databases.len() => Ok(true),
        tables => Err(Error::unsupported(
            format!("restoring {tables} tables of SQLite together with other databases"),
            "restore each of the others by itself into a file of its own",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, settings: &str) -> DatabaseInfo {
        DatabaseInfo { settings: Some(settings.to_owned()), ..DatabaseInfo::new(name) }
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let table = Settings::Table {
            encoding: Encoding::Utf16Le,
            key: "primary BINARY NOCASE".into(),
            sql: "CREATE TABLE t(a,\n b, PRIMARY KEY(a, b COLLATE NOCASE))".into(),
        };
        assert_eq!(Settings::read(&info("t", &table.text())).unwrap(), table);
        let pragmas = Pragmas {
            page_size: 65536,
            auto_vacuum: 2,
            application_id: -1,
            user_version: i32::MAX,
            is_wal: true,
            ..Pragmas::new(Encoding::Utf8)
        };
        let schema = Settings::Schema(pragmas);
        assert_eq!(Settings::read(&info(SCHEMA, &schema.text())).unwrap(), schema);
    }

    #[test]
    fn what_is_not_written_so_is_refused() {
        let good = Settings::Schema(Pragmas::new(Encoding::Utf8)).text();
        for (from, to) in [
            ("page_size=4096", "page_size=4095"),
            ("page_size=4096", "page_size=04096"),
            ("page_size=4096", "page_size=131072"),
            ("auto_vacuum=0", "auto_vacuum=3"),
            ("journal_mode=delete", "journal_mode=off"),
            ("user_version=0", "user_version=0;ATTACH"),
            ("reserved=0", "reserved=256"),
            ("page_size=4096", "page_size=512 reserved=33"),
            ("UTF-8", "UTF-7"),
        ] {
            let answer = Settings::read(&info(SCHEMA, &good.replace(from, to)));
            assert!(matches!(answer, Err(Error::Invalid { .. })), "{to}: {answer:?}");
        }
        let later = Settings::read(&info("t", "sqlite-rows 2\nwhatever"));
        assert!(matches!(later, Err(Error::Unsupported { .. })), "{later:?}");
        let other = Settings::read(&DatabaseInfo::new("t"));
        assert!(matches!(other, Err(Error::Unsupported { .. })), "{other:?}");
    }

    #[test]
    fn only_plans_of_tables_alone_are_taken() {
        let table = info("t", "sqlite-rows 1\n");
        assert!(can_load(std::slice::from_ref(&table)).unwrap());
        assert!(can_load(&[table, DatabaseInfo::new("default")]).is_err());
        assert!(!can_load(&[info("default", "write_buffer_size=1")]).unwrap());
        assert!(!can_load(&[]).unwrap());
    }
}
