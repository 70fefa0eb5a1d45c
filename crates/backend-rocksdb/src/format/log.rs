//! The log format that MANIFEST and WAL files share (`db/log_format.h`, `db/log_reader.cc`).
//!
//! A log is blocks of 32 KiB. A block holds fragments, each with a masked CRC-32C, a length of two
//! bytes and a type; a record is one full fragment, or a first, any middle and a last one. A
//! recycled log's fragments carry the log's number too, so that what an earlier log left behind is
//! told apart.

use std::io::{self, Read};

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::cursor::Cursor;

const BLOCK: usize = 32768;
const HEADER: usize = 7;
const RECYCLABLE_HEADER: usize = 11;

/// The longest record that is kept whole, in bytes: a MANIFEST record lists a column family's
/// files, some 200 bytes each.
const MAX_RECORD: usize = 1 << 30;

/// RocksDB's number for ZSTD, the only compression a WAL may have.
const ZSTD: u32 = 7;

/// Why a log ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After a whole record, at the end of the file or of what was ever written to it.
    Clean,
    /// Inside a record, at the end of the file: its writer stopped there, or is still writing.
    Torn,
    /// At bytes that no writer leaves behind.
    Damaged {
        /// Where the block with them starts, in bytes.
        block: u64,
        /// What is wrong with them.
        reason: &'static str,
    },
}

/// Reads the records of a log, up to its [`End`].
pub(crate) struct LogReader<R> {
    file: R,
    log_number: u32,
    /// How much of each record is kept; the rest is only checked.
    keep: usize,
    block: Vec<u8>,
    at: usize,
    /// Where `block` starts in the file.
    start: u64,
    last_block: bool,
    recycled: bool,
    compression: Compression,
}

enum Compression {
    None,
    Zstd(Box<Decoder<'static>>),
}

/// One step of the reader.
enum Fragment {
    Full(Vec<u8>),
    First(Vec<u8>),
    Middle(Vec<u8>),
    Last(Vec<u8>),
    /// A fragment that says something about the log itself.
    Aside,
    /// The rest of the block was never written.
    Unwritten,
    End(End),
}

impl<R: Read> LogReader<R> {
    /// A reader of the log with this number (0 for a MANIFEST) that keeps whole records.
    pub(crate) fn whole(file: R, log_number: u64) -> Self {
        Self::keeping(file, log_number, MAX_RECORD)
    }

    /// A reader that keeps the first `keep` bytes of each record and checks all of them.
    pub(crate) fn keeping(file: R, log_number: u64, keep: usize) -> Self {
        // Fragments carry the lower 32 bits of the number.
        let [a, b, c, d, ..] = log_number.to_le_bytes();
        Self {
            file,
            log_number: u32::from_le_bytes([a, b, c, d]),
            keep,
            block: Vec::new(),
            at: 0,
            start: 0,
            last_block: false,
            recycled: false,
            compression: Compression::None,
        }
    }

    /// The next record, or how the log ends.
    pub(crate) fn next(&mut self) -> io::Result<Result<Vec<u8>, End>> {
        let mut open: Option<Vec<u8>> = None;
        loop {
            match (self.fragment()?, &mut open) {
                // A first fragment without its end is dropped, as the engine does: early writers
                // left an empty one at the end of a block.
                (Fragment::Full(bytes), _) => return Ok(Ok(bytes)),
                (Fragment::First(bytes), _) => open = Some(bytes),
                (Fragment::Middle(bytes), Some(record)) => self.append(record, &bytes),
                (Fragment::Last(bytes), Some(record)) => {
                    self.append(record, &bytes);
                    return Ok(Ok(std::mem::take(record)));
                }
                (Fragment::Middle(_) | Fragment::Last(_), None) => {
                    return Ok(Err(self.damaged("a record has no beginning")));
                }
                (Fragment::Aside, _) | (Fragment::Unwritten, None) => {}
                (Fragment::Unwritten, Some(_)) => {
                    return Ok(Err(self.damaged("a record has no end")));
                }
                (Fragment::End(End::Clean), Some(_)) => return Ok(Err(End::Torn)),
                (Fragment::End(end), _) => return Ok(Err(end)),
            }
        }
    }

    fn append(&self, record: &mut Vec<u8>, bytes: &[u8]) {
        let room = self.keep.saturating_sub(record.len());
        record.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn damaged(&self, reason: &'static str) -> End {
        End::Damaged { block: self.start, reason }
    }

    /// Fills `block` with the next one; false at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        if self.last_block {
            return Ok(false);
        }
        self.start += self.block.len() as u64;
        self.block.clear();
        self.at = 0;
        (&mut self.file).take(BLOCK as u64).read_to_end(&mut self.block)?;
        self.last_block = self.block.len() < BLOCK;
        Ok(!self.block.is_empty())
    }

    fn fragment(&mut self) -> io::Result<Fragment> {
        while self.block.len() - self.at < HEADER {
            let torn = self.last_block && self.at < self.block.len();
            if torn {
                self.at = self.block.len();
                return Ok(Fragment::End(End::Torn));
            }
            if !self.next_block()? {
                return Ok(Fragment::End(End::Clean));
            }
        }
        let head = &self.block[self.at..];
        let (crc, length, kind) =
            (u32::from_le_bytes([head[0], head[1], head[2], head[3]]), [head[4], head[5]], head[6]);
        let length = usize::from(u16::from_le_bytes(length));
        let recyclable = matches!(kind, 5..=8 | 11 | 131);
        let header = if recyclable { RECYCLABLE_HEADER } else { HEADER };
        self.recycled |= recyclable;
        let Some(stored) = head.get(..header + length) else {
            let torn = self.last_block && !holds_fragment(&head[1..]);
            return Ok(Fragment::End(if torn {
                End::Torn
            } else {
                self.damaged("a length points beyond its block")
            }));
        };
        if recyclable && stored[HEADER..RECYCLABLE_HEADER] != self.log_number.to_le_bytes() {
            // What an earlier log of the same file left behind.
            return Ok(Fragment::End(End::Clean));
        }
        if kind == 0 && length == 0 {
            self.at = self.block.len();
            return Ok(Fragment::Unwritten);
        }
        if crc32c::crc32c(&stored[6..]) != unmask(crc) {
            return Ok(Fragment::End(if self.recycled && recyclable {
                // An older, longer log was overwritten up to here.
                End::Torn
            } else {
                self.damaged("a checksum does not match")
            }));
        }
        let content = header..header + length;
        let at = self.at;
        self.at += header + length;
        self.interpret(kind, at + content.start..at + content.end)
    }

    fn interpret(&mut self, kind: u8, content: std::ops::Range<usize>) -> io::Result<Fragment> {
        let fragment: fn(Vec<u8>) -> Fragment = match kind {
            1 | 5 => Fragment::Full,
            2 | 6 => Fragment::First,
            3 | 7 => Fragment::Middle,
            4 | 8 => Fragment::Last,
            9 => {
                let compression = Cursor::new(&self.block[content]).fixed32();
                return match compression {
                    Ok(0) => Ok(Fragment::Aside),
                    Ok(ZSTD) => {
                        self.compression = Compression::Zstd(Box::new(Decoder::new()?));
                        Ok(Fragment::Aside)
                    }
                    _ => Ok(Fragment::End(self.damaged("its compression is unknown"))),
                };
            }
            // Sizes of timestamps, what the log before this one held, and what may be ignored.
            10 | 11 => return Ok(Fragment::Aside),
            _ if kind & 0x80 != 0 => return Ok(Fragment::Aside),
            _ => return Ok(Fragment::End(self.damaged("a fragment has an unknown type"))),
        };
        let keep = self.keep;
        let content = &self.block[content];
        match &mut self.compression {
            Compression::None => Ok(fragment(content[..content.len().min(keep)].to_vec())),
            Compression::Zstd(decoder) => {
                if matches!(kind, 1 | 2 | 5 | 6) {
                    decoder.reinit()?;
                }
                match decompress(decoder, content, keep) {
                    Ok(bytes) => Ok(fragment(bytes)),
                    Err(_) => {
                        Ok(Fragment::End(self.damaged("a compressed fragment cannot be read")))
                    }
                }
            }
        }
    }
}

/// The first bytes, at most `keep`, of a fragment of a compressed log. Each fragment is what one
/// streaming compressor gave out until it was flushed.
fn decompress(decoder: &mut Decoder<'_>, content: &[u8], keep: usize) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut piece = vec![0; BLOCK];
    let mut input = InBuffer::around(content);
    loop {
        let mut output = OutBuffer::around(&mut piece[..]);
        decoder.run(&mut input, &mut output)?;
        let produced = output.pos();
        let room = keep.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..produced.min(room)]);
        if input.pos() == content.len() && produced < BLOCK {
            return Ok(kept);
        }
    }
}

/// Whether a whole fragment starts anywhere in these bytes. After a length that is too large, it
/// tells a damaged length from a fragment whose end was never written: nothing comes after that.
fn holds_fragment(bytes: &[u8]) -> bool {
    (0..bytes.len().saturating_sub(HEADER)).any(|at| {
        let head = &bytes[at..];
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let header = if matches!(head[6], 5..=8) { RECYCLABLE_HEADER } else { HEADER };
        let crc = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        matches!(head[6], 1..=8)
            && length > 0
            && head
                .get(6..header + length)
                .is_some_and(|stored| crc32c::crc32c(stored) == unmask(crc))
    })
}

/// RocksDB stores checksums of data that may hold checksums itself, so it masks them.
fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A fragment as a log's writer stores it.
    pub(crate) fn fragment(kind: u8, content: &[u8]) -> Vec<u8> {
        let checked = [&[kind], content].concat();
        let crc = crc32c::crc32c(&checked).rotate_right(15).wrapping_add(0xa282_ead8);
        let length = u16::try_from(content.len()).unwrap();
        [&crc.to_le_bytes()[..], &length.to_le_bytes(), &checked].concat()
    }

    fn read(log: &[u8]) -> (Vec<Vec<u8>>, End) {
        let mut reader = LogReader::whole(log, 7);
        let mut records = Vec::new();
        loop {
            match reader.next().unwrap() {
                Ok(record) => records.push(record),
                Err(end) => return (records, end),
            }
        }
    }

    #[test]
    fn records_are_put_together() {
        let log = [fragment(1, b"whole"), fragment(2, b"a"), fragment(3, b"b"), fragment(4, b"c")];
        assert_eq!(read(&log.concat()), (vec![b"whole".to_vec(), b"abc".to_vec()], End::Clean));
        assert_eq!(read(&[]), (vec![], End::Clean));
    }

    #[test]
    fn a_record_that_is_being_written_is_not_there_yet() {
        let log = [fragment(1, b"whole"), fragment(2, b"begun")].concat();
        assert_eq!(read(&log), (vec![b"whole".to_vec()], End::Torn));
        for cut in 13..log.len() {
            assert_eq!(read(&log[..cut]), (vec![b"whole".to_vec()], End::Torn), "cut to {cut}");
        }
    }

    #[test]
    fn what_an_earlier_log_left_is_not_read() {
        let recycled = |number: u32, content: &[u8]| {
            fragment(5, &[&number.to_le_bytes()[..], content].concat())
        };
        // The stored length is without the number.
        let shorten = |mut bytes: Vec<u8>| {
            let length = u16::from_le_bytes([bytes[4], bytes[5]]) - 4;
            bytes[4..6].copy_from_slice(&length.to_le_bytes());
            bytes
        };
        let log = [shorten(recycled(7, b"mine")), shorten(recycled(6, b"older"))].concat();
        assert_eq!(read(&log), (vec![b"mine".to_vec()], End::Clean));
    }

    #[test]
    fn a_length_that_hides_what_follows_is_damage() {
        let mut log = [fragment(1, b"first"), fragment(1, b"second")].concat();
        log[5] = 0x40;
        assert!(matches!(read(&log), (records, End::Damaged { .. }) if records.is_empty()));
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(log in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&log).0.len() < 300);
        }

        #[test]
        fn any_fragments_come_to_an_end(
            fragments in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20)
        ) {
            let log: Vec<u8> =
                fragments.iter().flat_map(|(kind, content)| fragment(*kind, content)).collect();
            prop_assert!(read(&log).0.len() <= fragments.len());
        }
    }
}
