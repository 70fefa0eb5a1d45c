//! Sorted lists of object names: what is condemned or damaged.
//!
//! ```text
//! version   u16   1, little-endian
//! names     40 bytes each: hash, nonce; sorted, each once
//! ```

use archive::limits::MAX_OBJECT_BYTES;
use archive::object::{Kind, ObjectHash, ObjectName, ObjectRef};
use archive::wire::Reader;

use crate::objects::Objects;
use crate::{Error, Result};

const WHAT: &str = "a list of names";
const VERSION: u16 = 1;
const NAME_BYTES: usize = 40;

/// The most names of one list; longer ones are several lists.
pub(crate) const MAX_NAMES: usize = (MAX_OBJECT_BYTES - 2) / NAME_BYTES;

/// The content of a list of at most as many names as an object holds (838,860), which must be sorted and each once.
///
/// # Errors
/// [`archive::Error::Malformed`] or [`archive::Error::Limit`].
pub fn encode(names: &[ObjectName]) -> Result<Vec<u8>, archive::Error> {
    if names.len() > MAX_NAMES {
        return Err(archive::Error::Limit {
            what: "a list of names",
            found: names.len() as u64,
            limit: MAX_NAMES as u64,
        });
    }
    if !names.is_sorted_by(|a, b| a < b) {
        return Err(archive::Error::malformed(WHAT, 0, "its names are not sorted"));
    }
    let mut content = Vec::with_capacity(2 + names.len() * NAME_BYTES);
    content.extend_from_slice(&VERSION.to_le_bytes());
    for name in names {
        content.extend_from_slice(&name.hash.0);
        content.extend_from_slice(&name.nonce);
    }
    Ok(content)
}

/// Reads a list.
///
/// # Errors
/// [`archive::Error::Malformed`], [`archive::Error::Newer`].
pub fn parse(content: &[u8]) -> Result<Vec<ObjectName>, archive::Error> {
    let mut reader = Reader::new(WHAT, content);
    match reader.u16()? {
        VERSION => {}
        0 => return Err(archive::Error::malformed(WHAT, 0, "it has format version 0")),
        found => return Err(archive::Error::Newer { what: WHAT, found, known: VERSION }),
    }
    let mut names = Vec::with_capacity(reader.remaining() / NAME_BYTES);
    while reader.remaining() > 0 {
        names.push(ObjectName { hash: ObjectHash(reader.array()?), nonce: reader.array()? });
    }
    if !names.is_sorted_by(|a, b| a < b) {
        return Err(archive::Error::malformed(WHAT, 2, "its names are not sorted"));
    }
    Ok(names)
}

/// Reads a stored list.
pub(crate) async fn read(objects: &Objects, list: &ObjectRef) -> Result<Vec<ObjectName>> {
    let content = objects.read(Kind::Names, list).await?;
    parse(&content).map_err(|source| Error::Damaged { what: list.name.path(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first: u8) -> ObjectName {
        ObjectName { hash: ObjectHash([first; 32]), nonce: [first; 8] }
    }

    #[test]
    fn a_list_comes_back() {
        for names in [vec![], vec![name(1)], vec![name(1), name(2), name(9)]] {
            assert_eq!(parse(&encode(&names).unwrap()).unwrap(), names);
        }
    }

    #[test]
    fn a_list_must_be_sorted_and_whole() {
        assert!(encode(&[name(2), name(1)]).is_err());
        assert!(encode(&[name(1), name(1)]).is_err());
        let good = encode(&[name(1), name(2)]).unwrap();
        for length in 0..good.len() {
            let whole = [2, 42].contains(&length);
            assert_eq!(parse(&good[..length]).is_ok(), whole, "cut at {length}");
        }
        let mut swapped = good.clone();
        swapped[2..].rotate_left(NAME_BYTES);
        assert!(parse(&swapped).is_err());
        let mut newer = good;
        newer[0] = 2;
        assert!(matches!(parse(&newer), Err(archive::Error::Newer { found: 2, .. })));
    }
}
