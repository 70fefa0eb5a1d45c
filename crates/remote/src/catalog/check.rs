//! Looking at every entry that the catalog keeps.

use archive::catalog::{Entry, EntryHash};
use backup_core::progress::Context;
use futures_util::{StreamExt, TryStreamExt};

use super::{Catalog, Head, READS, follow, number_of, start};
use crate::verify::Report;
use crate::{Error, Result};

impl Catalog {
    /// Reads all entries from the floor on, and reports those that are missing, damaged, or do not
    /// continue the one before.
    pub(crate) async fn check_all(&self, report: &mut Report, context: &Context) -> Result<()> {
        let mut numbers = self.numbers().await?;
        // Where the newest state cannot be read, it says why when its turn comes.
        match self.read_head().await {
            Ok(head) => {
                let stubs = numbers.partition_point(|number| *number < head.floor);
                numbers.drain(..stubs);
                if numbers.first() != Some(&head.floor) {
                    numbers.insert(0, head.floor);
                }
                // A listing may miss the newest.
                let listed = numbers[numbers.len() - 1];
                numbers.extend(listed + 1..=head.number);
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        for gap in numbers.windows(2).filter(|pair| pair[0] + 1 < pair[1]) {
            report.note(Error::Missing { what: Entry::path(gap[0] + 1) }, "all that follows it")?;
        }
        let mut entries = futures_util::stream::iter(numbers)
            .map(|number| async move { (number, self.entry(number).await) })
            .buffered(READS);
        let mut at: Option<Head> = None;
        while let Some((number, found)) = entries.next().await {
            context.check()?;
            report.objects_checked += 1;
            let checked = match found {
                Ok(Some((entry, hash))) => check_next(&mut at, entry, hash),
                Ok(None) => Err(Error::Missing { what: Entry::path(number) }),
                Err(error) => Err(error),
            };
            if let Err(error) = checked {
                at = None;
                report.note(error, "")?;
            }
        }
        Ok(())
    }

    /// The numbers of the entries that a listing shows, in order.
    async fn numbers(&self) -> Result<Vec<u64>> {
        let listing = self.store.list("catalog");
        let numbers = listing.try_filter_map(async |listed| Ok(number_of(&listed.path)));
        let mut numbers: Vec<u64> = numbers.try_collect().await?;
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Follows the chain by one entry. After a finding, it is followed from the next whole state on.
fn check_next(at: &mut Option<Head>, entry: Entry, hash: EntryHash) -> Result<()> {
    match at {
        Some(head) => follow(head, &entry, hash),
        None if entry.state.is_some() => {
            *at = Some(start(entry, hash)?);
            Ok(())
        }
        None => Ok(()),
    }
}
