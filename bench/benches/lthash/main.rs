//! LtHash by `lthash` and by what others would take instead, each in turn in one run.
//!
//! `cargo xtask bench lthash` runs it twice, with all that the processor has and with AVX2 alone, and
//! keeps the ratios in `docs/BENCHMARKS.md`. Names of benches are `figure/side` or, for the sweep over
//! lengths and counts, `sweep <bytes> x <elements>/side`; the task reads them from Criterion's files.

mod floor;
mod peers;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lthash::{Accumulator, Hasher, Instructions, LtHash};

/// Elements of one iteration, where there are many.
const MANY: usize = 1000;

/// Enough for two threads to begin and end without weight.
const VERY_MANY: usize = 200_000;

const LENGTHS: [usize; 8] = [0, 1, 64, 100, 1000, 1024, 1025, 4096];
const COUNTS: [usize; 6] = [1, 3, 15, 16, 17, 1000];

/// The instructions that this run may use.
fn instructions() -> Instructions {
    if cfg!(feature = "avx2") { Instructions::Avx2 } else { Instructions::best() }
}

/// Elements of this length, all different where they are not empty.
fn elements(bytes: usize, count: usize) -> Vec<Vec<u8>> {
    let element = |number: usize| {
        let number = number.to_le_bytes();
        (0..bytes).map(|at| number[at % number.len()] ^ at.to_le_bytes()[0]).collect()
    };
    (0..count).map(element).collect()
}

fn ours(elements: &[Vec<u8>]) -> LtHash {
    let mut sum = Accumulator::with_instructions(Hasher::new(), instructions());
    sum.insert_slices(elements);
    sum.finish()
}

/// Elements of 100 bytes beside other crates, and beside the arithmetic alone.
fn short(criterion: &mut Criterion) {
    let elements = elements(100, MANY);
    let mut group = criterion.benchmark_group("short");
    group.bench_function("lthash", |b| b.iter(|| ours(black_box(&elements))));
    group.bench_function("blake3", |b| b.iter(|| peers::serial(black_box(&elements))));
    group.bench_function("solana-lattice-hash", |b| {
        b.iter(|| peers::solana(black_box(&elements)));
    });
    group.bench_function("lthash-rs", |b| b.iter(|| peers::lthash_rs(black_box(&elements))));
    // A block of the element and the 32 of its expansion.
    let compressions = MANY * 33;
    if floor::run(instructions(), 1) {
        group.bench_function("floor", |b| {
            b.iter(|| floor::run(instructions(), black_box(compressions)));
        });
    }
    group.finish();
}

/// One element alone, from nothing to its hash.
fn single(criterion: &mut Criterion) {
    let elements = elements(100, 1);
    let mut group = criterion.benchmark_group("single");
    group.bench_function("lthash", |b| b.iter(|| ours(black_box(&elements))));
    group.bench_function("solana-lattice-hash", |b| {
        b.iter(|| peers::solana(black_box(&elements)));
    });
    group.finish();
}

/// Old values replaced by new ones, beside as many insertions: one alone, and many.
fn update(criterion: &mut Criterion) {
    let (old, new) = (elements(100, MANY), elements(100, 2 * MANY).split_off(MANY));
    let mut group = criterion.benchmark_group("update");
    let (one_old, one_new) = (&old[0], &new[0]);
    group.bench_function("one insert", |b| {
        b.iter(|| {
            let mut sum = Accumulator::with_instructions(Hasher::new(), instructions());
            sum.insert(black_box(one_new));
            sum.finish()
        });
    });
    group.bench_function("one update", |b| {
        b.iter(|| {
            let mut sum = Accumulator::with_instructions(Hasher::new(), instructions());
            sum.update(black_box(one_old), black_box(one_new));
            sum.finish()
        });
    });
    group.bench_function("insert", |b| b.iter(|| ours(black_box(&new))));
    group.bench_function("update", |b| {
        b.iter(|| {
            let mut sum = Accumulator::with_instructions(Hasher::new(), instructions());
            for (old, new) in black_box(&old).iter().zip(&new) {
                sum.update(old, new);
            }
            sum.finish()
        });
    });
    group.finish();
}

/// Values of 1 KiB, alone and with a short key, beside BLAKE3 over the same bytes and an expansion each.
fn kibibyte(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1 KiB");
    for (name, bytes) in [("", 1024), (" and a key", 1060)] {
        let elements = elements(bytes, MANY);
        let all = elements.concat();
        group.bench_function(format!("lthash{name}"), |b| b.iter(|| ours(black_box(&elements))));
        group.bench_function(format!("blake3{name}"), |b| {
            b.iter(|| (blake3::hash(black_box(&all)), peers::expand(black_box(MANY))));
        });
    }
    group.finish();
}

/// Two threads beside one.
fn threads(criterion: &mut Criterion) {
    let elements = elements(100, VERY_MANY);
    let mut group = criterion.benchmark_group("threads");
    for threads in [1, 2] {
        let count = NonZeroUsize::new(threads).expect("at least one");
        group.bench_function(threads.to_string(), |b| {
            b.iter(|| Hasher::new().sum_parallel(black_box(&elements), count));
        });
    }
    group.finish();
}

/// Every length and count, beside one element after the other.
fn sweep(criterion: &mut Criterion) {
    for bytes in LENGTHS {
        for count in COUNTS {
            let elements = elements(bytes, count);
            let mut group = criterion.benchmark_group(format!("sweep {bytes} x {count}"));
            group.warm_up_time(Duration::from_millis(100));
            group.measurement_time(Duration::from_millis(400));
            group.bench_function("lthash", |b| b.iter(|| ours(black_box(&elements))));
            group.bench_function("blake3", |b| b.iter(|| peers::serial(black_box(&elements))));
            group.finish();
        }
    }
}

criterion_group!(lthash, short, single, update, kibibyte, threads, sweep);
criterion_main!(lthash);
