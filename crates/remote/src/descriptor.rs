//! `keepsum.json`: what makes a prefix of an object store a repository.
//!
//! A JSON document for people and programs, of which the last line but one is
//! `  "checksum": "<64 hex>"`: the BLAKE3 of all bytes before that line. So a flipped byte is found
//! whatever version wrote it.

use archive::catalog::RepositoryId;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Its name.
pub(crate) const PATH: &str = "keepsum.json";

/// The most bytes it may have.
pub(crate) const MAX_BYTES: u64 = 64 << 10;

const FORMAT: u64 = 1;
const BEFORE_CHECKSUM: &[u8] = b"  \"checksum\": \"";
const AFTER_CHECKSUM: &[u8] = b"\"\n}\n";
const CHECKSUM_DIGITS: usize = 64;

/// What `keepsum.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    /// The version of the repository's format.
    pub(crate) format: u64,
    /// The repository's id, 32 hexadecimal digits.
    #[serde(with = "hex::serde")]
    pub(crate) id: [u8; 16],
    /// Random bits of the `init` that wrote it, so that it knows its own.
    #[serde(with = "hex::serde")]
    pub(crate) init: [u8; 16],
    /// When it was written, in milliseconds of Unix time.
    pub(crate) created_ms: u64,
    /// What the store was found to do.
    pub(crate) probed: Probed,
}

/// What a store was found to do by `init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent findings, not a state machine")]
pub(crate) struct Probed {
    /// Of several writers that create one name, one wins, and its bytes are there.
    pub(crate) conditional_create: bool,
    /// Parts are read by range.
    pub(crate) range_reads: bool,
    /// What was stored is listed, with its size.
    pub(crate) lists: bool,
    /// What was deleted is gone.
    pub(crate) deletes: bool,
}

/// The version, which alone is read of a newer format.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

impl Descriptor {
    pub(crate) fn new(id: RepositoryId, init: [u8; 16], created_ms: u64, probed: Probed) -> Self {
        Self { format: FORMAT, id: id.0, init, created_ms, probed }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_string_pretty(self)
            .expect("a struct of numbers, strings and flags is always JSON");
        let open = json.strip_suffix("\n}").expect("pretty JSON of a struct ends so");
        let mut bytes = format!("{open},\n").into_bytes();
        let checksum = blake3::hash(&bytes).to_hex();
        bytes.extend_from_slice(BEFORE_CHECKSUM);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes.extend_from_slice(AFTER_CHECKSUM);
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote. `address` is what messages call the repository.
    pub(crate) fn parse(bytes: &[u8], address: &str) -> Result<Self> {
        let malformed =
            |detail: &str| Error::damaged(PATH)(archive::Error::malformed(PATH, 0, detail));
        let Some(covered) = checked(bytes) else {
            return Err(malformed("its checksum is missing or another"));
        };
        let version: Version =
            serde_json::from_slice(bytes).map_err(|_| malformed("it has no format version"))?;
        match version.format {
            FORMAT => {}
            found if found > FORMAT => {
                return Err(Error::Newer { address: address.to_owned(), found, known: FORMAT });
            }
            _ => return Err(malformed("it has format version 0")),
        }
        let descriptor: Self =
            serde_json::from_slice(bytes).map_err(|e| malformed(&e.to_string()))?;
        if !descriptor.encode().starts_with(covered) {
            return Err(malformed("it is not written as this format is"));
        }
        Ok(descriptor)
    }
}

/// The bytes that the checksum covers, if it is theirs.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_suffix(AFTER_CHECKSUM)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(CHECKSUM_DIGITS)?)?;
    let covered = rest.strip_suffix(BEFORE_CHECKSUM)?;
    (blake3::hash(covered).to_hex().as_bytes() == digits).then_some(covered)
}
