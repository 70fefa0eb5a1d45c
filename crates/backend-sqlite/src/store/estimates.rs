//! About how much a database holds, told from a few pages of its b-tree.

use backup_core::Result;
use rusqlite::Connection;

use super::failure::failed;
use super::table::Table;
use crate::tree::{self, Rows};

/// How many records are looked at for their length, at each end of the database.
const LOOK: u32 = 100;

/// About how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) records: u64,
    /// Of root keys, keys and values.
    pub(super) bytes: u64,
}

/// Estimates a database: as if its records were as long as those at both ends.
pub(super) fn estimate(connection: &Connection, table: &Table) -> Result<Estimate> {
    let id = table.id();
    let records = tree::records(connection, &format!("records_{id}"), Rows::Everywhere)
        .map_err(failed("look at", table.what()))?;
    let length = "length(root_key) + length(key) + coalesce(length, length(value)) AS bytes";
    let mean = format!(
        "SELECT avg(bytes) FROM (
             SELECT * FROM (SELECT {length} FROM records_{id}
                            ORDER BY root_key, key LIMIT {LOOK})
             UNION ALL
             SELECT * FROM (SELECT {length} FROM records_{id}
                            ORDER BY root_key DESC, key DESC LIMIT {LOOK}))"
    );
    let mean: Option<f64> = connection
        .query_row(&mean, [], |row| row.get(0))
        .map_err(failed("look at", table.what()))?;
    // The cast ends at the largest number, as an estimate may.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean length")]
    let mean = mean.unwrap_or(0.0).ceil() as u64;
    Ok(Estimate { records, bytes: records.saturating_mul(mean) })
}

#[cfg(test)]
mod tests {
    use backup_core::kv::Operation;

    use super::*;
    use crate::store::layout;

    fn estimated(numbers: impl Iterator<Item = u32>, bytes: usize) -> Estimate {
        let connection = Connection::open_in_memory().unwrap();
        layout::make(&connection).unwrap();
        let table = layout::add_database(&connection, "default").unwrap();
        for number in numbers {
            let (key, value) = (number.to_be_bytes().to_vec(), vec![7; bytes]);
            table.apply(&connection, b"root", &Operation::Put { key, value }).unwrap();
        }
        estimate(&connection, &table).unwrap()
    }

    #[test]
    fn an_estimate_is_about_right() {
        // Keys in order, and in none: an odd multiplier visits each number once.
        for step in [1_u32, 40_503] {
            for bytes in [0, 100, 5000] {
                let keys = (0_u32..1 << 15).map(|number| number.wrapping_mul(step) & 0x7fff);
                let found = estimated(keys, bytes);
                let about = 1_u64 << 14..1 << 16;
                assert!(about.contains(&found.records), "step {step}: {found:?}");
                assert_eq!(found.bytes, found.records * (8 + bytes as u64));
            }
        }
    }

    #[test]
    fn little_is_told_exactly() {
        for count in [0, 1, 10] {
            let found = estimated(0..count, 20);
            let records = u64::from(count);
            assert_eq!(found, Estimate { records, bytes: records * 28 });
        }
    }
}
