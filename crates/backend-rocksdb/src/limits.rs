//! The largest sizes that are written.

use backup_core::kv::Limits;
use backup_core::record::MAX_KEY_BYTES;

/// The longest value, in bytes: RocksDB itself recommends no more, and cannot go above 4 GiB.
pub(crate) const MAX_VALUE_BYTES: u64 = 3 << 30;

/// The keys and values of one batch, in bytes. RocksDB holds a batch in memory as a whole, and
/// writes it as one record of its log.
const MAX_BATCH_BYTES: u64 = 3 << 30;

/// The limits of a database.
pub(crate) const LIMITS: Limits =
    Limits { key: MAX_KEY_BYTES as u64, value: MAX_VALUE_BYTES, batch: MAX_BATCH_BYTES };
