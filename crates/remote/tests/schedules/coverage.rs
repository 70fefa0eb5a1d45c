//! What the schedules contained: a simulation in which nothing happens finds nothing.

use std::fmt;

/// Something that a schedule may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Event {
    SnapshotCommitted,
    SnapshotForgotten,
    SnapshotProved,
    SnapshotRead,
    ObjectReused,
    CheckpointMade,
    SessionAbandoned,
    SessionDropped,
    SessionResumed,
    TwoResumedFromOnePin,
    PinDropped,
    Collection,
    ObjectDeleted,
    RaceLostByCollector,
    RaceLost,
    Recheck,
    StartedOver,
    CollectorSavedByMarkingAgain,
    CollectorAborted,
    FloorRaised,
    StartedOverBelowFloor,
    AnswerLost,
    AnswerLostOfCatalogEntry,
    LatePut,
    LateCatalogEntryLanded,
    LateDelete,
    FalseExists,
    RequestFailed,
    StaleListing,
    ProcessPaused,
    PausedAcrossCollection,
    ProcessKilled,
    HeadRemembered,
    DamageListed,
    RolledBack,
}

impl Event {
    const COUNT: usize = Self::RolledBack as usize + 1;

    /// Every event, with how many of a hundred thousand schedules must contain it at least.
    const ALL: [(Self, u64); Self::COUNT] = [
        (Self::SnapshotCommitted, 50_000),
        (Self::SnapshotForgotten, 10_000),
        (Self::SnapshotProved, 1_000),
        (Self::SnapshotRead, 1_000),
        (Self::ObjectReused, 20_000),
        (Self::CheckpointMade, 10_000),
        (Self::SessionAbandoned, 1_000),
        (Self::SessionDropped, 1_000),
        (Self::SessionResumed, 1_000),
        (Self::TwoResumedFromOnePin, 100),
        (Self::PinDropped, 1_000),
        (Self::Collection, 20_000),
        (Self::ObjectDeleted, 20_000),
        (Self::RaceLostByCollector, 1_000),
        (Self::RaceLost, 1_000),
        (Self::Recheck, 5_000),
        (Self::StartedOver, 2_000),
        (Self::CollectorSavedByMarkingAgain, 200),
        (Self::CollectorAborted, 20),
        (Self::FloorRaised, 500),
        (Self::StartedOverBelowFloor, 20),
        (Self::AnswerLost, 10_000),
        (Self::AnswerLostOfCatalogEntry, 1_000),
        (Self::LatePut, 2_000),
        (Self::LateCatalogEntryLanded, 50),
        (Self::LateDelete, 1_000),
        (Self::FalseExists, 2_000),
        (Self::RequestFailed, 10_000),
        (Self::StaleListing, 2_000),
        (Self::ProcessPaused, 10_000),
        (Self::PausedAcrossCollection, 2_000),
        (Self::ProcessKilled, 5_000),
        (Self::HeadRemembered, 100),
        (Self::DamageListed, 500),
        (Self::RolledBack, 100),
    ];
}

/// Which events one schedule contained.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) fn note(&mut self, event: Event) {
        self.0 |= 1 << (event as usize);
    }

    pub(crate) fn has(self, event: Event) -> bool {
        self.0 & (1 << (event as usize)) != 0
    }
}

/// How many schedules contained each event.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    schedules: u64,
    requests: u64,
    counts: [u64; Event::COUNT],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { schedules: 0, requests: 0, counts: [0; Event::COUNT] }
    }
}

impl Coverage {
    pub(crate) fn add(&mut self, seen: Seen, requests: u64) {
        self.schedules += 1;
        self.requests += requests;
        for (event, _) in Event::ALL {
            self.counts[event as usize] += u64::from(seen.has(event));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.requests += other.requests;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// The events that too few schedules contained, with how many did and how many should.
    pub(crate) fn lacking(&self) -> Vec<(Event, u64, u64)> {
        let needed = |of: u64| of * self.schedules / 100_000;
        let all = Event::ALL.iter().map(|&(event, of)| (event, self.of(event), needed(of)));
        all.filter(|(_, count, needed)| count < needed).collect()
    }

    fn of(&self, event: Event) -> u64 {
        self.counts[event as usize]
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} schedules, {} requests; schedules with", self.schedules, self.requests)?;
        for (event, _) in Event::ALL {
            writeln!(f, "{:>9}  {event:?}", self.of(event))?;
        }
        Ok(())
    }
}
