//! The sum of many elements.

use alloc::boxed::Box;
use core::fmt;

use crate::batch::{self, Batch, Sign};
use crate::kernel::{Kernel, MAX_WIDTH};
use crate::{Hasher, Instructions, LtHash};

/// Sums elements as they come and go: the way to hash many.
///
/// Order does not matter, and a removal takes out exactly what an insertion put in, whether it came
/// before or after. Nothing is remembered of single elements, so removing one that was never
/// inserted is not noticed: it leaves a sum that no multiset of the caller's has. Who removes must
/// know the old bytes.
///
/// An insertion may be hashed later, together with others, though never later than the sum is asked
/// for; the bytes are the caller's again when the call returns.
///
/// ```
/// use lthash::{Accumulator, Hasher};
///
/// let mut rows = Accumulator::new(Hasher::new());
/// rows.insert_all(["alice", "bob"]);
/// rows.update(b"bob", b"carol");
/// rows.remove(b"alice");
///
/// assert_eq!(rows.finish(), Hasher::new().element(b"carol"));
/// ```
#[derive(Clone)]
pub struct Accumulator {
    hasher: Hasher,
    /// None before the first element, which is hashed alone, for it may be the only one.
    sum: Option<LtHash>,
    /// Where this processor hashes several elements at once.
    kernel: Option<Kernel>,
    /// What waits, from the second element on.
    batch: Option<Box<Batch>>,
}

impl Accumulator {
    /// Begins with the empty multiset; what is inserted is hashed by `hasher`.
    pub fn new(hasher: Hasher) -> Self {
        Self::with_instructions(hasher, Instructions::best())
    }

    /// As [`new`](Self::new), with instructions of one's choice, to measure or to test them. Those
    /// that this processor does not have are replaced by [`Instructions::Portable`].
    pub fn with_instructions(hasher: Hasher, instructions: Instructions) -> Self {
        let kernel = Kernel::of(instructions);
        Self { hasher, sum: None, kernel, batch: None }
    }

    /// Adds one element.
    pub fn insert(&mut self, element: &[u8]) {
        match self.sum {
            Some(_) => self.insert_parts(&[element]),
            None => self.begin(&[element], 1),
        }
    }

    /// Takes one element out, which must be in.
    pub fn remove(&mut self, element: &[u8]) {
        match self.sum {
            Some(_) => self.remove_parts(&[element]),
            None => self.begin(&[element], 0),
        }
    }

    /// Replaces the element `old`, which must be in, by `new`.
    pub fn update(&mut self, old: &[u8], new: &[u8]) {
        if self.sum.is_some() {
            self.remove(old);
            self.insert(new);
        } else {
            self.begin(&[new, old], 1);
        }
    }

    /// Hashes the first elements, for they may be the only ones: so many are added, the others taken out.
    fn begin(&mut self, elements: &[&[u8]], added: usize) {
        let mut sum = LtHash::identity();
        batch::each(self.kernel, &self.hasher, elements.iter().copied(), added, &mut sum);
        self.sum = Some(sum);
    }

    /// Adds the one element that is the concatenation of `parts`, which need not be copied together
    /// for it. Where they are cut leaves no trace: frame them.
    pub fn insert_parts(&mut self, parts: &[&[u8]]) {
        if !self.waits(parts, Sign::Added) {
            let expanded = self.hasher.expand(parts);
            self.sum_mut().add_expanded(&expanded);
        }
    }

    /// Takes out the one element that is the concatenation of `parts`, which must be in.
    pub fn remove_parts(&mut self, parts: &[&[u8]]) {
        if !self.waits(parts, Sign::Removed) {
            let expanded = self.hasher.expand(parts);
            self.sum_mut().subtract_expanded(&expanded);
        }
    }

    /// Whether the element was taken to be hashed later, together with others.
    fn waits(&mut self, parts: &[&[u8]], sign: Sign) -> bool {
        self.batch().is_some_and(|batch| batch.take(parts, sign))
    }

    /// What waits, unless the next element is to be hashed alone.
    fn batch(&mut self) -> Option<&mut Batch> {
        let (Some(kernel), Some(_)) = (self.kernel, &self.sum) else { return None };
        Some(self.batch.get_or_insert_with(|| Box::new(Batch::new(kernel, &self.hasher))))
    }

    /// Adds each item as an element.
    pub fn insert_all(&mut self, elements: impl IntoIterator<Item: AsRef<[u8]>>) {
        for element in elements {
            self.insert(element.as_ref());
        }
    }

    /// Adds each of these elements, as [`insert_all`](Self::insert_all) does; short ones are hashed where
    /// they lie, without a copy.
    pub fn insert_slices<E: AsRef<[u8]>>(&mut self, elements: &[E]) {
        let mut rest = elements;
        if self.sum.is_none() {
            let (first, others) =
                rest.split_at(rest.len().min(self.kernel.map_or(1, Kernel::width)));
            let mut slices: [&[u8]; MAX_WIDTH] = [&[]; _];
            for (slice, element) in slices.iter_mut().zip(first) {
                *slice = element.as_ref();
            }
            self.begin(&slices[..first.len()], first.len());
            rest = others;
        }
        while !rest.is_empty() {
            let added = self.batch().map_or(0, |batch| batch.add_short(rest));
            // What does not fill a group, or has a long one in it.
            let (next, after) = rest[added..].split_at(rest[added..].len().min(MAX_WIDTH));
            self.insert_all(next);
            rest = after;
        }
    }

    /// Adds a sum of elements that were hashed elsewhere, by whatever hasher.
    pub fn add(&mut self, elements: &LtHash) {
        *self.sum_mut() += elements;
    }

    /// Takes out a sum of elements that were hashed elsewhere, by whatever hasher.
    pub fn subtract(&mut self, elements: &LtHash) {
        *self.sum_mut() -= elements;
    }

    /// Adds what another accumulator holds; the hasher stays this one's.
    pub fn merge(&mut self, other: Self) {
        self.add(&other.finish());
    }

    /// The sum so far.
    pub fn sum(&self) -> LtHash {
        self.clone().finish()
    }

    /// The sum of all.
    pub fn finish(self) -> LtHash {
        let mut sum = self.sum.unwrap_or_default();
        if let Some(batch) = self.batch {
            batch.settle(&self.hasher, &mut sum);
        }
        sum
    }

    fn sum_mut(&mut self) -> &mut LtHash {
        self.sum.get_or_insert_default()
    }
}

/// Shows the sum of all, what waits included.
impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Accumulator");
        shown.field("hasher", &self.hasher).field("sum", &self.sum()).finish_non_exhaustive()
    }
}
