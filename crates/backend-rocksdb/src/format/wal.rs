//! What write-ahead logs hold: the number of the last write (`db/write_batch.cc`).

use std::io::{self, Read};

use super::cursor::Cursor;
use super::log::{End, LogReader};

/// A batch's sequence number and count, in front of its writes.
const BATCH_HEADER: usize = 12;

/// What was found in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalSummary {
    /// The number of the last write in it, if it holds any.
    pub(crate) last_sequence: Option<u64>,
    /// The number of batches.
    pub(crate) batches: u64,
    /// How it ends.
    pub(crate) end: End,
}

/// Reads a log up to its end and checks every byte on the way.
pub(crate) fn summarize(file: impl Read, number: u64) -> io::Result<WalSummary> {
    let mut log = LogReader::keeping(file, number, BATCH_HEADER);
    let mut summary = WalSummary { last_sequence: None, batches: 0, end: End::Clean };
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
        // A batch without writes of its own, such as a commit, takes no number.
        let last = sequence.saturating_add(u64::from(count)).saturating_sub(1);
        summary.last_sequence = summary.last_sequence.max(Some(last));
        summary.batches += 1;
    }
}
