//! The invariant: accounts in several databases that always hold the same together.

use testkit::contents::Contents;

/// The databases that hold accounts.
pub(crate) const DATABASES: [&str; 3] = ["checking", "credit", "savings"];

/// Accounts in each database.
pub(crate) const COUNT: usize = 40;
pub(crate) const ACCOUNTS: u64 = COUNT as u64;

/// What each account holds at first.
pub(crate) const AMOUNT: u64 = 1_000_000;

/// What an account's key begins with; other records are ballast.
const ACCOUNT: &[u8] = b"account ";

/// The key of an account.
pub(crate) fn key(number: u64) -> Vec<u8> {
    [ACCOUNT, &number.to_be_bytes()].concat()
}

/// A transfer: from where to where, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) from: (usize, u64),
    pub(crate) to: (usize, u64),
    pub(crate) amount: u64,
}

impl Transfer {
    /// One that depends on `number` alone, between two different databases.
    pub(crate) fn of(number: u64) -> Self {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let databases = DATABASES.len() as u64;
        let from = mixed % databases;
        let to = (from + 1 + (mixed >> 8) % (databases - 1)) % databases;
        let place =
            |database: u64, account: u64| (usize::try_from(database).unwrap(), account % ACCOUNTS);
        Self {
            from: place(from, mixed >> 16),
            to: place(to, mixed >> 32),
            amount: 1 + (mixed >> 48) % 100,
        }
    }
}

/// Why contents are not those of one moment.
pub(crate) fn check(contents: &Contents) -> Result<(), String> {
    let mut total = 0_u64;
    let mut accounts = 0;
    for name in DATABASES {
        let Some(records) = contents.databases.get(name) else {
            return Err(format!("database {name} is not there"));
        };
        for (at, value) in records.iter().filter(|(at, _)| at.key.starts_with(ACCOUNT)) {
            let value = <[u8; 8]>::try_from(value.as_slice())
                .map_err(|_| format!("account {:?} of {name} holds no number", at.key))?;
            total += u64::from_be_bytes(value);
            accounts += 1;
        }
    }
    let expected = ACCOUNTS * DATABASES.len() as u64;
    if accounts != expected {
        return Err(format!("{accounts} accounts of {expected}"));
    }
    if total != expected * AMOUNT {
        return Err(format!("all accounts hold {total}, and not {}", expected * AMOUNT));
    }
    Ok(())
}
