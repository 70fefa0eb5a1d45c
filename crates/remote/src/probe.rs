//! What a store must be able to do, tried out on it before a repository is made there.

mod race;

use std::future::Future;

use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::descriptor::Probed;
use crate::held::Held;
use crate::retry::is_refusal;
use crate::store::{Created, Listed, Store};
use crate::{Error, Result};

/// Probes lie among the catalog's entries, whose names they must not have.
const PREFIX: &str = "catalog/probe-";

/// How often a step is made again that something else got in the way of.
const ATTEMPTS: u32 = 10;

const BYTES: usize = 1000;

/// One step's outcome, where the store did nothing wrong.
enum Outcome {
    Passed,
    /// A request failed, or another `init` swept the probe away.
    Disturbed(Error),
}

/// Tries the store. Leaves nothing there, unless it crashes.
pub(crate) async fn probe(store: &Store) -> Result<Probed> {
    let own = format!("{PREFIX}{}", hex::encode(store.host().random::<8>()?));
    let tried = try_all(store, &own).await;
    // Whatever was found, nothing must stay. What a racing store brings back late is found here, too.
    let removed = sweep_below(store, &own).await;
    tried?;
    removed?;
    Ok(Probed { conditional_create: true, range_reads: true, lists: true, deletes: true })
}

async fn try_all(store: &Store, own: &str) -> Result<()> {
    let path = format!("{own}-single");
    steadily(store, || try_single(store, &path)).await?;
    store.delete(&path).await?;
    if store.get(&path, BYTES as u64).await?.is_some() {
        return Err(unfit(store, "it still has what was deleted"));
    }
    race::run(store, own).await
}

/// Removes what crashed probes left.
pub(crate) async fn sweep(store: &Store) -> Result<()> {
    sweep_below(store, PREFIX).await
}

async fn sweep_below(store: &Store, prefix: &str) -> Result<()> {
    let left: Vec<Listed> = store.list("catalog").try_collect().await?;
    for listed in left.iter().filter(|listed| listed.path.starts_with(prefix)) {
        store.delete(&listed.path).await?;
    }
    Ok(())
}

/// Whether a file is a probe.
pub(crate) fn is_probe(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Makes a step until nothing gets in its way.
async fn steadily<F>(store: &Store, step: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<Outcome>>,
{
    for attempt in 1.. {
        match step().await? {
            Outcome::Passed => break,
            Outcome::Disturbed(error) if attempt == ATTEMPTS => return Err(error),
            Outcome::Disturbed(_) => store.pause(attempt).await?,
        }
    }
    Ok(())
}

/// One writer with a name of its own, and what must be there afterwards.
async fn try_single(store: &Store, path: &str) -> Result<Outcome> {
    let content = Bytes::from(vec![b'a'; BYTES]);
    // It may be there already: of an attempt that was disturbed.
    if let Err(error) = store.try_create(path, &Held::plain(content.clone())).await {
        return disturbed_by(error);
    }
    match store.try_create(path, &Held::plain(content.clone())).await {
        Ok(Created::Exists) => {}
        Ok(Created::Created) => {
            return Err(unfit(store, taken_twice(store, "one after the other")));
        }
        Err(error) => return disturbed_by(error),
    }
    match store.get(path, BYTES as u64).await? {
        Some(found) if found == content => try_reading(store, path, &content).await,
        Some(_) => Err(unfit(store, "it gives other bytes than those that were stored")),
        None => Ok(Outcome::Disturbed(unfit(store, "it does not have what was just stored"))),
    }
}

/// What a request that failed at its only attempt means: the next one may fare better, unless the
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

/// What is wrong with a store that lets a name be created twice.
fn taken_twice(store: &Store, how: &str) -> String {
    format!(
        "it lets two writers create one name {how}, although {}, so that one backup would overwrite \
         another's; use a store that keeps to that",
        store.condition()
    )
}
