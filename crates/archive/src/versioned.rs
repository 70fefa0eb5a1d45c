//! The envelope of manifests and catalog entries: a version, u16, and then BCS.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::Serialize;

use crate::{Error, Result};

/// A version, u16 little-endian, and the BCS of `value`.
pub(crate) fn encode<T: Serialize>(what: &'static str, version: u16, value: &T) -> Result<Vec<u8>> {
    let mut bytes = version.to_le_bytes().to_vec();
    bcs::serialize_into(&mut bytes, value)
        .map_err(|error| Error::unreadable(what, bytes.len(), "possible to write as BCS", error))?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote. From a slice, so that no claimed length of bytes allocates;
/// sequences of anything else are bounded by [`at_most`].
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    what: &'static str,
    known: u16,
    content: &'a [u8],
) -> Result<T> {
    let Some((version, body)) = content.split_first_chunk::<2>() else {
        return Err(Error::malformed(what, content.len(), "it ends before its version"));
    };
    match u16::from_le_bytes(*version) {
        0 => Err(Error::malformed(what, 0, "it has format version 0")),
        found if found > known => Err(Error::Newer { what, found, known }),
        _ => bcs::from_bytes(body).map_err(|error| Error::unreadable(what, 2, "valid BCS", error)),
    }
}

/// A sequence of at most `MAX` elements, for `#[serde(deserialize_with)]`.
///
/// An element in memory may be a hundred times as long as the few bytes that claim it, so a longer
/// sequence is refused before its elements are read.
pub(crate) fn at_most<'de, T, D, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    from.deserialize_seq(AtMost::<T, MAX>(PhantomData))
}

struct AtMost<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMost<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        // BCS says how many there are; a format that does not is counted on the way.
        let claimed = sequence.size_hint().unwrap_or_default();
        let mut elements = Vec::new();
        while claimed <= MAX && elements.len() <= MAX {
            match sequence.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(elements),
            }
        }
        Err(A::Error::invalid_length(claimed.max(elements.len()), &self))
    }
}
