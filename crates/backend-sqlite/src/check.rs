//! What SQLite says of a restored database.
//!
//! SQLite's checks are no proof, and fail on databases that their applications use for years: the bytes are
//! proved elsewhere. Here it is told apart what SQLite finds wrong, what it cannot look at because it lacks
//! what the application's program has, and what the disk failed to give.

use std::fs::File;
use std::io;
use std::path::Path;

use backup_core::check::{CheckLevel, CheckReport, CheckResult};
use backup_core::{Error, Result};
use rusqlite::{Connection, ErrorCode};

use crate::ENGINE;
use crate::file::header::{HEADER_BYTES, Header};
use crate::file::read_up_to;
use crate::moment;
use crate::words::{self, said};

/// How many findings are asked for, and how many of them a note tells.
const MOST: usize = 20;
const TOLD: usize = 3;

/// How much is looked at where nobody said.
pub(crate) const USUAL: CheckLevel = CheckLevel::Quick;

/// Has SQLite check the database in a file that nobody has open.
///
/// # Errors
/// Those of the disk; what SQLite says is no error, but the report.
pub(crate) fn file(built: &Path, asked: Option<CheckLevel>) -> Result<CheckReport> {
    let level = asked.unwrap_or(USUAL);
    if level == CheckLevel::None {
        return Ok(CheckReport::default());
    }
    let ask = || {
        let connection = moment::still(built).map_err(failed(built))?;
        connection_says(&connection, level).map_err(failed(built))
    };
    let mut report = ask()?;
    if report.result != CheckResult::Sound {
        // SQLite says in one word what is wrong in a page and that it could not be read. What cannot be read
        // is an error of the disk, and what could not be read once is asked again.
        let mut file = File::open(built).map_err(Error::io("open", built))?;
        io::copy(&mut file, &mut io::sink()).map_err(Error::io("read", built))?;
        report = ask()?;
    }
    if let Some(finding) = of_length(built)? {
        report.findings.insert(0, finding);
        if report.result == CheckResult::Sound {
            report.result = CheckResult::Findings;
        }
    }
    Ok(report)
}

/// Has SQLite check the database that a connection has open.
///
/// # Errors
/// Those that say neither what is wrong nor that it cannot be looked at: of the disk, of memory.
pub(crate) fn connection_says(
    connection: &Connection,
    level: CheckLevel,
) -> rusqlite::Result<CheckReport> {
    if level == CheckLevel::None {
        return Ok(CheckReport::default());
    }
    let mut findings = Vec::new();
    let asked = ask(connection, pragma(level), &mut findings);
    let result = match asked {
        Ok(()) if findings.is_empty() => CheckResult::Sound,
        Ok(()) => CheckResult::Findings,
        Err(error) => {
            let result = of_refusal(&error);
            let Some(result) = result else { return Err(error) };
            findings.push(said(&error));
            result
        }
    };
    Ok(CheckReport { level, result, findings })
}

/// What SQLite calls a check.
fn pragma(level: CheckLevel) -> &'static str {
    match level {
        CheckLevel::Full => "integrity_check",
        CheckLevel::None | CheckLevel::Quick => "quick_check",
    }
}

fn ask(connection: &Connection, pragma: &str, findings: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA main.{pragma}({MOST})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            findings.push(line);
        }
    }
    Ok(())
}

/// What an error of SQLite's means for a check; none where it is of the disk or of memory.
fn of_refusal(error: &rusqlite::Error) -> Option<CheckResult> {
    let code = match error {
        // A generated column or a CHECK that calls what is not here: the check itself is not compiled.
        rusqlite::Error::SqlInputError { error, .. } => error.code,
        other => other.sqlite_error_code()?,
    };
    match code {
        ErrorCode::DatabaseCorrupt if !words::is_of_another_version(&said(error)) => {
            Some(CheckResult::Findings)
        }
        // A schema that another version wrote, a collation or a function that is not here, a cipher.
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::Unknown
        | ErrorCode::TooBig
        | ErrorCode::AuthorizationForStatementDenied => Some(CheckResult::NotPossible),
        _ => None,
    }
}

/// What the header says of the length, where the file has another.
fn of_length(built: &Path) -> Result<Option<String>> {
    let file = File::open(built).map_err(Error::io("open", built))?;
    let bytes = file.metadata().map_err(Error::io("look at", built))?.len();
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(&file, &mut header, 0).map_err(Error::io("read", built))?;
    if bytes > 0 && read < HEADER_BYTES {
        return Ok(Some(format!("it has {bytes} bytes, less than a header")));
    }
    let Ok(header) = Header::parse(built, &header) else { return Ok(None) };
    let (Some(pages), page) = (header.pages(), header.page_size) else { return Ok(None) };
    let fits = u64::from(pages) * u64::from(page) == bytes;
    Ok((!fits).then(|| format!("its header says {pages} pages of {page}; it has {bytes} bytes")))
}

/// Whether SQLite takes the schema of a database, without which it reads no record.
///
/// # Errors
/// [`Error::Unsupported`] with SQLite's words and what can be done where it does not.
pub(crate) fn takes_schema(connection: &Connection, store: &str) -> Result<()> {
    let Err(error) = connection.prepare("SELECT 1 FROM main.sqlite_schema") else { return Ok(()) };
    if of_refusal(&error) != Some(CheckResult::NotPossible) {
        return Err(Error::engine(ENGINE, format!("read the schema of {store}"))(error));
    }
    let why = format!(
        "SQLite {} says: {}; a newer SQLite made it, or its program encrypts it; its pages can be backed up and \
         restored as they are (the files shape, proved physically)",
        rusqlite::version(),
        said(&error)
    );
    Err(Error::unsupported(format!("reading the records of {store}"), why))
}

/// What a person should read of a check that did not decide.
pub(crate) fn note(report: &CheckReport, what_is_proved: &str) -> Option<String> {
    let pragma = pragma(report.level);
    let mut shown: Vec<&str> = report.findings.iter().take(TOLD).map(String::as_str).collect();
    let more = report.findings.len().saturating_sub(TOLD);
    let rest = format!("and {more} more");
    if more > 0 {
        shown.push(&rest);
    }
    let shown = shown.join("; ");
    match report.result {
        CheckResult::NotDone | CheckResult::Sound => None,
        CheckResult::Findings => {
            Some(format!("{what_is_proved}, though SQLite's {pragma} says of it: {shown}"))
        }
        CheckResult::NotPossible => {
            Some(format!("{what_is_proved}; SQLite's {pragma} cannot look at it here: {shown}"))
        }
    }
}

fn failed(built: &Path) -> impl FnOnce(rusqlite::Error) -> Error + use<> {
    Error::engine(ENGINE, format!("check {}", built.display()))
}
