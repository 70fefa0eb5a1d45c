//! Parts of an object, read by range.

use std::ops::Range;

use archive::limits::{FRAME_BYTES, MAX_OBJECT_BYTES};
use archive::object::{Index, Kind, MAX_TAIL_BYTES, ObjectRef};
use proptest::prelude::*;

use crate::samples::{key, reference, stored};

fn bytes_of<'a>(stored: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let at = |at: u64| usize::try_from(at).unwrap();
    &stored[at(range.start)..at(range.end)]
}

/// Reads a range as a reader of an object store does: the tail, then the frames that are needed.
fn read(
    bytes: &[u8],
    reference: &ObjectRef,
    kind: Kind,
    plain: Range<u64>,
) -> archive::Result<Vec<u8>> {
    let tail = bytes_of(bytes, &Index::tail_range(reference));
    let index = Index::from_tail(tail, reference, kind, &key())?;
    let (range, start) = index.stored_range(&plain);
    assert!(start <= plain.start);
    index.open_range(&plain, bytes_of(bytes, &range), &key())
}

/// Frames that compress and frames that do not, the last one short.
fn content() -> Vec<u8> {
    let mut content = testkit::noise(1, 3 * FRAME_BYTES + 1000);
    content[..2 * FRAME_BYTES].fill(b'a');
    content[FRAME_BYTES] = b'b';
    content
}

fn in_content() -> impl Strategy<Value = Range<usize>> {
    let length = content().len();
    let edge = prop_oneof![
        (0..=length).boxed(),
        (0..=3_usize).prop_map(|frame| frame * FRAME_BYTES).boxed(),
        (0..=3_usize).prop_map(|frame| (frame * FRAME_BYTES).saturating_sub(1)).boxed(),
        (0..=3_usize).prop_map(|frame| frame * FRAME_BYTES + 1).boxed(),
        Just(length).boxed(),
    ];
    (edge.clone(), edge).prop_map(|(a, b)| a.min(b)..a.max(b))
}

proptest! {
    #[test]
    fn a_range_is_a_slice_of_the_whole(range in in_content()) {
        let content = content();
        let (bytes, reference) = stored(Kind::Piece, &content);
        let plain = range.start as u64..range.end as u64;
        prop_assert_eq!(read(&bytes, &reference, Kind::Piece, plain).unwrap(), &content[range]);
    }

    #[test]
    fn a_longer_tail_will_do(more in 0_usize..2000) {
        let content = content();
        let (bytes, reference) = stored(Kind::Piece, &content);
        let needed = Index::tail_range(&reference);
        let start = usize::try_from(needed.start).unwrap().saturating_sub(more);
        let index = Index::from_tail(&bytes[start..], &reference, Kind::Piece, &key()).unwrap();
        let (range, _) = index.stored_range(&(0..5));
        prop_assert_eq!(index.open_range(&(0..5), bytes_of(&bytes, &range), &key()).unwrap(), b"aaaaa");
    }
}

#[test]
fn only_the_frames_that_are_needed_are_read() {
    let (bytes, reference) = stored(Kind::Piece, &content());
    let tail = bytes_of(&bytes, &Index::tail_range(&reference));
    let index = Index::from_tail(tail, &reference, Kind::Piece, &key()).unwrap();
    let frame = FRAME_BYTES as u64;
    let (last, start) = index.stored_range(&(3 * frame + 5..3 * frame + 6));
    assert_eq!((last.end - last.start, start), (1000, 3 * frame));
    // Two frames of one letter each are a few bytes long.
    let (first, start) = index.stored_range(&(frame - 1..frame + 1));
    assert!(first.end < 1000);
    assert_eq!((first.start, start), (8, 0));
}

#[test]
fn the_frame_that_is_damaged_is_the_only_one_that_cannot_be_read() {
    let content = content();
    let (mut bytes, reference) = stored(Kind::Piece, &content);
    let frame = FRAME_BYTES as u64;
    let last = bytes_of(&bytes, &Index::tail_range(&reference)).len() + 500;
    let at = bytes.len() - last;
    bytes[at] ^= 1;
    let part = 0..3 * frame;
    let whole = &content[..3 * FRAME_BYTES];
    assert_eq!(read(&bytes, &reference, Kind::Piece, part).unwrap(), whole);
    assert!(read(&bytes, &reference, Kind::Piece, 3 * frame..3 * frame + 1).is_err());
}

#[test]
fn empty_content() {
    let (bytes, reference) = stored(Kind::Names, b"");
    assert_eq!(bytes.len(), 32);
    assert_eq!(read(&bytes, &reference, Kind::Names, 0..0).unwrap(), b"");
    assert!(read(&bytes, &reference, Kind::Names, 0..1).is_err());
}

#[test]
fn an_empty_range_reads_nothing() {
    let (bytes, reference) = stored(Kind::Piece, &content());
    let tail = bytes_of(&bytes, &Index::tail_range(&reference));
    let index = Index::from_tail(tail, &reference, Kind::Piece, &key()).unwrap();
    assert_eq!(index.stored_range(&(700..700)).0, 0..0);
    assert_eq!(index.open_range(&(700..700), b"", &key()).unwrap(), b"");
}

/// Who asks for more than there is was told of more, and must not be given less in silence.
#[test]
fn a_range_beyond_the_content_is_refused() {
    let content = content();
    let length = content.len() as u64;
    let (bytes, reference) = stored(Kind::Piece, &content);
    #[expect(clippy::reversed_empty_ranges, reason = "a range that ends before it begins is meant")]
    let wrong = [0..length + 1, length + 1..length + 2, length..1 << 60, 0..u64::MAX, 5..4];
    for plain in wrong {
        let tail = bytes_of(&bytes, &Index::tail_range(&reference));
        let index = Index::from_tail(tail, &reference, Kind::Piece, &key()).unwrap();
        let (range, _) = index.stored_range(&plain);
        let stored = bytes_of(&bytes, &range);
        let error = index.open_range(&plain, stored, &key()).unwrap_err();
        assert!(matches!(error, archive::Error::Mismatch { .. }), "{plain:?}: {error}");
    }
}

#[test]
fn the_wrong_stored_bytes_are_refused() {
    let (bytes, reference) = stored(Kind::Piece, &content());
    let tail = bytes_of(&bytes, &Index::tail_range(&reference));
    let index = Index::from_tail(tail, &reference, Kind::Piece, &key()).unwrap();
    let (range, _) = index.stored_range(&(0..5));
    let stored = bytes_of(&bytes, &range);
    assert!(index.open_range(&(0..5), &stored[..stored.len() - 1], &key()).is_err());
    assert!(index.open_range(&(0..5), b"", &key()).is_err());
    let shifted = bytes_of(&bytes, &(range.start + 1..range.end + 1));
    assert!(index.open_range(&(0..5), shifted, &key()).is_err());
}

#[test]
fn the_tail_of_the_largest_object_has_the_length_that_readers_fetch() {
    let largest = reference(1, u32::try_from(MAX_OBJECT_BYTES).unwrap(), 100);
    let tail = Index::tail_range(&largest);
    assert_eq!(tail.end - tail.start, MAX_TAIL_BYTES as u64);
    let whole = vec![0; MAX_OBJECT_BYTES];
    let (bytes, reference) = stored(Kind::Piece, &whole);
    assert!(bytes.len() < 64 << 10);
    assert_eq!(read(&bytes, &reference, Kind::Piece, 5..9).unwrap(), [0; 4]);
}
