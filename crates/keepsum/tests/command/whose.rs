//! Whose a restored store is, and where it goes: every engine and both shapes, by root and by another user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;

use crate::memory_file::{self, sample};
use crate::place::{Answer, Place, skip};

/// Numbers that no host gives to anybody.
const APPLICATION: u32 = 761_231;
const OTHER: u32 = 761_232;

/// The stores that are backed up, each with its shapes; `folder` says what it is on disk.
struct Store {
    name: &'static str,
    engine: &'static str,
    shapes: &'static [&'static str],
    folder: bool,
}

const STORES: [Store; 5] = [
    Store { name: "app.db", engine: "sqlite", shapes: &["--files", "--records"], folder: false },
    Store { name: "db", engine: "rocksdb", shapes: &["--files", "--records"], folder: true },
    Store { name: "one.bcs", engine: "memory", shapes: &["--records"], folder: false },
    Store { name: "many", engine: "memory", shapes: &["--records"], folder: true },
    Store { name: "app", engine: "files", shapes: &["--files"], folder: true },
];

impl Store {
    fn at(&self, place: &Place, name: &str) -> String {
        let end = if self.engine == "memory" && !self.folder { ".bcs" } else { "" };
        format!("{}:{}{end}", self.engine, place.text(name))
    }

    fn path(&self, place: &Place, name: &str) -> PathBuf {
        let location = self.at(place, name);
        location.split_once(':').unwrap().1.into()
    }

    /// Makes it, and gives it to the application: 0640, in a folder 0750.
    fn make(&self, place: &Place) -> String {
        let path = place.path(self.name);
        match self.engine {
            "sqlite" => {
                let connection = Connection::open(&path).unwrap();
                connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
            }
            "files" => {
                fs::create_dir_all(path.join("deep")).unwrap();
                fs::write(path.join("one"), "one").unwrap();
                fs::write(path.join("deep/er"), "deeper").unwrap();
            }
            _ => {
                memory_file::write(&place.path("given.bcs"), &sample(50));
                let location = format!("{}:{}", self.engine, path.display());
                place.run(["convert", &place.memory("given.bcs"), &location]).done();
            }
        }
        give(&path, APPLICATION, 0o640, 0o750);
        format!("{}:{}", self.engine, path.display())
    }
}

/// Gives a store, and all that is in it, to a user, where root runs the test.
fn give(path: &Path, owner: u32, file: u32, folder: u32) {
    if is_root() {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.for_each(|entry| give(&entry, owner, file, folder));
    }
    let mode = if path.is_dir() { folder } else { file };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The store at a path, its sidecar and all that is in it, belong to `owner` and have these permission bits.
#[track_caller]
fn assert_given(path: &Path, owner: u32, file: u32, folder: u32, what: &str) {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        assert!(path.join("KEEPSUM_RESTORED").is_file(), "{what}: no sidecar");
    } else {
        let name = path.file_name().unwrap().to_str().unwrap();
        paths.push(path.with_file_name(format!("{name}.keepsum")));
    }
    while let Some(path) = paths.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = if found.is_dir() { folder } else { file };
        let what = format!("{what}: {}", path.display());
        assert_eq!(format!("{:04o}", found.mode() & 0o7777), format!("{mode:04o}"), "{what}");
        assert_eq!((found.uid(), found.gid()), (owner, owner), "{what}");
        if found.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// The notes of a restore that speak of an owner.
fn owners(report: &Value) -> Vec<&str> {
    let notes = report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap());
    notes.filter(|note| note.contains("owner")).collect()
}

fn backup(place: &Place, source: &str, shape: &str) -> String {
    place.json(["backup", source, shape])["snapshot"].as_str().unwrap().to_owned()
}

/// A restored database belonged to root, and its application could not open it; 0640 came back as 0644.
#[test]
fn what_root_restores_belongs_to_whom_the_source_did() {
    if !is_root() {
        return skip("only root gives files away");
    }
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        for shape in store.shapes {
            let what = format!("{} {shape}", store.engine);
            let id = backup(&place, &source, shape);
            let done = place.json(["restore", &id, &store.at(&place, &format!("new{shape}"))]);
            let new = store.path(&place, &format!("new{shape}"));
            assert_given(&new, APPLICATION, 0o640, 0o750, &what);
            let [said] = owners(&done)[..] else { panic!("{what}: {done}") };
            assert!(said.contains("761231:761231") && said.contains("not known"), "{what}: {said}");

            let missing = store.at(&place, &format!("missing{shape}"));
            place.run(["restore", &id, &missing, "--if-missing"]).done();
            let missing = store.path(&place, &format!("missing{shape}"));
            assert_given(&missing, APPLICATION, 0o640, 0o750, &what);
        }
    }
}

/// Somebody gave the store to another user, or let the group write: that stays.
#[test]
fn what_replaces_a_store_gets_its_owner_and_its_mode() {
    if !is_root() {
        return skip("only root gives files away");
    }
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        for shape in store.shapes {
            let id = backup(&place, &source, shape);
            for (file, folder, wider) in [(0o660, 0o770, true), (0o600, 0o700, false)] {
                let what = format!("{} {shape} {file:o}", store.engine);
                let name = format!("replaced{shape}{file:o}");
                let target = store.at(&place, &name);
                place.run(["restore", &id, &target]).done();
                let path = store.path(&place, &name);
                give(&path, OTHER, file, folder);
                let done = place.json(["restore", &id, &target, "--replace"]);
                assert_given(&path, OTHER, file, folder, &what);
                let notes = done["notes"].to_string();
                assert_eq!(notes.contains("more users may use"), wider, "{what}: {notes}");
                let aside = PathBuf::from(done["kept_aside"].as_str().unwrap());
                let found = fs::metadata(&aside).unwrap();
                let mode = if store.folder { folder } else { file };
                assert_eq!((found.mode() & 0o777, found.uid()), (mode, OTHER), "{what}");
            }
        }
    }
}

/// A mode that the umask would take bits of, and an owner that only root could give.
#[test]
fn what_another_user_restores_is_that_user_s_with_the_mode_of_the_source() {
    if !is_root() {
        return skip("only root becomes another user");
    }
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        for shape in store.shapes {
            let what = format!("{} {shape}", store.engine);
            let id = backup(&place, &source, shape);
            give(&place.path("repo"), OTHER, 0o640, 0o750);
            give(&place.path("state"), OTHER, 0o640, 0o750);
            chown(place.path(""), Some(OTHER), Some(OTHER)).unwrap();
            let target = store.at(&place, &format!("new{shape}"));
            let done = as_user(&place, OTHER, ["restore", &id, &target, "--json"]).done().json();
            let path = store.path(&place, &format!("new{shape}"));
            assert_given(&path, OTHER, 0o640, 0o750, &what);
            let [said] = owners(&done)[..] else { panic!("{what}: {done}") };
            assert!(said.contains("761231:761231") && said.contains("761232:761232"), "{said}");
        }
    }
}

/// Runs the command as another user, with an umask that takes all from others.
fn as_user<const N: usize>(place: &Place, user: u32, args: [&str; N]) -> Answer {
    let program = "umask 077 && exec setpriv --reuid=$0 --regid=$0 --clear-groups \"$@\"";
    let user = user.to_string();
    let first = ["-c", program, &user, crate::place::KEEPSUM];
    let mut command = place.program("sh", first.iter().chain(args.iter()));
    Answer::of(&command.output().unwrap())
}

/// Without an owner to give: what is one's own comes back without a word, and as private as it was.
#[test]
fn one_s_own_store_comes_back_with_its_mode_and_without_a_word() {
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        let user = fs::metadata(place.path("repo")).unwrap().uid();
        if is_root() {
            give(&place.path(store.name), user, 0o640, 0o750);
        }
        give_modes(&place.path(store.name), 0o600, 0o700);
        for shape in store.shapes {
            let id = backup(&place, &source, shape);
            let done = place.json(["restore", &id, &store.at(&place, &format!("new{shape}"))]);
            assert_eq!(owners(&done), [""; 0], "{done}");
            let path = store.path(&place, &format!("new{shape}"));
            let mode = fs::metadata(path).unwrap().mode() & 0o777;
            assert_eq!(mode, if store.folder { 0o700 } else { 0o600 }, "{} {shape}", store.engine);
        }
    }
}

fn give_modes(path: &Path, file: u32, folder: u32) {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.for_each(|entry| give_modes(&entry, file, folder));
    }
    let mode = if path.is_dir() { folder } else { file };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Records go into other engines, and a file becomes a folder: the same users get in.
#[test]
fn in_another_engine_the_same_users_get_in() {
    let place = Place::new();
    let source = STORES[0].make(&place);
    let user = fs::metadata(place.path("repo")).unwrap().uid();
    let owner = if is_root() { APPLICATION } else { user };
    let id = backup(&place, &source, "--records");
    place.run(["restore", &id, &format!("rocksdb:{}", place.text("rows"))]).done();
    assert_given(&place.path("rows"), owner, 0o640, 0o750, "a file as a folder");
    // A folder that only its owner enters, with files that everybody could read.
    let source = STORES[1].make(&place);
    give_modes(&place.path("db"), 0o644, 0o700);
    let id = backup(&place, &source, "--records");
    place.run(["restore", &id, &place.memory("x.bcs")]).done();
    assert_given(&place.path("x.bcs"), owner, 0o600, 0, "a folder as a file");
}

/// A set of files of several owners, and a folder in it that is closed to others.
#[test]
fn files_of_several_owners_come_back_each_as_it_was() {
    if !is_root() {
        return skip("only root gives files away");
    }
    let place = Place::new();
    let source = STORES[4].make(&place);
    let app = place.path("app");
    give(&app.join("one"), OTHER, 0o604, 0);
    give_modes(&app.join("deep/er"), 0o644, 0);
    give_modes(&app.join("deep"), 0o644, 0o700);
    fs::set_permissions(app.join("deep/er"), Permissions::from_mode(0o644)).unwrap();
    let id = backup(&place, &source, "--files");
    place.run(["restore", &id, &format!("files:{}", place.text("back"))]).done();
    let found = |name: &str| {
        let found = fs::metadata(place.path("back").join(name)).unwrap();
        (found.uid(), found.mode() & 0o777)
    };
    assert_eq!(found("one"), (OTHER, 0o604));
    assert_eq!(found(""), (APPLICATION, 0o750));
    assert_eq!(found("deep/er"), (APPLICATION, 0o600), "nobody could enter the folder it was in");
    // A file that is new in what is replaced is for nobody who could use nothing of it.
    fs::remove_file(place.path("back/one")).unwrap();
    give_modes(&place.path("back"), 0o600, 0o700);
    place.run(["restore", &id, &format!("files:{}", place.text("back")), "--replace"]).done();
    assert_eq!(found("one"), (APPLICATION, 0o600));
}

/// The data left its volume: the restore put a store where the link had been.
#[test]
fn a_link_is_followed_by_a_restore_and_named_by_a_backup() {
    for store in &STORES {
        let place = Place::new();
        store.make(&place);
        fs::create_dir(place.path("volume")).unwrap();
        for shape in store.shapes {
            let what = format!("{} {shape}", store.engine);
            let real = store.path(&place, &format!("volume/real{shape}"));
            let link = store.path(&place, &format!("link{shape}"));
            symlink(&real, &link).unwrap();
            let given = store.at(&place, &format!("link{shape}"));
            let first =
                backup(&place, &format!("{}:{}", store.engine, place.text(store.name)), shape);
            // The volume is new.
            let done = place.json(["restore", &first, &given, "--if-missing"]);
            assert_eq!(done["target"], given, "{what}");
            assert!(link.is_symlink() && real.exists(), "{what}");
            let id = backup(&place, &given, shape);
            let shown = place.json(["show", &id]).to_string();
            assert!(shown.contains(&given), "{what}: the source is named as it was given: {shown}");
            let done = place.json(["restore", &id, &given, "--replace"]);
            let aside = PathBuf::from(done["kept_aside"].as_str().unwrap());
            assert_eq!(aside.parent(), real.parent(), "{what}");
            assert!(link.is_symlink() && real.exists() && aside.exists(), "{what}");
            let there = place.json(["restore", &id, &given, "--if-missing"]);
            assert_eq!(there["already_there"], true, "{what}");
        }
    }
}

#[test]
fn a_volume_that_is_not_mounted_is_asked_for_and_never_made() {
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        let id = backup(&place, &source, store.shapes[0]);
        let link = store.path(&place, "link");
        symlink(place.path("volume/real"), &link).unwrap();
        for options in [&["--if-missing"][..], &["--replace"], &[]] {
            let given = store.at(&place, "link");
            let args = ["restore", &id, &given].into_iter().chain(options.iter().copied());
            place.run(args).fails(5, &["mount the volume"]);
        }
        assert!(!place.path("volume").exists());
    }
}

/// Something makes the file before the application starts: the application started with nothing.
#[test]
fn an_empty_file_is_restored_over_unless_somebody_has_it_open() {
    let place = Place::new();
    let store = &STORES[0];
    let source = store.make(&place);
    for shape in store.shapes {
        let id = backup(&place, &source, shape);
        let target = store.at(&place, &format!("new{shape}"));
        let path = store.path(&place, &format!("new{shape}"));
        let open = fs::File::create(&path).unwrap();
        let there = place.json(["restore", &id, &target, "--if-missing"]);
        assert_eq!(there["already_there"], true, "who has it open is about to write");
        place.run(["restore", &id, &target]).fails(5, &["has it open"]);
        drop(open);
        let done = place.json(["restore", &id, &target, "--if-missing"]);
        assert_eq!(done["kept_aside"], Value::Null, "{done}");
        assert!(fs::metadata(&path).unwrap().len() > 0);
    }
}

#[test]
fn a_mounted_file_is_refused_with_what_to_do() {
    let place = Place::new();
    let source = STORES[0].make(&place);
    let id = backup(&place, &source, "--files");
    let (real, target) = (place.path("real.db"), place.path("mounted.db"));
    fs::write(&real, "").unwrap();
    fs::write(&target, "").unwrap();
    let mounted = Command::new("mount").arg("--bind").args([&real, &target]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("this user or system cannot mount a file");
    }
    let location = format!("sqlite:{}", target.display());
    let said: Vec<Answer> = [&["--if-missing"][..], &["--replace"], &[]]
        .map(|options| {
            let args = ["restore", &id, &location].into_iter().chain(options.iter().copied());
            place.run(args)
        })
        .into();
    let unmounted = Command::new("umount").arg(&target).status().unwrap();
    assert!(unmounted.success());
    for answer in said {
        answer.fails(5, &["mounted", "mount the folder"]);
    }
    assert!(!place.path(".mounted.db.keepsum-restoring").exists());
}

/// A name that leaves no room for what lies beside it.
#[test]
fn stores_with_long_names_are_backed_up_and_restored() {
    for store in &STORES {
        let place = Place::new();
        let source = store.make(&place);
        for shape in store.shapes {
            let id = backup(&place, &source, shape);
            // SQLite itself puts `-journal` beside it.
            let name = format!("{shape}{}", "n".repeat(240));
            let name = &name[..243];
            let target = store.at(&place, name);
            place.run(["restore", &id, &target]).done();
            let again = backup(&place, &target, shape);
            place.run(["restore", &again, &target, "--replace"]).done();
        }
    }
}
