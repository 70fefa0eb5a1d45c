//! The names of objects, entries and snapshots.

use archive::catalog::Entry;
use archive::manifest::SnapshotId;
use archive::object::{ObjectHash, ObjectName};
use proptest::prelude::*;

proptest! {
    #[test]
    fn an_object_has_one_name(hash in any::<[u8; 32]>(), nonce in any::<[u8; 8]>()) {
        let name = ObjectName { hash: ObjectHash(hash), nonce };
        let text = name.to_string();
        prop_assert_eq!(text.parse::<ObjectName>().unwrap(), name);
        prop_assert_eq!(name.path(), format!("objects/{}/{text}", &text[..2]));
        prop_assert_eq!(text.len(), 64 + 1 + 16);
    }

    #[test]
    fn nothing_else_is_a_name(text in ".{0,100}") {
        if let Ok(name) = text.parse::<ObjectName>() {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

#[test]
fn other_spellings_are_refused() {
    let name = ObjectName { hash: ObjectHash([0xab; 32]), nonce: [0xcd; 8] }.to_string();
    let long = format!("{name}00");
    let wrong =
        [name.to_uppercase(), name.replace('.', "/"), name[1..].into(), long, format!(".{name}")];
    for text in wrong {
        assert!(text.parse::<ObjectName>().is_err(), "{text}");
    }
    assert!("../../etc/passwd".parse::<ObjectName>().is_err());
    assert!("".parse::<ObjectName>().is_err());
}

#[test]
fn entries_sort_as_they_are_numbered() {
    let paths: Vec<_> = [0, 9, 10, 99, u64::MAX].into_iter().map(Entry::path).collect();
    assert!(paths.is_sorted());
    assert_eq!(paths[1], "catalog/00000000000000000009");
}

#[test]
fn a_snapshot_id_is_32_digits() {
    let id = SnapshotId([0x0f; 16]);
    assert_eq!(id.to_string(), "0f".repeat(16));
    assert_eq!(id.to_string().parse::<SnapshotId>().unwrap(), id);
    assert_eq!(format!("{id:.8}"), "0f0f0f0f");
    for wrong in ["", "0f", &"0g".repeat(16), &"0f".repeat(17)] {
        assert!(wrong.parse::<SnapshotId>().is_err(), "{wrong}");
    }
}
