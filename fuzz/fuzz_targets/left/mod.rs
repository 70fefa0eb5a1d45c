//! Files of a SQLite database as something left them, read by keepsum and then by SQLite itself.
//!
//! Set `TMPDIR` to a folder in memory: each run writes them anew.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backend_sqlite::pages::{Options, PageSnapshot, capture};
use backup_core::progress::Context;
use backup_core::{Error, Files, Result};
use pollster::FutureExt;
use rusqlite::Connection;

/// The most bytes of a database that are read and compared whole.
const WHOLE: u64 = 1 << 20;

/// The endings of what lies beside a main file.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What is read and compared.
pub struct Image {
    pub page_size: u32,
    pub pages: u32,
    /// All of it, where it is not too long.
    pub bytes: Option<Vec<u8>>,
}

/// Parts of an input: a first byte that the target gives a meaning, the main file, and what is beside it.
pub struct Parts<'a> {
    pub sealed: usize,
    pub main: &'a [u8],
    pub beside: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// The first byte, the length of the main file in two (little-endian), the main file, the rest.
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let ([sealed, low, high], rest) = input.split_first_chunk()?;
        let (main, beside) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into())?;
        Some(Self { sealed: (*sealed).into(), main, beside: beside.to_vec() })
    }
}

/// Puts the files in their place. The main file stays the same file: this process has it open for good.
pub fn put(main: &[u8], beside: Option<(&str, &[u8])>) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("keepsum-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let path = folder.join("left.db");
    for suffix in BESIDE {
        let _ = fs::remove_file(with(&path, suffix));
    }
    fs::write(&path, main).expect("the temporary folder can be written");
    if let Some((suffix, bytes)) = beside {
        fs::write(with(&path, suffix), bytes).expect("the temporary folder can be written");
    }
    path
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a database as a backup does, and checks that no file of it changed.
///
/// # Errors
/// What a backup would say of it, but for faults that only this program can have.
pub fn read(path: &Path) -> Result<Image> {
    let before = content(path);
    let read = image(path);
    assert_eq!(content(path), before, "reading changes nothing");
    if let Err(error) = &read {
        let of_the_files = matches!(
            error,
            Error::Damaged { .. }
                | Error::Unsupported { .. }
                | Error::Limit { .. }
                | Error::Engine { .. }
        );
        assert!(of_the_files, "{error:?}");
        assert!(!error.to_string().contains('\n'), "an error is one line: {error}");
    }
    read
}

fn image(path: &Path) -> Result<Image> {
    // A clock by which all files are old: nothing waits until a change would show.
    let clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33));
    let snapshot = capture(path, &Options { clock, ..Options::default() }, &Context::default())?;
    let (page_size, pages) = (snapshot.page_size(), snapshot.page_count());
    let length = snapshot.list()[0].bytes;
    assert_eq!(length, u64::from(page_size) * u64::from(pages));
    let range = |from: u64, to: u64| part(&snapshot, from, to);
    if length <= WHOLE {
        let bytes = Some(range(0, length)?);
        return Ok(Image { page_size, pages, bytes });
    }
    range(0, 100_000)?;
    range(length - 100_000, length)?;
    Ok(Image { page_size, pages, bytes: None })
}

fn part(snapshot: &PageSnapshot, from: u64, to: u64) -> Result<Vec<u8>> {
    let bytes = snapshot.read(0, from..to).block_on()?;
    assert_eq!(bytes.len() as u64, to - from);
    Ok(bytes.to_vec())
}

fn content(path: &Path) -> [Option<Vec<u8>>; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| fs::read(with(path, suffix)).ok())
}

/// Lets SQLite recover the database, and compares it with what was read, where SQLite can read it too.
pub fn compare(path: &Path, image: &Image) {
    let Ok(pages) = recover(path) else { return };
    assert_eq!(pages, i64::from(image.pages), "pages of {} bytes", image.page_size);
    let Some(bytes) = &image.bytes else { return };
    let mut recovered = Vec::new();
    let main = File::open(path).expect("it is there");
    main.take(bytes.len() as u64).read_to_end(&mut recovered).expect("it can be read");
    // What lies beyond the end of a file that is too short is zeros.
    recovered.resize(bytes.len(), 0);
    if let Some(at) = (0..bytes.len()).find(|at| recovered[*at] != bytes[*at]) {
        panic!("byte {at} is {} by SQLite, and {} was read", recovered[at], bytes[at]);
    }
}

/// Recovers a database and carries its log back. Gives how many pages it has.
fn recover(path: &Path) -> rusqlite::Result<i64> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", 0)?;
    let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let busy =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
    assert_eq!(busy, 0);
    Ok(pages)
}
