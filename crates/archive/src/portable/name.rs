//! Database names as file names, percent-encoded.

use std::fmt::Write;

use backup_core::{Error, Result};

use super::EXTENSION;

/// The longest file name of common file systems, in bytes.
const MAX_FILE_NAME: usize = 255;

/// The name of the file of `database` in a folder: `<database>.bcs`, where every byte but ASCII
/// letters, digits, `-`, `_` and `.` is percent-encoded, and so is a dot at the beginning.
///
/// # Errors
/// [`Error::Limit`] where the file name would be longer than file systems take.
///
/// ```
/// use archive::portable::file_name;
/// assert_eq!(file_name("a/b")?, "a%2Fb.bcs");
/// # Ok::<(), backup_core::Error>(())
/// ```
pub fn file_name(database: &str) -> Result<String> {
    let mut name = encode(database);
    name.push_str(EXTENSION);
    if name.len() > MAX_FILE_NAME {
        let what = format!("the file name of database {database:?}");
        return Err(Error::Limit { what, found: name.len() as u64, limit: MAX_FILE_NAME as u64 });
    }
    Ok(name)
}

/// The database of a file of this name; none where it does not end in `.bcs`.
///
/// # Errors
/// [`Error::Invalid`] for a broken percent-encoding.
pub(crate) fn database_name(file_name: &str) -> Result<Option<String>> {
    let Some(encoded) = file_name.strip_suffix(EXTENSION) else { return Ok(None) };
    match decode(encoded) {
        Some(name) => Ok(Some(name)),
        None => Err(Error::invalid(
            format!("the file name {file_name:?}"),
            "is no percent-encoded database name; rename it, with %25 for a percent sign",
        )),
    }
}

pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if at > 0 => encoded.push('.'),
            b'-' | b'_' => encoded.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes what is written to it"),
        }
    }
    encoded
}

fn decode(encoded: &str) -> Option<String> {
    let mut name = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
            let [Some(high), Some(low)] = digits else { return None };
            name.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_cannot_leave_the_folder() {
        for name in
            ["default", "", ".", "..", "../x", "a/b", "a%2Fb", "ä ö", "x.bcs", "\0", "A-_.9"]
        {
            let file = file_name(name).unwrap();
            assert_eq!(database_name(&file).unwrap().as_deref(), Some(name));
            assert!(!file.contains(['/', '\0']), "{file}");
            assert!(!file.starts_with('.') || name.is_empty(), "{file} is hidden");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_or_left_out() {
        assert_eq!(database_name("KEEPSUM_RESTORED").unwrap(), None);
        for broken in ["%.bcs", "%4.bcs", "%zz.bcs", "%FF.bcs", "a%+1.bcs"] {
            assert!(matches!(database_name(broken), Err(Error::Invalid { .. })), "{broken}");
        }
        assert!(matches!(file_name(&"x".repeat(252)), Err(Error::Limit { found: 256, .. })));
        assert!(file_name(&"x".repeat(251)).is_ok());
    }
}
