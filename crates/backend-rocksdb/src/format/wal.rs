//! What write-ahead logs hold: the number of the last write (`db/write_batch.cc`).

use std::io::{self, Read};

use super::cursor::Cursor;
use super::log::{End, LogReader};

/// A batch's sequence number and count, in front of its writes.
const BATCH_HEADER: usize = 12;

/// What was found in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalSummary {
    /// The numbers of the writes in it.
    pub(crate) writes: Writes,
    /// The number of batches.
    pub(crate) batches: u64,
    /// How it ends.
    pub(crate) end: End,
}

/// The numbers of the writes that are in one log, or in several that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Writes {
    /// The number of the last one, if there are any.
    pub(crate) last: Option<u64>,
    /// Whether a number between the first and the last one is in no batch: that write bypassed the
    /// log, or came as an external file.
    pub(crate) gap: bool,
}

impl Writes {
    /// Adds a batch whose first write has the number `sequence`.
    fn add(&mut self, sequence: u64, count: u64) {
        // A batch without writes of its own, such as a commit, takes no number.
        let end = sequence.saturating_add(count).saturating_sub(1);
        self.gap |= self.last.is_some_and(|last| sequence > last.saturating_add(1));
        self.last = self.last.max(Some(end));
    }
}

/// Reads a log up to its end and checks every byte on the way. `before` are the writes of the logs
/// before it.
pub(crate) fn summarize(file: impl Read, number: u64, before: Writes) -> io::Result<WalSummary> {
    let mut log = LogReader::keeping(file, number, BATCH_HEADER);
    let mut summary = WalSummary { writes: before, batches: 0, end: End::Clean };
    loop {
        let record = match log.next()? {
            Ok(record) => record,
            Err(end) => return Ok(WalSummary { end, ..summary }),
        };
        let mut header = Cursor::new(&record);
        let (Ok(sequence), Ok(count)) = (header.fixed64(), header.fixed32()) else {
            // The engine, too, stops where a record is too short for a batch.
            let end = End::Damaged { block: 0, reason: "a record is no batch of writes" };
            return Ok(WalSummary { end, ..summary });
        };
        summary.writes.add(sequence, u64::from(count));
        summary.batches += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_batch_has_is_a_gap() {
        let gap = |batches: &[(u64, u64)]| {
            let mut writes = Writes::default();
            for (sequence, count) in batches {
                writes.add(*sequence, *count);
            }
            writes.gap
        };
        assert!(!gap(&[]));
        assert!(!gap(&[(7, 1)]), "what was before the first log is in tables");
        assert!(!gap(&[(7, 3), (10, 1), (11, 2)]));
        assert!(!gap(&[(7, 3), (10, 0), (10, 2)]), "a batch without writes");
        assert!(gap(&[(7, 3), (11, 1)]));
        assert!(gap(&[(7, 3), (10, 0), (11, 2)]));
    }
}
