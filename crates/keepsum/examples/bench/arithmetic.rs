//! The arithmetic of a records backup alone, on records that lie in memory: what no design of
//! reading and writing can save.

use std::thread;

use anyhow::{Context, Result, anyhow};
use backup_core::integrity::Summer;
use backup_core::record::{Record, RecordBatch};

use crate::store::Shape;

/// Bytes of records that are made, to be gone through again and again.
const SAMPLE_BYTES: u64 = 64 << 20;

/// The plain bytes that keepsum compresses at a time, and the level that it chooses for values of noise and
/// zeros.
const FRAME_BYTES: usize = 256 << 10;
const LEVEL: i32 = -1;

/// Some records of a shape, and how often they are gone through to stand for all of them.
pub(crate) struct Arithmetic {
    batches: Vec<RecordBatch>,
    frames: Vec<Vec<u8>>,
    /// Batches in all, and frames in all.
    times: (usize, usize),
}

impl Arithmetic {
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let (mut batches, mut frames) = (Vec::new(), Vec::new());
        let (mut batch, mut frame) = (RecordBatch::new(), Vec::new());
        let mut bytes = 0;
        for number in 0..shape.records {
            let (key, value) = (shape.key(number), shape.value(number, 0));
            batch.push(Record::whole(b"", &key, &value)).context("a record of the bench")?;
            frame.extend_from_slice(&key);
            frame.extend_from_slice(&value);
            bytes += (key.len() + value.len()) as u64;
            let last = number + 1 == shape.records || bytes >= SAMPLE_BYTES;
            if batch.is_full() || last {
                batches.push(std::mem::take(&mut batch));
            }
            if frame.len() >= FRAME_BYTES || last {
                frames.push(std::mem::take(&mut frame));
            }
            if last {
                break;
            }
        }
        let all = |parts: usize| {
            let times = u128::from(shape.bytes()) * parts as u128 / u128::from(bytes);
            usize::try_from(times).context("too many records")
        };
        let times = (all(batches.len())?, all(frames.len())?);
        Ok(Self { batches, frames, times })
    }

    /// Sums as many records as the store has, on so many threads.
    pub(crate) fn sum(&self, threads: usize) -> Result<()> {
        in_parallel(threads, |thread| {
            let mut summer = Summer::new(b"default");
            let all = self.batches.iter().cycle().take(self.times.0);
            for batch in all.skip(thread).step_by(threads) {
                summer.add(batch).context("cannot sum")?;
            }
            std::hint::black_box(summer.finish().context("cannot sum")?);
            Ok(())
        })
    }

    /// Compresses as many bytes as the store has, by zstd, on so many threads.
    pub(crate) fn compress(&self, threads: usize) -> Result<()> {
        in_parallel(threads, |thread| {
            let mut compressor = zstd::bulk::Compressor::new(LEVEL).context("cannot start zstd")?;
            let all = self.frames.iter().cycle().take(self.times.1);
            for frame in all.skip(thread).step_by(threads) {
                std::hint::black_box(compressor.compress(frame).context("cannot compress")?);
            }
            Ok(())
        })
    }
}

fn in_parallel(threads: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        for thread in running {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}
