//! The index of a write-ahead log, which all that have a database open share (`-shm`).
//!
//! It is read as a file, at the moment of the call. Numbers in it are in the machine's own order.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use super::wal::Sum;
use super::{be32, read_up_to};

/// How long the header is, of which there are two copies.
const HEADER_BYTES: usize = 48;

/// How much of the index is read: both copies of the header, and how far the log was carried back.
const READ_BYTES: usize = 2 * HEADER_BYTES + 4;

/// The only version of the format there is.
const VERSION: u32 = 3_007_000;

/// How often it is read until nobody writes it meanwhile, and how long to wait in between.
const READINGS: u32 = 500;
const WAIT: Duration = Duration::from_millis(1);

/// What the index says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalIndex {
    header: [u8; HEADER_BYTES],
    /// How many frames are in the main file already, all of them where it is `last()`.
    pub(crate) backfilled: u32,
}

impl WalIndex {
    /// Reads the index, again while somebody writes it. None where it stays unfinished: its writer was
    /// stopped half way, or nobody has made it yet.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        for _ in 0..READINGS {
            // Twice: the count of frames that were carried back stands apart from the header.
            if let Some(first) = Self::once(file)?
                && Self::once(file)? == Some(first)
            {
                return Ok(Some(first));
            }
            thread::sleep(WAIT);
        }
        Ok(None)
    }

    fn once(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; READ_BYTES];
        // Writers fill the second copy first: read in the other order, equal copies are whole.
        let (first, rest) = bytes.split_at_mut(HEADER_BYTES);
        let read = read_up_to(file, first, 0)? + read_up_to(file, rest, HEADER_BYTES as u64)?;
        if read < READ_BYTES {
            return Ok(None);
        }
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8; READ_BYTES]) -> Option<Self> {
        let header = *bytes.first_chunk::<HEADER_BYTES>()?;
        let same = bytes.get(HEADER_BYTES..2 * HEADER_BYTES)? == header;
        let mut sum = Sum::new(cfg!(target_endian = "big"));
        sum.add(header.get(..40)?);
        let index = Self { header, backfilled: ne32(bytes, 2 * HEADER_BYTES) };
        let made = header[12] != 0;
        let whole = same && made && sum.words() == [index.at(40), index.at(44)];
        (whole && index.at(0) == VERSION).then_some(index)
    }

    fn at(&self, at: usize) -> u32 {
        ne32(&self.header, at)
    }

    /// The last frame that is committed; 0 for none.
    pub(crate) fn last(&self) -> u32 {
        self.at(16)
    }

    /// How many pages the database has; 0 where only the main file says.
    pub(crate) fn pages(&self) -> u32 {
        self.at(20)
    }

    /// The running checksum of the log after its last committed frame.
    pub(crate) fn sum(&self) -> [u32; 2] {
        [self.at(24), self.at(28)]
    }

    /// The salts, which stand here as they do in the log.
    pub(crate) fn salts(&self) -> [u32; 2] {
        [be32(&self.header, 32), be32(&self.header, 36)]
    }

    /// Whether the main file has everything.
    pub(crate) fn is_carried_back(&self) -> bool {
        self.backfilled >= self.last()
    }
}

/// The number at `at` in the machine's own order.
fn ne32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(0, |number| u32::from_ne_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_being_written_is_not_believed() {
        let mut header = [0_u8; HEADER_BYTES];
        header[0..4].copy_from_slice(&VERSION.to_ne_bytes());
        header[12] = 1;
        header[16..20].copy_from_slice(&9_u32.to_ne_bytes());
        header[32..36].copy_from_slice(&[1, 2, 3, 4]);
        let mut sum = Sum::new(cfg!(target_endian = "big"));
        sum.add(&header[..40]);
        header[40..44].copy_from_slice(&sum.words()[0].to_ne_bytes());
        header[44..48].copy_from_slice(&sum.words()[1].to_ne_bytes());
        let mut bytes = [0_u8; READ_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(&header);
        bytes[HEADER_BYTES..2 * HEADER_BYTES].copy_from_slice(&header);
        bytes[2 * HEADER_BYTES..].copy_from_slice(&4_u32.to_ne_bytes());
        let index = WalIndex::parse(&bytes).unwrap();
        assert_eq!((index.last(), index.backfilled, index.is_carried_back()), (9, 4, false));
        assert_eq!(index.salts()[0], 0x0102_0304);
        for at in 0..2 * HEADER_BYTES {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(WalIndex::parse(&torn), None, "byte {at}");
        }
    }
}
