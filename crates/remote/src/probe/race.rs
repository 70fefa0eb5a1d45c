//! Several writers of one name: the one thing that a repository cannot do without is that one of them
//! wins, and that its bytes are there.
//!
//! A store that looks whether a name is free before it has the whole body, and takes the name after,
//! lets two writers win; so does one that looks last, and only sometimes. The first kind is found for
//! certain by a writer that stalls half way while another one creates the name. The second is found by
//! many rounds of writers that are all half sent before any of them goes on.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all, try_join, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::{BYTES, Outcome, disturbed_by, steadily, taken_twice, unfit};
use crate::held::Gate;
use crate::store::{Created, Store};
use crate::{Error, Result};

/// How many writers create the same name at the same time.
const WRITERS: u8 = 4;

/// How many rounds come first and count for nothing: they open the connections and show how far the
/// store is. The quickest tells, until it proves too quick.
const WARM: u32 = 3;

/// How long the rounds are to take; where one after the other takes longer, some run at the same time.
const BUDGET: Duration = Duration::from_secs(4);

/// How many rounds run at the same time at most.
const LANES: u32 = 16;

/// How long a writer stalls half way before another one creates its name: its first half must have
/// arrived by then, and where the store is, is not known.
const STALLS: [Duration; 3] =
    [Duration::from_millis(30), Duration::from_millis(150), Duration::from_millis(600)];

/// How long a writer that holds back waits for others. A store may let one in after the other.
const LONGEST: Duration = Duration::from_secs(3);

/// Finds a store that lets two writers win.
pub(super) async fn run(store: &Store, own: &str) -> Result<()> {
    let requests = usize::from(WRITERS) * LANES as usize + 2 * STALLS.len();
    let contest = Contest {
        store: store.clone().with_requests(requests),
        own: own.to_owned(),
        names: AtomicU32::new(0),
        held: AtomicU32::new(0),
    };
    let mut quickest = Duration::MAX;
    for _ in 0..WARM.min(store.races()) {
        let begun = Instant::now();
        contest.race_steadily().await?;
        quickest = quickest.min(begun.elapsed());
    }
    let races = contest.race_all(store.races(), quickest);
    // Only where bodies are sent piece by piece can one stall.
    if contest.held.load(Ordering::Relaxed) == 0 {
        return races.await;
    }
    let stalls = try_join_all(STALLS.map(|pause| contest.stall_steadily(pause)));
    try_join(races, stalls).await.map(drop)
}

/// How many rounds of this length run at the same time.
fn lanes(races: u32, quickest: Duration) -> usize {
    let one_by_one = quickest.saturating_mul(races).as_millis();
    let lanes = one_by_one.div_ceil(BUDGET.as_millis()).clamp(1, u128::from(LANES));
    usize::try_from(lanes).unwrap_or(1)
}

struct Contest {
    store: Store,
    own: String,
    names: AtomicU32,
    /// How many rounds had bodies that were held half way.
    held: AtomicU32,
}

impl Contest {
    /// Races so many times. The first rounds tell how many go on at the same time; where those that follow take
    /// longer, as in a store that lets a writer who was too late try again a second later, more do.
    async fn race_all(&self, mut left: u32, pace: Duration) -> Result<()> {
        let mut at_once = lanes(left, pace);
        let (mut raced, mut took) = (0, Duration::ZERO);
        let mut under_way = FuturesUnordered::new();
        loop {
            while left > 0 && under_way.len() < at_once {
                left -= 1;
                under_way.push(self.race_timed());
            }
            let Some(time) = under_way.next().await else { return Ok(()) };
            took += time?;
            raced += 1;
            at_once = at_once.max(lanes(left, took / raced));
        }
    }

    async fn race_timed(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.race_steadily().await.map(|()| begun.elapsed())
    }

    async fn race_steadily(&self) -> Result<()> {
        steadily(&self.store, || self.race()).await
    }

    async fn stall_steadily(&self, pause: Duration) -> Result<()> {
        steadily(&self.store, || self.stall(pause)).await
    }

    /// Some writers that go on together once each of them is half sent.
    async fn race(&self) -> Result<Outcome> {
        let (path, gate) = (self.name(), Gate::new());
        let contents: Vec<Bytes> = (0..WRITERS).map(content).collect();
        let writers: Vec<_> =
            contents.iter().map(|content| self.create(&path, content, &gate)).collect();
        let release = async {
            // One that never arrives must not hold the others for ever.
            drop(timeout(LONGEST, gate.arrivals(contents.len())).await);
            gate.open();
        };
        let (answers, ()) = join(join_all(writers), release).await;
        self.held.fetch_add(u32::from(gate.was_used()), Ordering::Relaxed);
        self.judge(&path, &contents, answers, "at the same time").await
    }

    /// A writer that stalls half way, and another one that creates its name meanwhile.
    async fn stall(&self, pause: Duration) -> Result<Outcome> {
        let (path, gate) = (self.name(), Gate::new());
        let contents: Vec<Bytes> = (0..2).map(content).collect();
        let stalled = self.create(&path, &contents[0], &gate);
        let other = async {
            gate.arrivals(1).await;
            sleep(pause).await;
            let passing = Gate::new();
            passing.open();
            let mut other = std::pin::pin!(self.create(&path, &contents[1], &passing));
            let early = timeout(LONGEST, &mut other).await;
            gate.open();
            match early {
                Ok(answer) => answer,
                // The store lets it in after the one that stalls.
                Err(_) => other.await,
            }
        };
        let (first, second) = join(stalled, other).await;
        self.judge(&path, &contents, vec![first, second], "while one of them stalls").await
    }

    fn create<'a>(
        &'a self,
        path: &'a str,
        content: &Bytes,
        gate: &Gate,
    ) -> impl Future<Output = Result<Created>> + 'a {
        let body = gate.hold(content.clone());
        async move { self.store.try_create(path, &body).await }
    }

    /// What the answers mean, and what is there then.
    async fn judge(
        &self,
        path: &str,
        contents: &[Bytes],
        answers: Vec<Result<Created>>,
        how: &str,
    ) -> Result<Outcome> {
        let outcome = self.compare(path, contents, answers, how).await;
        self.store.delete_unsettled(path).await?;
        outcome
    }

    async fn compare(
        &self,
        path: &str,
        contents: &[Bytes],
        answers: Vec<Result<Created>>,
        how: &str,
    ) -> Result<Outcome> {
        let (mut winners, mut failure) = (Vec::new(), None);
        for (answer, content) in answers.into_iter().zip(contents) {
            match answer {
                Ok(Created::Created) => winners.push(content),
                Ok(Created::Exists) => {}
                Err(error) => failure = Some(error),
            }
        }
        if winners.len() > 1 {
            return Err(unfit(&self.store, taken_twice(&self.store, how)));
        }
        if let Some(error) = failure {
            return disturbed_by(error);
        }
        let found = self.store.get(path, BYTES as u64).await?;
        let (Some(winner), Some(found)) = (winners.first(), found) else {
            return Ok(Outcome::Disturbed(self.nobody()));
        };
        if found != *winner {
            let why = "a name holds other bytes than those of the writer that created it";
            return Err(unfit(&self.store, why));
        }
        Ok(Outcome::Passed)
    }

    fn nobody(&self) -> Error {
        unfit(&self.store, "of several writers that create a name at the same time, none can")
    }

    /// A name that nobody had.
    fn name(&self) -> String {
        format!("{}-{}", self.own, self.names.fetch_add(1, Ordering::Relaxed))
    }
}

fn content(writer: u8) -> Bytes {
    vec![b'a' + writer; BYTES].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_store_is_raced_in_turn_and_a_far_one_at_the_same_time() {
        for (quickest, expected) in [(0, 1), (5, 1), (40, 2), (200, 7), (5000, 16)] {
            assert_eq!(lanes(132, Duration::from_millis(quickest)), expected, "{quickest} ms");
        }
    }
}
