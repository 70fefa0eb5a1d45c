//! Where the newest content of each page lies.

/// A page's number to a place: of pages that were written many times, the last place.
///
/// It costs 8 bytes a page that it holds, and about 24 while it is made: a log that changes a million
/// pages (4 GB of them, at the usual size) needs 8 MB, however often it changes each.
#[derive(Debug, Default)]
pub(crate) struct PageMap {
    /// Sorted by page, each once, up to `settled`; in the order they came beyond.
    entries: Vec<(u32, u32)>,
    settled: usize,
}

/// From how many entries on they are brought into order.
const FEW: usize = 4096;

impl PageMap {
    /// Says that the newest content of a page is at `place` now.
    pub(crate) fn insert(&mut self, page: u32, place: u32) {
        if self.entries.len() >= FEW.max(self.settled.saturating_mul(2)) {
            self.settle();
        }
        self.entries.push((page, place));
    }

    /// Brings it into order, before it is asked.
    pub(crate) fn settle(&mut self) {
        // The sort is stable: of one page, the last that came stays last.
        self.entries.sort_by_key(|(page, _)| *page);
        self.entries.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        self.settled = self.entries.len();
    }

    /// The pages from `first` to `last`, both included, in order, with their places.
    pub(crate) fn between(&self, first: u32, last: u32) -> &[(u32, u32)] {
        let settled = self.entries.get(..self.settled).unwrap_or_default();
        let from = settled.partition_point(|(page, _)| *page < first);
        let rest = settled.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|(page, _)| *page <= last)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_each_page_is_kept() {
        let mut map = PageMap::default();
        for round in 0..50_u32 {
            for page in 1..=1000 {
                map.insert(page, round * 1000 + page);
            }
        }
        map.settle();
        assert!(map.entries.capacity() < 5 * FEW, "{}", map.entries.capacity());
        assert_eq!(map.between(1, 1), [(1, 49_001)]);
        assert_eq!(map.between(1001, 1001), []);
        assert_eq!(map.between(999, 2000), [(999, 49_999), (1000, 50_000)]);
        assert_eq!(PageMap::default().between(0, u32::MAX), []);
    }
}
