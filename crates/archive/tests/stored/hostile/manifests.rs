//! Manifests, and the descriptions of files.

use archive::manifest::{FileMeta, Manifest, Shape};
use archive::wire::{MAX_SEQUENCE, Writer};
use backup_core::integrity::DatabaseSum;
use backup_core::ownership::Ownership;
use backup_core::source::FileNature;
use lthash::LtHash;

use super::{Is, limit, malformed, mismatch, newer, refused};
use crate::samples::{
    directory_of, files_manifest, ownership, paged_manifest, records_manifest, small_records,
    sum_of, tree_of,
};

/// A manifest's bytes without the checks of `encode`.
fn unchecked(manifest: &Manifest) -> Vec<u8> {
    [&1_u16.to_le_bytes()[..], &bcs::to_bytes(manifest).unwrap()].concat()
}

/// Both directions: it is not written, and bytes that say so are not read.
#[track_caller]
fn neither_way(manifest: &Manifest, with: Is) {
    refused(manifest.encode(), with);
    refused(Manifest::parse(&unchecked(manifest)), with);
}

fn sum(records: u64) -> DatabaseSum {
    DatabaseSum { records, ..sum_of(&small_records()) }
}

#[test]
fn sums_that_are_not_the_directory_s() {
    let right = sum(3);
    let with = |databases, sum| Manifest { databases, sum, ..records_manifest() };
    let identity = DatabaseSum { lthash: LtHash::identity(), ..right.clone() };
    for wrong in [
        with(Some(directory_of(Some(&right))), Some(identity.clone())),
        with(Some(directory_of(Some(&right))), None),
        with(Some(directory_of(None)), Some(right.clone())),
        with(None, Some(right)),
        with(None, Some(identity)),
        with(None, None),
    ] {
        neither_way(&wrong, mismatch);
    }
}

#[test]
fn proofs_without_sums_and_sums_without_proof() {
    neither_way(&Manifest { proved_from: None, ..records_manifest() }, mismatch);
    let without = Manifest { proved_from: None, databases: None, ..records_manifest() };
    neither_way(&without, mismatch);
    // A directory of files without a proof has no sums.
    let databases = Some(directory_of(Some(&sum(3))));
    neither_way(&Manifest { databases, ..files_manifest() }, mismatch);
    let proved_from = records_manifest().proved_from;
    neither_way(&Manifest { proved_from, ..files_manifest() }, mismatch);
    assert!(files_manifest().global().is_none());
    assert_eq!(records_manifest().global(), Some(&sum(3).lthash));
}

#[test]
fn files_that_are_not_those_counted() {
    let tree = || Some(tree_of(b"CURRENT", None));
    let wrong = [
        Shape::Files { tree: None, count: 1, bytes: 0 },
        Shape::Files { tree: None, count: 0, bytes: 1 },
        Shape::Files { tree: tree(), count: 0, bytes: 5 },
        Shape::Files { tree: tree(), count: 13, bytes: 5 },
        Shape::Files { tree: tree(), count: 1, bytes: 1 << 60 },
        Shape::Files { tree: Some(tree_of(b"", Some(&sum(3)))), count: 1, bytes: 5 },
    ];
    for shape in wrong {
        neither_way(&Manifest { shape, ..files_manifest() }, mismatch);
    }
}

fn pages(manifest: &mut Manifest) -> &mut archive::manifest::PageProof {
    manifest.pages.as_mut().unwrap()
}

#[test]
fn pages_that_are_not_those_of_one_file() {
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = paged_manifest();
        change(&mut manifest);
        manifest
    };
    neither_way(&with(|manifest| pages(manifest).page_bytes = 0), mismatch);
    neither_way(&with(|manifest| pages(manifest).page_bytes = 512), mismatch);
    // As many bytes in pages of one byte, which would be as many elements to hash.
    let bytes = |manifest: &mut Manifest| {
        let proof = pages(manifest);
        (proof.page_bytes, proof.sum.records) = (1, 3 * 4096);
        proof.sum.bytes = 3 * 4096 * 5;
    };
    neither_way(&with(bytes), mismatch);
    neither_way(&with(|manifest| pages(manifest).sum.records = 4), mismatch);
    neither_way(&with(|manifest| pages(manifest).sum.records = u64::MAX), mismatch);
    neither_way(&with(|manifest| pages(manifest).sum.bytes += 1), mismatch);
    let two = |manifest: &mut Manifest| {
        let Shape::Files { count, .. } = &mut manifest.shape else { panic!() };
        *count = 2;
    };
    neither_way(&with(two), mismatch);
    neither_way(&Manifest { pages: paged_manifest().pages, ..records_manifest() }, mismatch);
}

/// There is one version, with pages and without.
#[test]
fn every_manifest_has_the_one_version() {
    for manifest in [files_manifest(), paged_manifest(), records_manifest()] {
        let mut content = manifest.encode().unwrap();
        assert_eq!(content[..2], [1, 0]);
        assert_eq!(Manifest::parse(&content).unwrap(), manifest);
        content[0] = 2;
        assert!(matches!(Manifest::parse(&content), Err(archive::Error::Newer { found: 2, .. })));
    }
}

#[test]
fn a_source_without_a_word_in_its_name() {
    neither_way(&Manifest { name: Some(String::new()), ..records_manifest() }, malformed);
}

#[test]
fn trees_that_cannot_be() {
    let with_tree = |change: fn(&mut archive::node::Tree)| {
        let mut manifest = records_manifest();
        change(manifest.databases.as_mut().unwrap());
        manifest
    };
    neither_way(&with_tree(|tree| tree.levels = 13), limit);
    neither_way(&with_tree(|tree| tree.root.object.stored = u32::MAX), malformed);
    neither_way(&with_tree(|tree| tree.root.object.plain = u32::MAX), malformed);
    neither_way(&with_tree(|tree| tree.root.first.key = b"z".to_vec()), malformed);
    neither_way(&with_tree(|tree| tree.root.last.key = vec![b'z'; (1 << 20) + 1]), limit);
    neither_way(&with_tree(|tree| tree.root.records = 0), malformed);
}

#[test]
fn names_above_the_limit() {
    let long = || "n".repeat(4097);
    neither_way(&Manifest { host: long(), ..records_manifest() }, limit);
    neither_way(&Manifest { name: Some(long()), ..records_manifest() }, limit);
    neither_way(&Manifest { label: Some(long()), ..records_manifest() }, limit);
}

#[test]
fn more_databases_or_notes_than_may_be() {
    let many = |count| {
        let mut manifest = records_manifest();
        manifest.databases.as_mut().unwrap().root.records = count;
        manifest
    };
    assert!(many(1_000_000).encode().is_ok());
    neither_way(&many(1_000_001), limit);
    let notes = vec![String::new(); 1001];
    let manifest = Manifest { notes, ..records_manifest() };
    refused(manifest.encode(), limit);
    refused(Manifest::parse(&unchecked(&manifest)), malformed);
}

#[test]
fn sequences_that_only_claim() {
    let content = Manifest { notes: Vec::new(), ..records_manifest() }.encode().unwrap();
    // Behind the notes there is a byte that says that it has no pages.
    let before = content.len() - 2;
    let mut claims = content[..before].to_vec();
    claims.put_uleb128(MAX_SEQUENCE);
    refused(Manifest::parse(&claims), malformed);
    claims.truncate(before);
    claims.put_uleb128(1000);
    refused(Manifest::parse(&claims), malformed);
}

#[test]
fn versions() {
    let mut content = records_manifest().encode().unwrap();
    content[0] = 2;
    refused(Manifest::parse(&content), newer);
    content[..2].fill(0);
    refused(Manifest::parse(&content), malformed);
    refused(Manifest::parse(&[1]), malformed);
    refused(Manifest::parse(&[]), malformed);
}

/// What a decoder says is the cause, and not part of the message.
#[test]
fn the_decoder_is_the_cause() {
    let error = Manifest::parse(&[1, 0, 5]).unwrap_err();
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(!error.to_string().contains(&cause), "{error}: {cause}");
}

/// Names and permission bits that no host has.
#[test]
fn owners_that_cannot_be() {
    let of = |ownership| Manifest { ownership: Some(ownership), ..records_manifest() };
    neither_way(&of(ownership(0o10_000)), limit);
    neither_way(&of(Ownership { files_mode: Some(u32::MAX), ..ownership(0o640) }), limit);
    let mut long = ownership(0o640);
    long.owner.group.name = Some("n".repeat(256));
    neither_way(&of(long.clone()), limit);
    let file = FileMeta {
        bytes: 5,
        mode: 0o640,
        nature: FileNature::Changing,
        identity: None,
        owner: Some(long.owner),
    };
    refused(file.encode(), limit);
    refused(FileMeta::parse(&bcs::to_bytes(&file).unwrap()), limit);
}

#[test]
fn descriptions_of_files_that_cannot_be() {
    let file = |mode, identity: usize| FileMeta {
        bytes: 5,
        mode,
        nature: FileNature::Changing,
        identity: Some(vec![1; identity]),
        owner: None,
    };
    for file in [file(0o10_000, 4), file(u32::MAX, 4), file(0o644, 4097)] {
        refused(file.encode(), limit);
        refused(FileMeta::parse(&bcs::to_bytes(&file).unwrap()), limit);
    }
    refused(FileMeta::parse(b""), malformed);
}
