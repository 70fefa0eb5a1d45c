//! Any source into any target: the same records by sum and byte for byte.

use backup_core::Result;
use backup_core::source::Capabilities;
use backup_core::target::Existing;
use pollster::FutureExt as _;
use proptest::test_runner::TestCaseError;

use crate::conformance::Factory;
use crate::contents::{Contents, contents, sums};
use crate::generate::store;
use crate::seed::{check, failed};
use crate::transfer::transfer;

/// Checks every pair of backends, each with itself too, on `cases` random stores each.
///
/// # Panics
/// With the pair, the seed and the smallest store that did not come through as it was.
pub fn every_pair(factories: &[&dyn Factory], cases: u32) {
    for from in factories {
        for to in factories {
            pair(*from, *to, cases);
        }
    }
}

/// Checks one pair, in one direction.
///
/// # Panics
/// As [`every_pair`].
pub fn pair(from: &dyn Factory, to: &dyn Factory, cases: u32) {
    let can = common(from, to).expect("the factories make places");
    check(cases, &store(can), |expected| {
        let found = carried(&expected, from, to).map_err(|error| failed(&error))?;
        found.map_err(|difference| {
            TestCaseError::fail(format!("{} into {}: {difference}", from.name(), to.name()))
        })
    });
}

/// What both keep.
fn common(from: &dyn Factory, to: &dyn Factory) -> Result<Capabilities> {
    let one = from.place()?.source()?.capabilities();
    let other = to.place()?.source()?.capabilities();
    let partitions = one.partitions && other.partitions;
    Ok(Capabilities { partitions, databases: one.databases && other.databases, ..one })
}

/// Fills a store, copies it, and compares the copy with what the store was filled with.
fn carried(
    expected: &Contents,
    from: &dyn Factory,
    to: &dyn Factory,
) -> Result<Result<(), String>> {
    let (here, there) = (from.place()?, to.place()?);
    here.fill(expected)?;
    let target = there.target().expect("a target of the matrix restores");
    let source = here.source()?;
    transfer(source.as_ref(), target.as_ref(), Existing::Refuse).block_on()?;
    let copy = there.source()?;
    if let Some(difference) = expected.difference(&contents(copy.as_ref()).block_on()?) {
        return Ok(Err(difference));
    }
    for (name, sum) in sums(copy.as_ref()).block_on()? {
        if sum != expected.sums()?.remove(&name).unwrap_or_default() {
            return Ok(Err(format!("database {name:?} has another sum")));
        }
    }
    Ok(Ok(()))
}
