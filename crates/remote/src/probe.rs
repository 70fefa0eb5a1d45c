//! What a store must be able to do, tried out on it before a repository is made there.

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::join_all;

use crate::descriptor::Probed;
use crate::retry::is_refusal;
use crate::store::{Created, Listed, Store};
use crate::{Error, Result};

/// Probes lie among the catalog's entries, whose names they must not have.
const PREFIX: &str = "catalog/probe-";

/// How many writers create the same name at the same time.
const WRITERS: u8 = 8;

/// How often a probe is made again that something else got in the way of.
const ATTEMPTS: u32 = 5;

const BYTES: usize = 1000;

/// One probe's outcome, where the store did nothing wrong.
enum Outcome {
    Passed,
    /// A request failed, or another `init` swept the probe away.
    Disturbed(Error),
}

/// Tries the store. Leaves nothing there, unless it crashes.
pub(crate) async fn probe(store: &Store) -> Result<Probed> {
    for attempt in 1.. {
        let path = format!("{PREFIX}{}", hex::encode(store.host().random::<8>()?));
        let outcome = try_out(store, &path).await;
        // Whatever was found, the probe must not stay.
        let removed = store.delete(&path).await;
        match outcome? {
            Outcome::Disturbed(error) if attempt == ATTEMPTS => return Err(error),
            Outcome::Disturbed(_) => store.pause(attempt).await?,
            Outcome::Passed => {
                removed?;
                if store.get(&path, BYTES as u64).await?.is_some() {
                    return Err(unfit(store, "it still has what was deleted"));
                }
                break;
            }
        }
    }
    Ok(Probed { conditional_create: true, range_reads: true, lists: true, deletes: true })
}

/// Removes what crashed probes left.
pub(crate) async fn sweep(store: &Store) -> Result<()> {
    let left: Vec<Listed> = store.list("catalog").try_collect().await?;
    for listed in left.iter().filter(|listed| is_probe(&listed.path)) {
        store.delete(&listed.path).await?;
    }
    Ok(())
}

/// Whether a file is a probe.
pub(crate) fn is_probe(path: &str) -> bool {
    path.starts_with(PREFIX)
}

async fn try_out(store: &Store, path: &str) -> Result<Outcome> {
    let contents: Vec<Bytes> =
        (0..WRITERS).map(|writer| Bytes::from(vec![b'a' + writer; BYTES])).collect();
    let tries = contents.iter().map(|content| store.create_once(path, content.clone()));
    let mut winners = Vec::new();
    for (answer, content) in join_all(tries).await.into_iter().zip(&contents) {
        match answer {
            Ok(Created::Created) => winners.push(content),
            Ok(Created::Exists) => {}
            Err(error) => return disturbed_by(error),
        }
    }
    if winners.len() > 1 {
        let why = format!(
            "of {WRITERS} writers that created one name at the same time, {} were told that they did; \
             concurrent backups would overwrite each other",
            winners.len()
        );
        return Err(unfit(store, why));
    }
    let found = store.get(path, BYTES as u64).await?;
    let (Some(winner), Some(found)) = (winners.first(), found) else {
        return Ok(Outcome::Disturbed(unfit(store, "it does not have what was just stored")));
    };
    if found != *winner {
        return Err(unfit(
            store,
            "a name holds other bytes than those of the writer that created it",
        ));
    }
    match store.create_once(path, contents[0].clone()).await {
        Ok(Created::Exists) => {}
        Ok(Created::Created) => {
            return Err(unfit(store, "it lets a name be created that is taken"));
        }
        Err(error) => return disturbed_by(error),
    }
    try_reading(store, path, winner).await
}

/// What a request that failed at its only attempt means: the next probe may fare better, unless the
/// store refuses.
fn disturbed_by(error: Error) -> Result<Outcome> {
    match error {
        Error::Store { ref source, .. } if !is_refusal(source.as_ref()) => {
            Ok(Outcome::Disturbed(error))
        }
        error => Err(error),
    }
}

async fn try_reading(store: &Store, path: &str, content: &Bytes) -> Result<Outcome> {
    const NO_RANGES: &str = "it does not give the part of a file that was asked for";
    let disturbed = |why| Ok(Outcome::Disturbed(unfit(store, why)));
    let part = match store.get_range(path, 100..300).await {
        Ok(Some(part)) => part,
        Ok(None) => return disturbed("it does not have what was just stored"),
        // More than was asked for.
        Err(Error::Damaged { .. }) => return Err(unfit(store, NO_RANGES)),
        // It does give the whole.
        Err(Error::Store { .. }) if store.get(path, BYTES as u64).await?.is_some() => {
            return Err(unfit(store, NO_RANGES));
        }
        Err(error) => return Err(error),
    };
    if part.bytes != content.slice(100..300) || part.size != BYTES as u64 {
        return Err(unfit(store, NO_RANGES));
    }
    let listed: Vec<Listed> = store.list("catalog").try_collect().await?;
    let Some(found) = listed.iter().find(|listed| listed.path == path) else {
        return disturbed("it does not list what it has");
    };
    if found.size != BYTES as u64 {
        return Err(unfit(store, "it lists a file with another size than it has"));
    }
    Ok(Outcome::Passed)
}

fn unfit(store: &Store, why: impl Into<String>) -> Error {
    Error::Unfit { address: store.address().to_owned(), why: why.into() }
}
