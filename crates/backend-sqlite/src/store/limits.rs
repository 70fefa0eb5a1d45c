//! The largest sizes that are written.

use backup_core::kv::Limits;
use backup_core::record::MAX_KEY_BYTES;

/// The longest value, in bytes. SQLite takes no blob above 1,000,000,000 bytes, but a long value is kept
/// in pieces, so what bounds it is the memory of who gets it in one: as much as RocksDB's longest needs.
pub(super) const MAX_VALUE_BYTES: u64 = 3 << 30;

/// The keys and values of one batch, in bytes. SQLite bounds no transaction; its log holds the whole of
/// one, and counts pages in 32 bits, which stays far away.
const MAX_BATCH_BYTES: u64 = 3 << 30;

/// The limits of a database. A key travels in one piece, and is far below SQLite's longest row.
pub(super) const LIMITS: Limits =
    Limits { key: MAX_KEY_BYTES as u64, value: MAX_VALUE_BYTES, batch: MAX_BATCH_BYTES };
