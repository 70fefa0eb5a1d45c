//! Where a restore goes: links, mounts, empty files and long names.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use backup_core::staging::{Form, SIDECAR, Staging, is_occupied, sidecar_of};
use backup_core::target::Existing;
use backup_core::{Error, Result};

use super::{FOLDER, begin, names, origin};

const FILE: Form =
    Form::File { companions: &["-wal", "-shm", "-journal"], logs: &["-wal", "-journal"] };

fn write(staging: &Staging, form: Form, content: &str) {
    match form {
        Form::File { .. } => fs::write(staging.file(), content).unwrap(),
        Form::Folder { .. } => fs::write(staging.folder().join("CURRENT"), content).unwrap(),
    }
}

/// Restores a store that says `content`; returns where the old one is now.
fn restore(
    target: &Path,
    form: Form,
    existing: Existing,
    content: &str,
) -> Result<Option<PathBuf>> {
    let staging = begin(target, form, existing)?;
    write(&staging, form, content);
    Ok(staging.publish(&origin())?.kept_aside)
}

/// What the store at a path says.
fn found(target: &Path, form: Form) -> String {
    let file = match form {
        Form::File { .. } => target.to_owned(),
        Form::Folder { .. } => target.join("CURRENT"),
    };
    fs::read_to_string(file).unwrap()
}

/// Two folders: one with the names that users know, one with the data.
struct Ground {
    _home: tempfile::TempDir,
    given: PathBuf,
    volume: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let [given, volume] = ["given", "volume"].map(|name| home.path().join(name));
        fs::create_dir(&given).unwrap();
        fs::create_dir(&volume).unwrap();
        Self { _home: home, given, volume }
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_symlink()
}

/// A restore put a file where the link was: the data left its volume, and nothing said so.
#[test]
fn a_link_stays_one_and_everything_lies_beside_what_it_leads_to() {
    for form in [FILE, FOLDER] {
        let ground = Ground::new();
        let (link, real) = (ground.given.join("store"), ground.volume.join("real"));
        // A link to a link, and a relative one.
        symlink("other", &link).unwrap();
        symlink("../volume/real", ground.given.join("other")).unwrap();
        assert_eq!(restore(&real, form, Existing::Refuse, "old").unwrap(), None);
        assert!(is_occupied(&link, form).unwrap());
        let refused = restore(&link, form, Existing::Refuse, "new");
        assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");

        let staging = begin(&link, form, Existing::KeepAside).unwrap();
        assert_eq!(staging.folder().parent().unwrap(), ground.volume);
        write(&staging, form, "new");
        let aside = staging.publish(&origin()).unwrap().kept_aside.unwrap();
        assert_eq!(aside, ground.volume.join("real.keepsum-old"));
        assert!(is_link(&link) && is_link(&ground.given.join("other")));
        assert_eq!((found(&link, form), found(&aside, form)), ("new".into(), "old".into()));
        assert_eq!(names(&ground.given), ["other", "store"]);
        assert!(!is_link(&real));
        if let Form::File { .. } = form {
            assert!(ground.volume.join("real.keepsum").is_file());
            assert!(ground.volume.join("real.keepsum-old.keepsum").is_file());
        } else {
            assert!(real.join(SIDECAR).is_file());
        }
    }
}

/// A new volume: the link is there, what it leads to is not. That was refused as "not empty".
#[test]
fn a_link_that_leads_to_nothing_is_restored_through() {
    for form in [FILE, FOLDER] {
        for existing in [Existing::Refuse, Existing::KeepAside] {
            let ground = Ground::new();
            let (link, real) = (ground.given.join("store"), ground.volume.join("real"));
            symlink(&real, &link).unwrap();
            assert!(!is_occupied(&link, form).unwrap());
            assert_eq!(restore(&link, form, existing, "new").unwrap(), None);
            assert!(is_link(&link));
            assert_eq!((found(&real, form), found(&link, form)), ("new".into(), "new".into()));
            assert_eq!(names(&ground.given), ["store"]);
        }
    }
}

#[test]
fn a_link_into_a_folder_that_is_not_there_is_refused_and_nothing_is_made() {
    for form in [FILE, FOLDER] {
        let ground = Ground::new();
        let missing = ground.volume.join("not mounted");
        let link = ground.given.join("store");
        symlink(missing.join("real"), &link).unwrap();
        // Or the folder that was named leads there.
        symlink(&missing, ground.given.join("folder")).unwrap();
        for target in [link, ground.given.join("folder/store"), ground.given.join("folder/a/b")] {
            for refused in [
                restore(&target, form, Existing::KeepAside, "new").map(drop),
                is_occupied(&target, form).map(drop),
            ] {
                let Err(error @ Error::Unsupported { .. }) = &refused else {
                    panic!("{}: {refused:?}", target.display())
                };
                assert!(error.to_string().contains("mount the volume"), "{error}");
            }
        }
        assert!(!missing.exists());
        let plain = ground.given.join("none/store");
        let missing = restore(&plain, form, Existing::Refuse, "new");
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        assert!(!is_occupied(&plain, form).unwrap());
    }
}

/// Links that lead to each other lead nowhere.
#[test]
fn links_in_a_circle_are_an_error() {
    let ground = Ground::new();
    let (one, other) = (ground.given.join("one"), ground.given.join("other"));
    symlink(&one, &other).unwrap();
    symlink(&other, &one).unwrap();
    let refused = restore(&one, FILE, Existing::KeepAside, "new");
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
}

#[test]
fn a_link_that_leads_elsewhere_by_the_end_is_refused() {
    for form in [FILE, FOLDER] {
        let ground = Ground::new();
        let link = ground.given.join("store");
        let [one, other] = ["one", "other"].map(|name| ground.volume.join(name));
        symlink(&one, &link).unwrap();
        restore(&one, form, Existing::Refuse, "one").unwrap();
        restore(&other, form, Existing::Refuse, "other").unwrap();
        let before = names(&ground.volume);
        let staging = begin(&link, form, Existing::KeepAside).unwrap();
        write(&staging, form, "new");
        fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        let refused = staging.publish(&origin());
        let Err(error @ Error::Unsupported { .. }) = &refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains("restore again"), "{error}");
        assert_eq!((found(&one, form), found(&other, form)), ("one".into(), "other".into()));
        assert_eq!(names(&ground.volume), before);
    }
}

/// What is beside a database may be links as well: they go aside, and nothing is written through them.
#[test]
fn links_beside_a_file_are_moved_and_not_followed() {
    let ground = Ground::new();
    let target = ground.given.join("db");
    fs::write(&target, "old").unwrap();
    let beside = ["db-wal", "db-shm", "db-journal", "db.keepsum"];
    for name in beside {
        fs::write(ground.volume.join(name), name).unwrap();
        symlink(ground.volume.join(name), ground.given.join(name)).unwrap();
    }
    let aside = restore(&target, FILE, Existing::KeepAside, "new").unwrap().unwrap();
    assert_eq!((found(&target, FILE), found(&aside, FILE)), ("new".into(), "old".into()));
    for name in beside {
        let moved = ground.given.join(name.replacen("db", "db.keepsum-old", 1));
        assert!(is_link(&moved), "{name}");
        assert_eq!(fs::read_to_string(moved).unwrap(), name, "nothing is written through it");
    }
    assert_eq!(names(&ground.given).len(), 2 + beside.len() + 1);
    assert!(!is_link(&ground.given.join("db.keepsum")));
    // Without a file, the link at the sidecar is replaced as well.
    let lone = ground.given.join("lone");
    symlink(ground.volume.join("db-wal"), ground.given.join("lone.keepsum")).unwrap();
    restore(&lone, FILE, Existing::Refuse, "new").unwrap();
    assert!(!is_link(&ground.given.join("lone.keepsum")));
    assert_eq!(fs::read_to_string(ground.volume.join("db-wal")).unwrap(), "db-wal");
}

/// Something made the file and wrote nothing: the application started empty instead of restored.
#[test]
fn a_file_without_a_byte_is_a_free_target() {
    let ground = Ground::new();
    for existing in [Existing::Refuse, Existing::KeepAside] {
        let target = ground.given.join(format!("{existing:?}"));
        fs::write(&target, "").unwrap();
        fs::write(ground.given.join(format!("{existing:?}-wal")), "").unwrap();
        fs::write(ground.given.join(format!("{existing:?}-shm")), "stale").unwrap();
        assert!(!is_occupied(&target, FILE).unwrap());
        assert_eq!(restore(&target, FILE, existing, "new").unwrap(), None);
        assert_eq!(found(&target, FILE), "new");
        assert!(!ground.given.join(format!("{existing:?}-shm")).exists());
    }
    for log in ["-wal", "-journal"] {
        let target = ground.given.join(format!("with{log}"));
        fs::write(&target, "").unwrap();
        fs::write(ground.given.join(format!("with{log}{log}")), "not empty").unwrap();
        assert!(is_occupied(&target, FILE).unwrap());
        let refused = restore(&target, FILE, Existing::Refuse, "new");
        assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
    }
    // It was empty when the restore began.
    let target = ground.given.join("filled");
    fs::write(&target, "").unwrap();
    let staging = begin(&target, FILE, Existing::Refuse).unwrap();
    write(&staging, FILE, "new");
    fs::write(&target, "somebody's").unwrap();
    let refused = staging.publish(&origin());
    assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
    assert_eq!(found(&target, FILE), "somebody's");
}

/// A name of which nothing can be put beside it under a longer one.
#[test]
fn names_of_any_length_are_restored_to_and_kept_aside() {
    for form in [FILE, FOLDER] {
        for name in ["n".repeat(224), "n".repeat(236), "n".repeat(247), "n".repeat(255)] {
            // The last character has two bytes.
            let name = format!("{}é", &name[2..]);
            let ground = Ground::new();
            let target = ground.given.join(&name);
            assert_eq!(restore(&target, form, Existing::Refuse, "one").unwrap(), None);
            let aside = restore(&target, form, Existing::KeepAside, "two").unwrap().unwrap();
            let other = restore(&target, form, Existing::KeepAside, "three").unwrap().unwrap();
            let are = [&target, &aside, &other].map(|path| found(path, form));
            assert_eq!(are, ["three", "one", "two"], "{} bytes", name.len());
            let kept = aside.file_name().unwrap().to_str().unwrap();
            assert!(kept.starts_with("nnnn") && kept.ends_with(".keepsum-old"), "{kept}");
            if let Form::File { .. } = form {
                let sidecar = sidecar_of(&target);
                assert!(sidecar.is_file() && sidecar_of(&aside).is_file());
                let full = format!("{name}.keepsum");
                if full.len() <= 255 {
                    assert_eq!(sidecar, ground.given.join(full));
                }
            }
            let hidden = |name: &String| name.starts_with('.');
            assert_eq!(names(&ground.given).iter().filter(|name| hidden(name)).count(), 0);
        }
    }
}

/// Two long names that begin alike have sidecars of their own.
#[test]
fn shorter_names_tell_long_ones_apart() {
    let long = "n".repeat(254);
    let of = |end: &str| sidecar_of(Path::new(&format!("/a/{long}{end}")));
    assert_ne!(of("1"), of("2"));
    let name = of("1").file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name.len(), 255);
    // Programs find it by the rule that is written down.
    let expected = format!("{}~c2c9b07716553884.keepsum", "n".repeat(230));
    assert_eq!(name, expected);
}

/// A restore of a database that nobody else may read could be read by all while it was built.
#[test]
fn what_is_being_built_is_nobody_else_s_to_read() {
    for form in [FILE, FOLDER] {
        let ground = Ground::new();
        fs::set_permissions(&ground.given, Permissions::from_mode(0o777)).unwrap();
        let staging = begin(&ground.given.join("store"), form, Existing::Refuse).unwrap();
        let mode = fs::metadata(staging.folder()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

/// A folder, or a link, of the hidden name that somebody else made is not built in.
#[test]
fn what_somebody_put_where_a_restore_builds_is_not_used() {
    for form in [FILE, FOLDER] {
        let ground = Ground::new();
        let (target, hidden) =
            (ground.given.join("store"), ground.given.join(".store.keepsum-restoring"));
        fs::create_dir(&hidden).unwrap();
        fs::set_permissions(&hidden, Permissions::from_mode(0o777)).unwrap();
        let staging = begin(&target, form, Existing::Refuse).unwrap();
        let mode = fs::metadata(staging.folder()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "it was open to all");
        drop(staging);
        fs::write(ground.volume.join("theirs"), "theirs").unwrap();
        symlink(&ground.volume, &hidden).unwrap();
        restore(&target, form, Existing::Refuse, "new").unwrap();
        assert_eq!(names(&ground.volume), ["theirs"], "nothing is built or swept through a link");
    }
}

/// The end that a test which mounts something always reaches.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one path at another; none where this user or system cannot.
    fn bind(what: &Path, at: &Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([what, at]).status();
        if done.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        assert!(std::env::var_os("KEEPSUM_TEST_ALL").is_none(), "cannot mount a file");
        println!("skipped: this user or system cannot mount a file");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A file that is mounted cannot be renamed over: the restore failed at its very end with "busy".
#[test]
fn a_mounted_file_is_refused_first_with_what_to_do() {
    let ground = Ground::new();
    let (real, target) = (ground.volume.join("real"), ground.given.join("a blank"));
    fs::write(&real, "old").unwrap();
    fs::write(&target, "below").unwrap();
    let link = ground.given.join("link");
    symlink(&target, &link).unwrap();
    let Some(_mounted) = Mounted::bind(&real, &target) else { return };
    for target in [&target, &link] {
        assert!(is_occupied(target, FILE).unwrap());
        for existing in [Existing::Refuse, Existing::KeepAside] {
            let refused = begin(target, FILE, existing).map(drop);
            let Err(error @ Error::Unsupported { .. }) = &refused else { panic!("{refused:?}") };
            assert!(error.to_string().contains("mount the folder"), "{error}");
        }
        fs::write(&real, "").unwrap();
        let refused = is_occupied(target, FILE);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        fs::write(&real, "old").unwrap();
    }
    assert_eq!(names(&ground.given), ["a blank", "link"]);
}

/// A folder that is mounted from the same file system cannot be renamed over either.
#[test]
fn a_folder_mounted_from_the_same_file_system_is_filled() {
    let ground = Ground::new();
    let (real, target) = (ground.volume.join("real"), ground.given.join("store"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&target).unwrap();
    let Some(_mounted) = Mounted::bind(&real, &target) else { return };
    assert_eq!(restore(&target, FOLDER, Existing::Refuse, "one").unwrap(), None);
    let aside = restore(&target, FOLDER, Existing::KeepAside, "two").unwrap().unwrap();
    assert_eq!((found(&real, FOLDER), found(&aside, FOLDER)), ("two".into(), "one".into()));
}
