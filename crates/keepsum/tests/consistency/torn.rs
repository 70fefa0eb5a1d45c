//! The checks find what is not of one moment: each is given contents that were put together from two.

use backend_memory::MemoryStore;
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents};

use crate::accounts::{self, AMOUNT, DATABASES, Transfer};
use crate::memory;

fn accounts_after(transfers: u64) -> Contents {
    let mut held = [[AMOUNT; accounts::COUNT]; DATABASES.len()];
    for number in 1..=transfers {
        let Transfer { from, to, amount } = Transfer::of(number);
        held[from.0][usize::try_from(from.1).unwrap()] -= amount;
        held[to.0][usize::try_from(to.1).unwrap()] += amount;
    }
    let mut contents = Contents::new();
    for (name, accounts) in DATABASES.iter().zip(held) {
        for (number, amount) in (0_u64..).zip(accounts) {
            contents.put(name, b"", &accounts::key(number), amount.to_be_bytes());
        }
    }
    contents
}

#[test]
fn databases_of_two_moments_are_found() {
    for transfers in 0..50 {
        let (before, after) = (accounts_after(transfers), accounts_after(transfers + 1));
        assert_eq!(accounts::check(&before), Ok(()));
        let Transfer { from, to, .. } = Transfer::of(transfers + 1);
        for database in [from.0, to.0].map(|number| DATABASES[number]) {
            let mut torn = before.clone();
            torn.databases.insert(database.into(), after.databases[database].clone());
            assert!(accounts::check(&torn).is_err(), "{database} after transfer {transfers}");
        }
        let mut lost = after.clone();
        lost.databases.remove(DATABASES[0]);
        assert!(accounts::check(&lost).is_err(), "a database is gone");
    }
}

#[test]
fn partitions_of_two_moments_are_found() {
    let (store, partitions) = memory::store();
    let of = |store: &MemoryStore| contents(store).block_on().unwrap();
    let before = of(&store);
    assert_eq!(memory::check(&before), Ok(()));
    // A whole round and a bit later.
    memory::beside_writers(&partitions, std::thread::yield_now);
    let after = of(&store);
    assert_eq!(memory::check(&after), Ok(()));
    for database in [DATABASES[1], DATABASES[2]] {
        let mut torn = before.clone();
        torn.databases.insert(database.into(), after.databases[database].clone());
        assert!(memory::check(&torn).is_err(), "{database} is of a later round than the first");
    }
}
