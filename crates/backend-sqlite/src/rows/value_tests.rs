use super::*;

fn made(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut maker = Maker::default();
    maker.begin(cells.len());
    for cell in cells {
        maker.push(cell);
    }
    maker.finish().to_vec()
}

#[test]
fn cells_are_read_as_they_were_written() {
    let long = vec![7; 300];
    let cells = [
        Cell::Null,
        Cell::Integer(i64::MIN),
        Cell::Real(-0.0),
        Cell::Text(b"\xff\0".as_slice().into()),
        Cell::Blob(&long),
        Cell::RawText(b"\0\xd8"),
        Cell::Blob(b""),
    ];
    let value = made(&cells);
    let found: Vec<_> =
        Cells::read(&value, cells.len()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(found, cells);
    // Every shorter one is damage, and so is every longer one.
    for end in 0..value.len() {
        assert!(Cells::read(&value[..end], cells.len()).is_err(), "{end}");
    }
    assert!(Cells::read(&[&value[..], b"x"].concat(), cells.len()).is_err());
    assert!(Cells::read(&value, cells.len() + 1).is_err());
}

/// The worked example of the page: its bytes are those that the code writes.
#[test]
fn the_example_of_the_page_is_what_is_written() {
    let page = include_str!("../../../../docs/FORMAT.md");
    let example = page.split("```hex row\n").skip(1).map(|block| {
        let block = block.split("```").next().unwrap_or_default();
        let bytes = block.lines().flat_map(|line| {
            let hex = line.split('#').next().unwrap_or_default();
            hex.split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect::<Vec<_>>()
        });
        bytes.collect::<Vec<u8>>()
    });
    let example: Vec<_> = example.collect();
    let mut key = Vec::new();
    super::super::key::push(
        &mut key,
        &super::super::key::Part::Text(b"Ada".as_slice().into()),
        super::super::key::Collation::NoCase,
    );
    super::super::key::push(
        &mut key,
        &super::super::key::Part::Integer(3),
        super::super::key::Collation::Binary,
    );
    let value = made(&[
        Cell::Text(b"Ada".as_slice().into()),
        Cell::Integer(3),
        Cell::Real(0.5),
        Cell::Null,
        Cell::Blob(b"\0\xff"),
    ]);
    assert_eq!(example, [key, value]);
}

/// Whatever is there of a value, the blob it ends with is found or not found yet, and never another one.
#[test]
fn the_blob_at_the_end_is_found_by_the_head() {
    let long = vec![7; 300];
    let blob = |bytes| Cell::Blob(bytes);
    let text = |bytes: &'static [u8]| Cell::Text(bytes.into());
    let cases: [(&[Cell<'_>], Option<usize>); 7] = [
        (&[Cell::Integer(1), blob(&long)], Some(1)),
        (&[blob(&long), blob(&long), Cell::Null, text(b""), blob(b"")], Some(1)),
        (&[blob(&long)], Some(0)),
        (&[blob(&long), Cell::Integer(0)], None),
        (&[blob(&long), text(b"x")], None),
        (&[blob(&long), Cell::RawText(b"xy"), Cell::Null], None),
        (&[Cell::Null, text(b"")], None),
    ];
    for (cells, expected) in cases {
        let value = made(cells);
        let mut bodies = Vec::new();
        for cell in cells {
            cell.push_body(&mut bodies);
        }
        for end in 0..=value.len() {
            let found = LastBlob::find(&value[..end]);
            let is_told = end >= value.len() - bodies.len();
            assert_eq!(
                found.map(|last| last.column),
                expected.filter(|_| is_told),
                "{cells:?} {end}"
            );
        }
        let Some(last) = LastBlob::find(&value) else { continue };
        assert_eq!(last.start + u64::from(last.length), value.len() as u64);
        let mut others = cells.to_vec();
        others[last.column] = Cell::Blob(b"");
        let before = &value[..usize::try_from(last.start).unwrap()];
        assert_eq!(Cells::before(before, cells.len(), last).unwrap(), others);
    }
}
