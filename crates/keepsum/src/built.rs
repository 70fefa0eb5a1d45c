//! What a store that was built holds, compared with what it must hold, before it is published.
//!
//! A target may lose a record or change it without a word: an engine has rules of its own for what it takes.
//! So records are proved by a scan of the new store, and never by what was sent to it.

use std::collections::HashMap;
use std::pin::pin;

use archive::directory::{Described, Proof};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::source::DatabaseInfo;
use backup_core::target::{Built, NotCarried};
use futures_util::TryStreamExt;

use crate::{Error, Result, sums};

/// A database as the new store must hold it.
pub(crate) struct Expected {
    /// Its name there.
    pub(crate) name: String,
    /// What its records are bound to.
    pub(crate) tag: Vec<u8>,
    /// The proof of its records.
    pub(crate) proof: Proof,
}

impl Expected {
    /// A database of a snapshot, under the name that it gets. Without a proof nothing is restored.
    pub(crate) fn of(database: &Described, name: &str) -> Self {
        let proof = database.proof.unwrap_or_else(|| Proof::of(&DatabaseSum::default()));
        Self { name: name.to_owned(), tag: database.tag.clone(), proof }
    }
}

/// Sums what a built store holds, and compares it with the databases of the plan, in the plan's order.
///
/// # Errors
/// [`Error::NotProved`] with the first database that is another one. Nothing is published then.
pub(crate) async fn prove(
    built: &dyn Built,
    expected: &[Expected],
    context: &Context,
) -> Result<()> {
    let Some(snapshot) = built.records().await? else { return Err(no_records()) };
    let Some(records) = snapshot.records() else { return Err(no_records()) };
    let databases: &[DatabaseInfo] = &snapshot.info().databases;
    let places: HashMap<&str, usize> =
        expected.iter().enumerate().map(|(place, one)| (one.name.as_str(), place)).collect();
    let of = |info: &DatabaseInfo| places.get(info.name.as_str()).map(|place| &expected[*place]);
    let tags = |number: usize| {
        let info: &DatabaseInfo = &databases[number];
        of(info).map_or(info.name.as_bytes(), |one| &one.tag)
    };
    context.phase("proving records", sums::estimate(databases));
    let order: Vec<usize> = (0..databases.len()).collect();
    let mut found = pin!(sums::sum_each(records, databases, &order, tags, context));
    let mut is_missing = vec![true; expected.len()];
    while let Some((number, mut sum)) = found.try_next().await? {
        let name = databases[number].name.as_str();
        let Some(place) = places.get(name).copied() else {
            if sum.records > 0 {
                return Err(unknown(name, &sum));
            }
            continue;
        };
        is_missing[place] = false;
        let one = &expected[place];
        sum.add(&absent(place, one, built.not_carried())?);
        compare(one, &Proof::of(&sum))?;
    }
    match expected.iter().zip(is_missing).find(|(_, is_missing)| *is_missing) {
        None => Ok(()),
        Some((one, _)) => Err(lost(one)),
    }
}

fn unknown(name: &str, sum: &DatabaseSum) -> Error {
    let detail = format!(
        "the new store has it with {} records, and nothing was restored into it; nothing was replaced",
        sum.records
    );
    Error::NotProved { database: name.to_owned(), detail }
}

/// The sum of the records of what could not be made, which the new store does not hold.
fn absent(number: usize, one: &Expected, not_carried: &[NotCarried]) -> Result<DatabaseSum> {
    let mut absent = Summer::new(&one.tag);
    let batches = not_carried.iter().flat_map(|part| &part.records);
    for (_, batch) in batches.filter(|(database, _)| *database == number) {
        absent.add(batch)?;
    }
    Ok(absent.finish()?)
}

fn compare(one: &Expected, found: &Proof) -> Result<()> {
    if one.proof == *found {
        return Ok(());
    }
    let say = |proof: &Proof| format!("{} records with LtHash {}", proof.records, proof.checksum);
    let (expected, found) = (say(&one.proof), say(found));
    let detail =
        format!("it must have {expected}, and the new store holds {found}; nothing was replaced");
    Err(Error::NotProved { database: one.name.clone(), detail })
}

fn lost(one: &Expected) -> Error {
    let detail = "the new store does not have it; nothing was replaced".into();
    Error::NotProved { database: one.name.clone(), detail }
}

fn no_records() -> Error {
    let what = "the new store gives no records to prove".to_owned();
    Error::Refused { what, instead: "restore it into another engine".into() }
}

#[cfg(test)]
mod tests {
    use backend_memory::MemoryStore;
    use backup_core::record::{Record, RecordBatch};
    use backup_core::target::Existing;
    use testkit::contents::Contents;
    use testkit::transfer::load;

    use super::*;

    fn contents() -> Contents {
        let mut contents = Contents::new();
        for number in 0..2_000_u32 {
            contents.put("users", b"", &number.to_be_bytes(), "a name");
        }
        contents.put("words", b"", b"one", "1");
        contents.add_database("empty");
        contents
    }

    fn expected(contents: &Contents) -> Vec<Expected> {
        let sums = contents.sums().unwrap().into_iter();
        let of = |(name, sum): (String, DatabaseSum)| {
            let (tag, proof) = (name.clone().into_bytes(), Proof::of(&sum));
            Expected { name, tag, proof }
        };
        sums.map(of).collect()
    }

    type Fault = fn(&mut Contents);

    /// What is said of a store that holds `held`, where it must hold what [`contents`] has.
    async fn proved(held: &Contents) -> Result<()> {
        let store = MemoryStore::new();
        let built = load(held, &store, Existing::Refuse).await.unwrap().complete().await.unwrap();
        prove(built.as_ref(), &expected(&contents()), &Context::default()).await
    }

    #[tokio::test]
    async fn a_store_that_lost_or_changed_a_record_is_not_proved() {
        proved(&contents()).await.unwrap();
        let faults: [(&str, &str, Fault); 6] = [
            ("users", "a record is lost", |held| drop(held.add_database("users").pop_first())),
            ("words", "the only record is lost", |held| held.add_database("words").clear()),
            ("users", "a value is changed", |held| held.put("users", b"", &[0; 4], "b name")),
            ("empty", "a record came from nowhere", |held| held.put("empty", b"", b"k", "v")),
            ("words", "a database is lost", |held| drop(held.databases.remove("words"))),
            ("others", "a database came from nowhere", |held| held.put("others", b"", b"k", "v")),
        ];
        for (database, fault, plant) in faults {
            let mut held = contents();
            plant(&mut held);
            match proved(&held).await {
                Err(Error::NotProved { database: named, .. }) => assert_eq!(named, database),
                other => panic!("{fault}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_carried_is_taken_out_of_what_is_expected_and_nothing_else() {
        struct Without(Box<dyn Built>, Vec<NotCarried>);
        #[async_trait::async_trait]
        impl Built for Without {
            async fn records(&self) -> backup_core::Result<Option<Box<dyn backup_core::Snapshot>>> {
                self.0.records().await
            }
            fn not_carried(&self) -> &[NotCarried] {
                &self.1
            }
            async fn publish(
                self: Box<Self>,
            ) -> backup_core::Result<backup_core::target::Restored> {
                self.0.publish().await
            }
        }
        let mut records = RecordBatch::new();
        records.push(Record::whole(b"", b"one", b"1")).unwrap();
        let (kind, name, why) = ("word".to_owned(), "one".to_owned(), "it is odd".to_owned());
        let part = NotCarried { kind, name, why, records: vec![(2, records)] };
        let mut held = contents();
        held.add_database("words").clear();
        for (without, is_proved) in [(vec![part.clone()], true), (vec![part.clone(), part], false)]
        {
            let store = MemoryStore::new();
            let restore = load(&held, &store, Existing::Refuse).await.unwrap();
            let built = Without(restore.complete().await.unwrap(), without);
            let answer = prove(&built, &expected(&contents()), &Context::default()).await;
            assert_eq!(answer.is_ok(), is_proved, "{answer:?}");
        }
    }
}
