//! The sum of many elements.

use core::fmt;

use crate::batch::{Batch, Sign};
use crate::{Hasher, LtHash};

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
    sum: LtHash,
    /// What is not in the sum yet.
    batch: Batch,
}

impl Accumulator {
    /// Begins with the empty multiset; what is inserted is hashed by `hasher`.
    pub fn new(hasher: Hasher) -> Self {
        Self { hasher, sum: LtHash::identity(), batch: Batch::new() }
    }

    /// Adds one element.
    pub fn insert(&mut self, element: &[u8]) {
        self.insert_parts(&[element]);
    }

    /// Takes one element out, which must be in.
    pub fn remove(&mut self, element: &[u8]) {
        self.remove_parts(&[element]);
    }

    /// Replaces the element `old`, which must be in, by `new`.
    pub fn update(&mut self, old: &[u8], new: &[u8]) {
        self.remove(old);
        self.insert(new);
    }

    /// Adds the one element that is the concatenation of `parts`, which need not be copied together
    /// for it. Where they are cut leaves no trace: frame them.
    pub fn insert_parts(&mut self, parts: &[&[u8]]) {
        self.apply(parts, Sign::Plus);
    }

    /// Takes out the one element that is the concatenation of `parts`, which must be in.
    pub fn remove_parts(&mut self, parts: &[&[u8]]) {
        self.apply(parts, Sign::Minus);
    }

    /// Adds each item as an element.
    pub fn insert_all(&mut self, elements: impl IntoIterator<Item: AsRef<[u8]>>) {
        for element in elements {
            self.insert(element.as_ref());
        }
    }

    /// Adds a sum of elements that were hashed elsewhere, by whatever hasher.
    pub fn add(&mut self, elements: &LtHash) {
        self.sum += elements;
    }

    /// Takes out a sum of elements that were hashed elsewhere, by whatever hasher.
    pub fn subtract(&mut self, elements: &LtHash) {
        self.sum -= elements;
    }

    /// Adds what another accumulator holds; the hasher stays this one's.
    pub fn merge(&mut self, other: Self) {
        self.add(&other.finish());
    }

    /// The sum so far.
    pub fn sum(&self) -> LtHash {
        if self.batch.is_empty() { self.sum.clone() } else { self.clone().finish() }
    }

    /// The sum of all.
    pub fn finish(mut self) -> LtHash {
        self.batch.settle(&self.hasher, &mut self.sum);
        self.sum
    }

    fn apply(&mut self, parts: &[&[u8]], sign: Sign) {
        if !self.batch.take(parts, sign) {
            let element = self.batch.expand(&self.hasher, parts);
            self.sum.apply(&element, sign);
        } else if self.batch.is_full() {
            self.batch.settle(&self.hasher, &mut self.sum);
        }
    }
}

/// Shows the sum so far, and no bytes of elements that wait to be hashed.
impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hasher, .. } = self;
        f.debug_struct("Accumulator").field("hasher", hasher).field("sum", &self.sum()).finish()
    }
}
