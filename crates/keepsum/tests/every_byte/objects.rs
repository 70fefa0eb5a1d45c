//! Every object truncated, doubled, removed, swapped with another one, and copied under another name.

use keepsum::verify::Level;

use crate::sound::{CASES, Sound, assert_named};

/// What is done to an object.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Cut to this many bytes.
    Truncated(usize),
    /// Its bytes once more at its end.
    Doubled,
    Removed,
}

impl Fault {
    /// The faults that an object of `length` bytes gets.
    fn all(length: usize) -> Vec<Self> {
        let cuts = [0, 1, 8, length / 2, length - 24, length - 1];
        let cuts = cuts.into_iter().map(Self::Truncated);
        cuts.chain([Self::Doubled, Self::Removed]).collect()
    }

    fn inflict(self, sound: &Sound, path: &str, bytes: &[u8]) {
        match self {
            Self::Truncated(length) => sound.write(path, &bytes[..length]),
            Self::Doubled => sound.write(path, &bytes.repeat(2)),
            Self::Removed => sound.remove(path),
        }
    }
}

#[tokio::test]
async fn every_object_that_is_not_as_it_was_is_found_and_named() {
    let (mut tried, mut refused) = (0, 0);
    for case in CASES {
        let sound = Sound::new(case).await;
        let needed = sound.needed().await;
        for (path, bytes) in sound.objects() {
            for fault in Fault::all(bytes.len()) {
                fault.inflict(&sound, &path, &bytes);
                let what = format!("{case:?}: {fault:?} {path}");
                // What is missing or has another length is found without reading it.
                for level in [Level::List, Level::Full] {
                    assert_named(&sound.verify(level).await, &path, &what);
                }
                assert_eq!(sound.restores(&what).await, !needed.contains(&path), "{what}");
                tried += 1;
                refused += usize::from(needed.contains(&path));
            }
            sound.write(&path, &bytes);
        }
    }
    println!(
        "{tried} objects truncated, doubled or removed, all found; {refused} restores refused"
    );
    assert!(tried >= 200 && refused >= 100, "{tried} {refused}");
}

#[tokio::test]
async fn every_two_objects_swapped_are_found() {
    let mut tried = 0;
    for case in CASES {
        let sound = Sound::new(case).await;
        let needed = sound.needed().await;
        let objects = sound.objects();
        for (number, (one, bytes)) in objects.iter().enumerate() {
            for (other, others) in &objects[number + 1..] {
                sound.write(one, others);
                sound.write(other, bytes);
                let what = format!("{case:?}: {one} swapped with {other}");
                let report = sound.verify(Level::Full).await;
                // Below a manifest or node that is swapped, nothing is reached.
                let named = |path: &String| report.findings.iter().any(|f| f.what == *path);
                assert!(named(one) || named(other), "{what}: {report:?}");
                let whole = !needed.contains(one) && !needed.contains(other);
                assert_eq!(sound.restores(&what).await, whole, "{what}");
                tried += 1;
                sound.write(one, bytes);
                sound.write(other, others);
            }
        }
    }
    println!("{tried} pairs of objects swapped, all found");
    assert!(tried >= 60, "{tried}");
}

/// What nothing live reaches is no damage: it is counted, and not found.
#[tokio::test]
async fn a_copy_under_another_name_is_counted_and_does_no_harm() {
    for case in CASES {
        let sound = Sound::new(case).await;
        let before = sound.verify(Level::Full).await;
        assert_eq!((before.unreached_objects, before.unreached_bytes), (0, 0), "{case:?}");
        for (path, bytes) in sound.objects() {
            let (name, nonce) = path.rsplit_once('.').unwrap();
            let other = format!("{name}.{}", nonce.chars().rev().collect::<String>());
            assert_ne!(path, other);
            // Whole, and damaged: nobody reads it.
            for copy in [bytes.clone(), bytes[1..].to_vec()] {
                sound.write(&other, &copy);
                for level in [Level::List, Level::Full] {
                    let report = sound.verify(level).await;
                    assert_eq!(report.findings, [], "{case:?}: {other}");
                    let unreached = (report.unreached_objects, report.unreached_bytes);
                    assert_eq!(unreached, (1, copy.len() as u64), "{case:?}: {other}");
                }
                assert!(sound.restores(&other).await, "{case:?}: {other}");
            }
            sound.remove(&other);
        }
    }
}
