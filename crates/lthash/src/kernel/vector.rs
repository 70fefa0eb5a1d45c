//! BLAKE3's compression in lanes, for any width of vector.
//!
//! All of it is inlined into one function for each set of instructions, which is compiled for these.

use super::{
    BLOCK, CHUNK, Group, IV, KernelKey, MAX_CHUNKS, MAX_WIDTH, Partial, Work, block_length, blocks,
    flag,
};
use crate::lanes::Lanes;

/// The words of a block in the order in which each round takes them (BLAKE3, table 2, applied round
/// after round).
const SCHEDULE: [[usize; 16]; 7] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
    [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
    [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
    [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
    [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
    [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
];

/// Blocks in a chunk.
const CHUNK_BLOCKS: usize = CHUNK / BLOCK;

/// The most complete subtrees to the left of an element's last chunk: their sizes are the bits of how many
/// chunks come before it.
const MAX_LEFT: usize = MAX_CHUNKS.ilog2() as usize;

/// The length of a full block, as it is compressed with it.
const BLOCK_LENGTH: u32 = 64;

/// Output blocks of an element.
const OUTPUTS: u32 = 32;

/// The number of each lane.
const LANE_NUMBERS: Words = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A vector of 32-bit words, one for each element.
///
/// # Safety
/// All of it may be called only where the processor has the instructions of the implementation, in a
/// function that is compiled for them.
pub(super) unsafe trait Vector: Copy {
    /// How many words it has.
    const WIDTH: usize;

    /// The blocks of all elements, in the order in which their bytes lie: as many vectors as there are
    /// elements, each with the beginning of a block, and so on with what follows in each.
    unsafe fn rows(blocks: &[&[u8; BLOCK]; MAX_WIDTH]) -> State<Self>;
    /// Turns [`rows`](Self::rows) into a vector for each word of a block, with that of each element, and
    /// such vectors into rows.
    unsafe fn transpose(rows: State<Self>) -> State<Self>;
    /// The first words of these.
    unsafe fn load(words: &[u32; MAX_WIDTH]) -> Self;
    /// Writes the words to the first of these.
    unsafe fn store(self, words: &mut [u32; MAX_WIDTH]);
    unsafe fn splat(word: u32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    /// Rotates each word to the right.
    unsafe fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self;
    /// Adds each half of each word on its own.
    unsafe fn add_halves(self, other: Self) -> Self;
    /// The sum of all words, each half on its own.
    unsafe fn sum_halves(self) -> u32;
    /// Adds each half of each word to a lane, or takes it out. There are as many lanes as halves.
    unsafe fn add_to(self, lanes: &mut [u16], added: bool);
}

/// Words of all elements, in vectors.
type State<V> = [V; 16];

/// Does the work.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(work: Work<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match work {
            Work::Absorb(key, elements, partial) => {
                expand_all::<V>(&roots::<V>(key, elements), partial);
            }
            Work::Each(key, elements, added, lanes) => {
                expand_each::<V>(&roots::<V>(key, elements), elements.len(), added, lanes);
            }
            Work::Reduce(partial, lanes) => {
                for (words, pair) in partial.0.iter().zip(lanes.as_chunks_mut::<2>().0) {
                    let sum = V::load(&words.0).sum_halves();
                    pair[0] = pair[0].wrapping_add((sum & 0xffff) as u16);
                    pair[1] = pair[1].wrapping_add((sum >> 16) as u16);
                    if V::WIDTH < MAX_WIDTH {
                        // A narrower kernel leaves the rest as it was made.
                        debug_assert!(words.0[V::WIDTH..].iter().all(|word| *word == 0));
                    }
                }
            }
        }
    }
}

/// What is compressed with each counter to expand the elements.
struct Roots<V> {
    chaining: [V; 8],
    block: State<V>,
    length: V,
    flags: V,
}

/// The words of [`Roots`], each for all elements: of chaining values and blocks, lengths and flags.
type RootWords = [Words; 8 + 16 + 2];

impl<V: Vector> Roots<V> {
    /// # Safety
    /// See [`Vector`].
    #[inline(always)]
    unsafe fn words(&self) -> RootWords {
        let vectors = self.chaining.iter().chain(&self.block).chain([&self.length, &self.flags]);
        let mut all = [[0; MAX_WIDTH]; _];
        for (words, vector) in all.iter_mut().zip(vectors) {
            // SAFETY: the caller's promise is passed on.
            unsafe { vector.store(words) };
        }
        all
    }

    /// The root of one element, in every lane.
    ///
    /// # Safety
    /// See [`Vector`].
    #[inline(always)]
    unsafe fn of(all: &RootWords, element: usize) -> Self {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let mut vectors = [V::splat(0); 8 + 16 + 2];
            for (vector, words) in vectors.iter_mut().zip(all) {
                *vector = V::splat(words[element]);
            }
            let mut root = Self {
                chaining: [vectors[0]; 8],
                block: [vectors[8]; 16],
                length: vectors[24],
                flags: vectors[25],
            };
            root.chaining.copy_from_slice(&vectors[..8]);
            root.block.copy_from_slice(&vectors[8..24]);
            root
        }
    }
}

/// A word for each element.
type Words = [u32; MAX_WIDTH];

/// Which block each element compresses next, and how.
struct Step<'a> {
    blocks: [&'a [u8; BLOCK]; MAX_WIDTH],
    counters: Words,
    lengths: Words,
    flags: Words,
    /// All bits of a word where there is a block at all.
    active: Words,
    /// All bits of a word where it ends a chunk and another one follows.
    between: Words,
}

impl<'a> Step<'a> {
    fn new() -> Self {
        let none = [0; MAX_WIDTH];
        let blocks = [&[0; BLOCK]; MAX_WIDTH];
        Self { blocks, counters: none, lengths: none, flags: none, active: none, between: none }
    }

    /// Block `number` of each element that has it before its root.
    fn before_root(key: &KernelKey, elements: &'a Group<'_>, number: usize) -> Self {
        let mut step = Self::new();
        for (lane, length) in elements.lengths().iter().enumerate() {
            if number < steps_before_root(*length) {
                step.set(lane, elements.block(lane, number), *length, number, key.flags);
            }
        }
        step
    }

    fn set(
        &mut self,
        lane: usize,
        block: &'a [u8; BLOCK],
        length: usize,
        number: usize,
        flags: u32,
    ) {
        self.blocks[lane] = block;
        self.counters[lane] = u32::try_from(number / CHUNK_BLOCKS).expect("few chunks");
        self.lengths[lane] = block_length(length, number);
        self.flags[lane] = flags | ends(number, blocks(length));
        self.active[lane] = u32::MAX;
        if (number + 1).is_multiple_of(CHUNK_BLOCKS) && length > (number + 1) * BLOCK {
            self.between[lane] = u32::MAX;
        }
    }

    /// The chaining values after this step.
    ///
    /// # Safety
    /// See [`Vector`].
    #[inline(always)]
    unsafe fn compress<V: Vector>(&self, chaining: &[V; 8]) -> [V; 8] {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let [counters, lengths, flags] =
                [V::load(&self.counters), V::load(&self.lengths), V::load(&self.flags)];
            let state = begin(chaining, counters, lengths, flags);
            let state = rounds::<V, 0>(state, &V::transpose(V::rows(&self.blocks)));
            let mut output = *chaining;
            for (number, word) in output.iter_mut().enumerate() {
                *word = state[number].xor(state[number + 8]);
            }
            output
        }
    }
}

/// The words of `one` where the bits of `mask` are set, else those of `other`.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn select<V: Vector>(mask: V, one: &[V; 8], other: &[V; 8]) -> [V; 8] {
    let mut selected = *other;
    for (word, chosen) in selected.iter_mut().zip(one) {
        // SAFETY: the caller's promise is passed on.
        unsafe { *word = word.xor(word.xor(*chosen).and(mask)) };
    }
    selected
}

/// Compresses all blocks but the root's.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn roots<V: Vector>(key: &KernelKey, elements: &Group<'_>) -> Roots<V> {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let mut start = [V::splat(0); 8];
        for (vector, word) in start.iter_mut().zip(key.words) {
            *vector = V::splat(word);
        }
        let mut chaining = start;
        // Of the complete subtrees to the left, the largest first.
        let mut left = [start; MAX_LEFT];
        let steps = elements.lengths().iter().map(|length| steps_before_root(*length)).max();
        for number in 0..steps.unwrap_or(0) {
            let step = Step::before_root(key, elements, number);
            let output = step.compress::<V>(&chaining);
            chaining = select(V::load(&step.active), &output, &chaining);
            if (number + 1).is_multiple_of(CHUNK_BLOCKS) {
                // Where no chunk follows, the tree stays as it is until the root is made.
                let between = V::load(&step.between);
                let chunks = (number + 1) / CHUNK_BLOCKS;
                let mut depth = left_of(chunks - 1);
                let mut subtree = chaining;
                for _ in 0..chunks.trailing_zeros() {
                    depth -= 1;
                    subtree = parent(key, &start, &left[depth], &subtree);
                }
                left[depth] = select(between, &subtree, &left[depth]);
                chaining = select(between, &start, &chaining);
            }
        }
        for depth in (1..MAX_LEFT).rev() {
            let mut deeper = [0; MAX_WIDTH];
            for (deeper, length) in deeper.iter_mut().zip(elements.lengths()) {
                if left_of(chunks(*length) - 1) > depth {
                    *deeper = u32::MAX;
                }
            }
            if deeper != [0; MAX_WIDTH] {
                let subtree = parent(key, &start, &left[depth], &chaining);
                chaining = select(V::load(&deeper), &subtree, &chaining);
            }
        }
        let mut last = Step::new();
        let mut parents = [0; MAX_WIDTH];
        for (lane, length) in elements.lengths().iter().enumerate() {
            let number = blocks(*length) - 1;
            let block = elements.block(lane, number);
            last.set(lane, block, *length, number, key.flags | flag::ROOT);
            if *length > CHUNK {
                parents[lane] = u32::MAX;
                last.lengths[lane] = BLOCK_LENGTH;
                last.flags[lane] = key.flags | flag::PARENT | flag::ROOT;
            }
        }
        let parent = V::load(&parents);
        let mut block = V::transpose(V::rows(&last.blocks));
        let (low, high) = block.split_at_mut(8);
        for (words, children) in [(low, &left[0]), (high, &chaining)] {
            let own =
                [words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]];
            words.copy_from_slice(&select(parent, children, &own));
        }
        Roots {
            chaining: select(parent, &start, &chaining),
            block,
            length: V::load(&last.lengths),
            flags: V::load(&last.flags),
        }
    }
}

/// The chaining values of the parents of these subtrees.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn parent<V: Vector>(
    key: &KernelKey,
    start: &[V; 8],
    left: &[V; 8],
    right: &[V; 8],
) -> [V; 8] {
    let mut block = [left[0]; 16];
    block[..8].copy_from_slice(left);
    block[8..].copy_from_slice(right);
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let flags = V::splat(key.flags | flag::PARENT);
        let state = begin(start, V::splat(0), V::splat(BLOCK_LENGTH), flags);
        let state = rounds::<V, 0>(state, &block);
        let mut output = *start;
        for (number, word) in output.iter_mut().enumerate() {
            *word = state[number].xor(state[number + 8]);
        }
        output
    }
}

/// How many chunks an element of this length has. The empty one has a chunk, too.
fn chunks(length: usize) -> usize {
    length.div_ceil(CHUNK).max(1)
}

/// Of how many complete subtrees so many chunks are.
fn left_of(chunks: usize) -> usize {
    chunks.count_ones() as usize
}

/// How many blocks of an element are compressed before its root: of one chunk, all but the last;
/// the root of several chunks is a parent.
fn steps_before_root(length: usize) -> usize {
    if length > CHUNK { blocks(length) } else { blocks(length) - 1 }
}

/// Whether a block begins a chunk, and whether it ends one.
fn ends(block: usize, blocks: usize) -> u32 {
    let start = if block.is_multiple_of(CHUNK_BLOCKS) { flag::CHUNK_START } else { 0 };
    let last = (block + 1).is_multiple_of(CHUNK_BLOCKS) || block + 1 == blocks;
    start | if last { flag::CHUNK_END } else { 0 }
}

/// Expands the roots, of which every lane has one, and adds each to the sum of its lane.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn expand_all<V: Vector>(roots: &Roots<V>, partial: &mut Partial) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let start = before_counter(roots);
        for (counter, sums) in (0..OUTPUTS).zip(partial.0.as_chunks_mut::<16>().0) {
            let words = output(roots, start, V::splat(counter));
            for (sum, words) in sums.iter_mut().zip(words) {
                V::load(&sum.0).add_halves(words).store(&mut sum.0);
            }
        }
    }
}

/// Expands one root after the other, with its output blocks in the lanes. The first `added` elements are
/// added, the others taken out.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn expand_each<V: Vector>(roots: &Roots<V>, count: usize, added: usize, lanes: &mut Lanes) {
    // SAFETY: the caller's promise is passed on, and there are as many lanes as halves.
    unsafe {
        let all = roots.words();
        for element in 0..count {
            let root = Roots::<V>::of(&all, element);
            let start = before_counter(&root);
            for first in (0..OUTPUTS).step_by(V::WIDTH) {
                let counters = V::load(&LANE_NUMBERS).add(V::splat(first));
                let rows = V::transpose(output(&root, start, counters));
                for (number, row) in rows.into_iter().enumerate() {
                    let block = first as usize + number % V::WIDTH;
                    let at = block * (BLOCK / 2) + number / V::WIDTH * (2 * V::WIDTH);
                    row.add_to(&mut lanes[at..][..2 * V::WIDTH], element < added);
                }
            }
        }
    }
}

/// The state of the first round up to where the counter enters: into the first column alone, so that the
/// other three are the same for each.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn before_counter<V: Vector>(roots: &Roots<V>) -> State<V> {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let start = begin(&roots.chaining, V::splat(0), roots.length, roots.flags);
        other_columns(start, &roots.block)
    }
}

/// The output blocks with these counters, of a state [before](before_counter) them.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn output<V: Vector>(roots: &Roots<V>, start: State<V>, counters: V) -> State<V> {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let mut state = start;
        state[12] = counters;
        state = mix::<V, 0, 4, 8, 12>(state, roots.block[0], roots.block[1]);
        state = diagonals::<V, 0>(state, &roots.block);
        state = rounds::<V, 1>(state, &roots.block);
        for number in 0..8 {
            let high = state[number + 8];
            state[number] = state[number].xor(high);
            state[number + 8] = high.xor(roots.chaining[number]);
        }
        state
    }
}

/// The state before the first round.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn begin<V: Vector>(chaining: &[V; 8], counter: V, length: V, flags: V) -> State<V> {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let mut state = [V::splat(0); 16];
        state[..8].copy_from_slice(chaining);
        for (word, initial) in state[8..12].iter_mut().zip(IV) {
            *word = V::splat(initial);
        }
        // Counters have 64 bits, and never more than a few: the thirteenth word stays zero.
        (state[12], state[14], state[15]) = (counter, length, flags);
        state
    }
}

/// The rounds from `FROM` on.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn rounds<V: Vector, const FROM: usize>(state: State<V>, block: &State<V>) -> State<V> {
    let mut state = state;
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if FROM == 0 {
            state = round::<V, 0>(state, block);
        }
        state = round::<V, 1>(state, block);
        state = round::<V, 2>(state, block);
        state = round::<V, 3>(state, block);
        state = round::<V, 4>(state, block);
        state = round::<V, 5>(state, block);
        round::<V, 6>(state, block)
    }
}

/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn round<V: Vector, const ROUND: usize>(state: State<V>, block: &State<V>) -> State<V> {
    let order = &SCHEDULE[ROUND];
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let state = mix::<V, 0, 4, 8, 12>(state, block[order[0]], block[order[1]]);
        let state = mix::<V, 1, 5, 9, 13>(state, block[order[2]], block[order[3]]);
        let state = mix::<V, 2, 6, 10, 14>(state, block[order[4]], block[order[5]]);
        let state = mix::<V, 3, 7, 11, 15>(state, block[order[6]], block[order[7]]);
        diagonals::<V, ROUND>(state, block)
    }
}

/// The columns of the first round, but for the first.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn other_columns<V: Vector>(state: State<V>, block: &State<V>) -> State<V> {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let state = mix::<V, 1, 5, 9, 13>(state, block[2], block[3]);
        let state = mix::<V, 2, 6, 10, 14>(state, block[4], block[5]);
        mix::<V, 3, 7, 11, 15>(state, block[6], block[7])
    }
}

/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn diagonals<V: Vector, const ROUND: usize>(state: State<V>, block: &State<V>) -> State<V> {
    let order = &SCHEDULE[ROUND];
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let state = mix::<V, 0, 5, 10, 15>(state, block[order[8]], block[order[9]]);
        let state = mix::<V, 1, 6, 11, 12>(state, block[order[10]], block[order[11]]);
        let state = mix::<V, 2, 7, 8, 13>(state, block[order[12]], block[order[13]]);
        mix::<V, 3, 4, 9, 14>(state, block[order[14]], block[order[15]])
    }
}

/// BLAKE3's quarter round, on the words at four places.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
unsafe fn mix<V: Vector, const A: usize, const B: usize, const C: usize, const D: usize>(
    state: State<V>,
    one: V,
    other: V,
) -> State<V> {
    let mut state = state;
    let (mut a, mut b, mut c, mut d) = (state[A], state[B], state[C], state[D]);
    // SAFETY: the caller's promise is passed on.
    unsafe {
        a = a.add(b).add(one);
        d = d.xor(a).rotate::<16, 16>();
        c = c.add(d);
        b = b.xor(c).rotate::<20, 12>();
        a = a.add(b).add(other);
        d = d.xor(a).rotate::<24, 8>();
        c = c.add(d);
        b = b.xor(c).rotate::<25, 7>();
    }
    (state[A], state[B], state[C], state[D]) = (a, b, c, d);
    state
}
