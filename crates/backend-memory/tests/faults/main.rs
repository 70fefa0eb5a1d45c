//! The suite finds what it is for: a store that is right but for one fault fails the check of that name.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

mod key_value;
mod restore;
mod source;

use std::sync::Arc;

use backend_memory::MemoryStore;
use backup_core::{KeyValueStore, Result, Source, Target};
use testkit::conformance::{self, Factory, Place};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    // A source that …
    LosesTheLastRecord,
    RepeatsARecord,
    LosesEmptyValues,
    LosesRootKeys,
    SwapsTwoRecords,
    BeginsAfterFrom,
    RepeatsACut,
    HidesEmptyDatabases,
    ReadsWhatIsThereNow,
    ReadsDatabasesOneByOne,
    EndsInSilence,
    IgnoresTheView,
    SaysPlain,
    StandsStill,
    OneRecordABatch,
    ScansNothingForUnknown,
    // A restore that …
    PublishesWhenDropped,
    ForgetsRefusals,
    Sorts,
    ReplacesWithoutAsking,
    HoldsItsTongue,
    DropsRootKeys,
    SkipsEmptyDatabases,
    IgnoresCancel,
    TellsNoOrigin,
    LosesALoadedRecord,
    ChangesALoadedRecord,
    // A built store that …
    ReadsTheOldStore,
    BuildsNothingToRead,
    PublishesWhenCompleted,
    // A key-value store that …
    ExcludesNobody,
    AppliesOneByOne,
    DeletesTooMuch,
    ScansAsItGoes,
    SortsItsAnswers,
    TakesAnything,
    DeletesWhatIsOpen,
}

/// Makes memory stores with a fault.
struct Faulty(Fault);

struct FaultyPlace {
    fault: Fault,
    inner: MemoryStore,
}

impl Factory for Faulty {
    fn name(&self) -> &'static str {
        "a faulty store"
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(FaultyPlace { fault: self.0, inner: MemoryStore::new() }))
    }
}

impl Place for FaultyPlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::Faulty { fault: self.fault, inner: self.inner.clone() }))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        Some(Arc::new(restore::Faulty { fault: self.fault, inner: self.inner.clone() }))
    }

    fn store(&self) -> Result<Option<Arc<dyn KeyValueStore>>> {
        Ok(Some(Arc::new(key_value::Faulty { fault: self.fault, inner: self.inner.clone() })))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        let told = self.inner.origin().filter(|_| self.fault != Fault::TellsNoOrigin);
        Ok(told.map(|origin| origin.sidecar()))
    }
}

/// Checks that the one check finds the fault, and passes without it.
#[track_caller]
fn finds(fault: Fault, check: &str) {
    let found = conformance::failures(&Faulty(fault), check);
    assert!(!found.is_empty(), "{check} does not find {fault:?}");
    assert_eq!(conformance::failures(&Faulty(Fault::None), check), [], "without a fault");
}

#[test]
fn faults_of_sources_are_found() {
    finds(Fault::LosesTheLastRecord, "source::each_record_once_in_order");
    finds(Fault::RepeatsARecord, "source::each_record_once_in_order");
    finds(Fault::LosesEmptyValues, "source::each_record_once_in_order");
    finds(Fault::LosesRootKeys, "source::each_record_once_in_order");
    finds(Fault::SwapsTwoRecords, "source::each_record_once_in_order");
    finds(Fault::BeginsAfterFrom, "source::scan_from_a_key");
    finds(Fault::RepeatsACut, "source::splits_cover_each_record_once");
    finds(Fault::BeginsAfterFrom, "source::splits_cover_each_record_once");
    finds(Fault::HidesEmptyDatabases, "source::empty_databases_are_listed");
    finds(Fault::EndsInSilence, "source::cancelled_is_never_short");
    finds(Fault::IgnoresTheView, "source::view_gives_what_was_asked");
    finds(Fault::SaysPlain, "source::layout_is_told");
    finds(Fault::OneRecordABatch, "source::batches_are_bounded");
    finds(Fault::ScansNothingForUnknown, "source::an_unknown_database_is_an_error");
    finds(Fault::LosesEmptyValues, "source::sums_do_not_depend_on_readers");
    finds(Fault::LosesTheLastRecord, "source::long_values_in_parts");
}

#[test]
fn faults_of_snapshots_are_found() {
    finds(Fault::ReadsWhatIsThereNow, "point_in_time::later_writes_are_not_seen");
    finds(Fault::ReadsWhatIsThereNow, "point_in_time::later_snapshots_see_more");
    finds(Fault::ReadsWhatIsThereNow, "point_in_time::one_moment_across_databases");
    finds(Fault::ReadsDatabasesOneByOne, "point_in_time::one_moment_across_databases");
    finds(Fault::StandsStill, "point_in_time::positions_tell_states_apart");
}

#[test]
fn faults_of_restores_are_found() {
    finds(Fault::PublishesWhenDropped, "restore::dropped_leaves_nothing");
    finds(Fault::PublishesWhenDropped, "restore::dropped_leaves_the_old");
    finds(Fault::ForgetsRefusals, "restore::unsorted_is_refused");
    finds(Fault::ForgetsRefusals, "restore::duplicates_are_refused");
    finds(Fault::ForgetsRefusals, "restore::unknown_databases_are_refused");
    finds(Fault::Sorts, "restore::unsorted_is_refused");
    finds(Fault::Sorts, "restore::unsorted_root_keys_are_refused");
    finds(Fault::ReplacesWithoutAsking, "restore::refuses_what_is_there");
    finds(Fault::HoldsItsTongue, "restore::keeps_the_old_aside");
    finds(Fault::DropsRootKeys, "restore::plain_refuses_root_keys");
    finds(Fault::DropsRootKeys, "restore::round_trip");
    finds(Fault::SkipsEmptyDatabases, "restore::empty_databases_are_made");
    finds(Fault::IgnoresCancel, "restore::cancelled_is_not_published");
    finds(Fault::TellsNoOrigin, "restore::sidecar_tells_the_origin");
    finds(Fault::LosesALoadedRecord, "restore::built_is_read_as_it_is");
    finds(Fault::ChangesALoadedRecord, "restore::built_is_read_as_it_is");
    finds(Fault::ReadsTheOldStore, "restore::built_is_read_as_it_is");
    finds(Fault::BuildsNothingToRead, "restore::built_is_read_as_it_is");
    finds(Fault::PublishesWhenCompleted, "restore::built_and_dropped_leaves_the_old");
}

#[test]
fn faults_of_key_value_stores_are_found() {
    finds(Fault::ExcludesNobody, "key_value::openings_exclude_each_other");
    finds(Fault::AppliesOneByOne, "key_value::batches_are_atomic");
    finds(Fault::DeletesTooMuch, "key_value::delete_prefix_and_nothing_else");
    finds(Fault::DeletesTooMuch, "model::random_batches_do_what_maps_do");
    finds(Fault::ScansAsItGoes, "key_value::scan_prefix_is_of_one_moment");
    finds(Fault::SortsItsAnswers, "key_value::multi_get_keeps_the_order");
    finds(Fault::TakesAnything, "key_value::limits_are_enforced");
    finds(Fault::DeletesWhatIsOpen, "key_value::an_open_database_is_not_deleted");
    finds(Fault::LosesTheLastRecord, "key_value::snapshots_see_what_was_written");
}
