//! Cutting a column family into ranges of similar size, by the boundaries of its tables.

use backup_core::record::RecordKey;

use crate::foreign::KeyOrder;
use crate::format::manifest::LiveState;
use crate::scan::FamilyView;

/// The first keys of a column family's tables, in key order, each with its table's size in bytes.
pub(crate) type Boundaries = Vec<(Vec<u8>, u64)>;

/// The boundaries of a column family.
pub(crate) fn boundaries(live: &LiveState, view: &FamilyView) -> Boundaries {
    let tables = live.family(&view.name).into_iter().flat_map(|family| family.tables.values());
    let mut boundaries: Boundaries = tables
        .map(|table| {
            // Backward, a table starts with what its own order has last.
            let first = match view.order {
                KeyOrder::Forward => &table.smallest_key,
                KeyOrder::Reverse => &table.largest_key,
            };
            (first.clone(), table.bytes)
        })
        .collect();
    boundaries.sort();
    boundaries
}

/// Keys that cut what lies between `boundaries` into at most `parts` ranges of similar size.
pub(crate) fn splits(
    view: &FamilyView,
    boundaries: &[(Vec<u8>, u64)],
    parts: usize,
) -> Vec<RecordKey> {
    let total: u128 = boundaries.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
    let parts = parts.max(1) as u128;
    let mut splits: Vec<RecordKey> = Vec::new();
    let (mut before, mut next) = (0_u128, 1_u128);
    for (key, bytes) in boundaries {
        // A range ends where its share of all bytes is reached.
        if next < parts && before > 0 && before * parts >= total * next {
            let place = view.place(key);
            if let Some(place) = place.filter(|place| splits.last().is_none_or(|last| last < place))
            {
                splits.push(place);
            }
            next = before * parts / total.max(1) + 1;
        }
        before += u128::from(*bytes);
    }
    splits
}

#[cfg(test)]
mod tests {
    use backup_core::source::Layout;

    use super::*;

    fn view() -> FamilyView {
        FamilyView { name: "a".into(), order: KeyOrder::Forward, layout: Layout::Plain }
    }

    fn tables(sizes: &[u64]) -> Vec<(Vec<u8>, u64)> {
        (0..).zip(sizes).map(|(number, bytes)| (vec![number], *bytes)).collect()
    }

    fn keys(splits: &[RecordKey]) -> Vec<u8> {
        splits.iter().map(|split| split.key[0]).collect()
    }

    #[test]
    fn ranges_are_of_similar_size() {
        assert_eq!(keys(&splits(&view(), &tables(&[10; 8]), 4)), [2, 4, 6]);
        assert_eq!(keys(&splits(&view(), &tables(&[70, 10, 10, 10]), 2)), [1]);
        assert_eq!(keys(&splits(&view(), &tables(&[10, 70, 10, 10]), 4)), [2]);
    }

    #[test]
    fn there_are_fewer_where_there_is_nothing_to_cut() {
        assert!(splits(&view(), &[], 4).is_empty());
        assert!(splits(&view(), &tables(&[5]), 4).is_empty());
        assert!(splits(&view(), &tables(&[5, 5]), 1).is_empty());
        assert!(splits(&view(), &tables(&[5, 5]), 0).is_empty());
        assert!(splits(&view(), &tables(&[0, 0]), 2).is_empty());
        let same = vec![(vec![1], 5), (vec![1], 5), (vec![1], 5)];
        assert_eq!(splits(&view(), &same, 3).len(), 1);
    }
}
