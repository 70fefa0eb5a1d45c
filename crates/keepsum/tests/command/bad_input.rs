//! Bad input: one clear line that names what is wrong and says what to do, nothing half-written.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::memory_file::{self, sample};
use crate::place::{Answer, KEEPSUM, Place, skip};

#[test]
fn a_source_that_is_none() {
    let place = Place::new();
    for (source, words) in [
        ("/var/lib/db", ["has no engine", "rocksdb:PATH"]),
        ("leveldb:/var/lib/db", ["\"leveldb\" is no engine", "rocksdb:PATH"]),
        ("scylla:/var/lib/db", ["not supported by this version", "rocksdb:PATH"]),
        ("memory:", ["has no path", "memory:FILE.bcs"]),
    ] {
        place.run(["backup", source]).fails(2, &[source, words[0], words[1]]);
        place.run(["restore", "latest", source]).fails(2, &[source, words[0], words[1]]);
    }
    assert_eq!(place.json(["snapshots"]), serde_json::json!([]));
}

#[test]
fn a_source_that_is_not_there() {
    let place = Place::new();
    let missing = place.text("none");
    for source in
        [format!("rocksdb:{missing}"), format!("files:{missing}"), format!("memory:{missing}")]
    {
        let answer = place.run(["backup", &source]);
        assert_eq!(answer.code, 1, "{answer:?}");
        answer.fails(1, &[&missing]);
    }
    assert!(!place.path("none").exists());
}

#[test]
fn a_folder_that_is_no_rocksdb() {
    let place = Place::new();
    fs::create_dir(place.path("photos")).unwrap();
    fs::write(place.path("photos/one.jpg"), b"jpg").unwrap();
    let source = format!("rocksdb:{}", place.text("photos"));
    let answer = place.run(["backup", &source]);
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(answer.stderr.contains(&place.text("photos")), "{answer:?}");
    assert_eq!(fs::read_dir(place.path("photos")).unwrap().count(), 1);
}

#[test]
fn options_of_files_with_another_engine() {
    let place = Place::with_snapshot();
    let store = place.memory("store.bcs");
    place.run(["backup", &store, "--include", "*.dat"]).fails(2, &["--include", "files:PATH"]);
}

#[test]
fn no_repository() {
    let place = Place::empty();
    let mut unnamed = place.command(["snapshots"]);
    let answer = Answer::of(&unnamed.env_remove("KEEPSUM_REPO").output().unwrap());
    answer.fails(2, &["--repo", "KEEPSUM_REPO"]);
    place.run(["snapshots"]).fails(1, &[&place.text("repo"), "keepsum init"]);
    fs::create_dir(place.path("repo")).unwrap();
    place.run(["snapshots"]).fails(1, &[&place.text("repo"), "keepsum init"]);
    fs::write(place.path("file"), b"x").unwrap();
    let answer = place.run(["snapshots", "--repo", &place.text("file")]);
    assert_ne!(answer.code, 0);
    assert!(answer.stderr.contains(&place.text("file")), "{answer:?}");
}

#[test]
fn a_folder_in_use_is_no_place_for_a_repository() {
    let place = Place::empty();
    fs::create_dir(place.path("repo")).unwrap();
    fs::write(place.path("repo/letter.txt"), b"dear").unwrap();
    place.run(["init"]).fails(5, &[&place.text("repo"), "letter.txt"]);
    assert_eq!(fs::read_dir(place.path("repo")).unwrap().count(), 1);
}

#[test]
fn a_repository_of_a_newer_format() {
    let place = Place::with_snapshot();
    let path = place.path("repo/keepsum.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"format\": 1", "\"format\": 7", 1);
    assert_ne!(text, newer);
    // The checksum covers all before its line, whatever the version.
    let covered = newer.find("  \"checksum\"").unwrap();
    let checksum = blake3::hash(&newer.as_bytes()[..covered]).to_hex();
    let newer = format!("{}  \"checksum\": \"{checksum}\"\n}}\n", &newer[..covered]);
    fs::write(&path, newer).unwrap();
    let store = place.memory("store.bcs");
    for args in [vec!["snapshots"], vec!["backup", &store], vec!["verify"]] {
        place.run(&args).fails(1, &["format version 7", "newer"]);
    }
}

#[test]
fn an_ambiguous_prefix() {
    let place = Place::with_snapshot();
    let store = place.memory("store.bcs");
    // Of seventeen ids two begin with the same of sixteen digits.
    let mut first = Vec::new();
    loop {
        let made = place.json(["backup", &store]);
        let digit = made["snapshot"].as_str().unwrap()[..1].to_owned();
        if first.contains(&digit) {
            place
                .run(["show", &digit])
                .fails(2, &["snapshots begin with", &digit, "more of the id"]);
            return;
        }
        first.push(digit);
        assert!(first.len() <= 16);
    }
}

#[test]
fn a_database_that_is_not_in_the_snapshot() {
    let place = Place::with_snapshot();
    let answer = place.run(["restore", "latest", &place.memory("x.bcs"), "--database", "users"]);
    answer.fails(2, &["users", "default"]);
    assert!(!place.path("x.bcs").exists());
}

#[test]
fn files_into_an_engine_that_cannot_take_them() {
    let place = Place::new();
    fs::create_dir(place.path("app")).unwrap();
    fs::write(place.path("app/data"), b"of an engine of its own").unwrap();
    place.run(["backup", &format!("files:{}", place.text("app"))]).done();
    for target in [place.memory("x.bcs"), format!("rocksdb:{}", place.text("x"))] {
        let answer = place.run(["restore", "latest", &target]);
        answer.fails(5, &["files", "restore it whole into files:PATH"]);
        let export = place.run(["export", "latest", &place.text("x.bcs")]);
        export.fails(5, &["files:PATH"]);
    }
    assert!(!place.path("x.bcs").exists() && !place.path("x").exists());
}

#[test]
fn a_shape_that_the_source_cannot_give() {
    let place = Place::with_snapshot();
    place.run(["backup", &place.memory("store.bcs"), "--files"]).fails(5, &["--records"]);
    fs::create_dir(place.path("app")).unwrap();
    fs::write(place.path("app/data"), b"x").unwrap();
    let files = format!("files:{}", place.text("app"));
    place.run(["backup", &files, "--records"]).fails(5, &["--files"]);
    place.run(["backup", &files, "--proof", "logical"]).fails(5, &["--proof logical"]);
    place.run(["hash", &files]).fails(5, &["files store has no records"]);
}

#[test]
fn a_memory_file_cut_in_half() {
    let place = Place::with_snapshot();
    let whole = fs::read(place.path("store.bcs")).unwrap();
    fs::write(place.path("store.bcs"), &whole[..whole.len() / 2]).unwrap();
    let store = place.memory("store.bcs");
    for args in [
        vec!["backup", &store],
        vec!["import", &store["memory:".len()..]],
        vec!["hash", &store],
        vec!["diff", "latest", &store],
        vec!["convert", &store, "memory:copy.bcs"],
    ] {
        let answer = place.run(&args);
        assert!([1, 3].contains(&answer.code), "{args:?}: {answer:?}");
        assert!(answer.stderr.contains(&place.text("store.bcs")), "{args:?}: {answer:?}");
        assert!(!answer.stderr.contains("panicked"), "{args:?}: {answer:?}");
    }
    assert_eq!(place.json(["snapshots"]).as_array().unwrap().len(), 1);
    assert!(!place.path("copy.bcs").exists());
}

#[test]
fn a_memory_file_that_claims_gigabytes() {
    let place = Place::new();
    fs::write(place.path("huge.bcs"), [0xff, 0xff, 0xff, 0xff, 0x07]).unwrap();
    let answer = place.run(["backup", &place.memory("huge.bcs")]);
    assert!([1, 3].contains(&answer.code), "{answer:?}");
    assert!(answer.stderr.contains(&place.text("huge.bcs")), "{answer:?}");
}

#[test]
fn what_this_host_remembers_cut_in_half() {
    let place = Place::with_snapshot();
    let mut remembered: Vec<_> = fs::read_dir(place.path("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    let file = remembered.pop().unwrap();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    place.run(["snapshots"]).fails(3, &[file.to_str().unwrap(), "remove it"]);
    fs::remove_file(&file).unwrap();
    place.run(["snapshots"]).done();
}

#[test]
fn a_repository_that_went_back_is_a_finding_until_it_is_accepted() {
    let place = Place::with_snapshot();
    crate::place::copy_folder(&place.path("repo"), &place.path("old"));
    place.run(["backup", &place.memory("store.bcs")]).done();
    fs::remove_dir_all(place.path("repo")).unwrap();
    fs::rename(place.path("old"), place.path("repo")).unwrap();
    place.run(["snapshots"]).fails(3, &["keepsum status --accept"]);
    let found = place.run_json(["verify"]);
    assert_eq!(found.code, 3, "{found:?}");
    assert_eq!(found.json()["findings"][0]["kind"], "history");
    place.run(["status", "--accept"]).done();
    assert_eq!(place.json(["snapshots"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_target_that_is_not_empty() {
    let place = Place::with_snapshot();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("folder/x"), b"x").unwrap();
    fs::write(place.path("file.bcs"), b"x").unwrap();
    let rocksdb = format!("rocksdb:{}", place.text("folder"));
    for target in [place.memory("file.bcs"), place.memory("folder"), rocksdb] {
        place.run(["restore", "latest", &target]).fails(5, &["is not empty", "replace"]);
        let store = place.memory("store.bcs");
        place.run(["convert", &store, &target]).fails(5, &["is not empty", "replace"]);
    }
    assert_eq!(fs::read(place.path("file.bcs")).unwrap(), b"x");
    assert_eq!(fs::read(place.path("folder/x")).unwrap(), b"x");
    let mut names: Vec<_> =
        fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file.bcs", "folder", "repo", "state", "store.bcs"]);
}

/// A disk of 3 MiB, mounted where only this process and its children see it; gone when dropped.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// Mounts it at `folder`; none where the system lets nobody mount.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let script = "mount -t tmpfs -o size=3m tmpfs \"$0\" && echo mounted && read wait";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", script])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let disk = Self { holder };
        (line == "mounted\n").then_some(disk)
    }

    /// Runs a program that sees the disk.
    fn run(&self, place: &Place, program: &str, args: &[&str]) -> Answer {
        let target = self.holder.id().to_string();
        let enter = ["--target", &target, "--user", "--mount", "--preserve-credentials", program];
        let mut command = place.program("nsenter", enter.iter().chain(args));
        Answer::of(&command.output().unwrap())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        let _ = self.holder.wait();
    }
}

const NO_MOUNT: &str = "nothing can be mounted here (needs unshare and nsenter)";

#[test]
fn a_full_disk_under_the_repository() {
    let place = Place::empty();
    let Some(disk) = SmallDisk::mount(&place.path("disk")) else { return skip(NO_MOUNT) };
    let repo = place.text("disk/repo");
    let keepsum = |args: &[&str]| disk.run(&place, KEEPSUM, &[args, &["--repo", &repo]].concat());
    memory_file::write(&place.path("small.bcs"), &sample(10));
    memory_file::write(&place.path("large.bcs"), &noise(8 << 20));
    keepsum(&["init"]).done();
    keepsum(&["backup", &place.memory("small.bcs")]).done();
    keepsum(&["backup", &place.memory("large.bcs")]).fails(1, &[&repo, "No space left"]);
    keepsum(&["verify", "--level", "full"]).done();
    keepsum(&["restore", "latest", &place.memory("back.bcs")]).done();
    let read = |name| fs::read(place.path(name)).unwrap();
    assert_eq!(read("back.bcs"), read("small.bcs"));
}

#[test]
fn a_full_disk_under_the_target() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.path("disk")) else { return skip(NO_MOUNT) };
    memory_file::write(&place.path("large.bcs"), &noise(8 << 20));
    place.run(["backup", &place.memory("large.bcs")]).done();
    let target = place.text("disk/target.bcs");
    disk.run(&place, "sh", &["-c", &format!("echo old > {target}")]).done();
    let args = ["restore", "latest", &format!("memory:{target}"), "--replace"];
    disk.run(&place, KEEPSUM, &args).fails(1, &[&place.text("disk"), "No space left"]);
    let left =
        disk.run(&place, "sh", &["-c", &format!("ls -A {}; cat {target}", place.text("disk"))]);
    assert_eq!(left.stdout, "target.bcs\nold\n", "{left:?}");
}

/// One database of about so many bytes that no compression makes smaller.
fn noise(bytes: usize) -> memory_file::Contents {
    let value = |number: usize| {
        let mut value = vec![0; 64 << 10];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut value);
        (number.to_be_bytes().to_vec(), value)
    };
    memory_file::Contents::from([(Vec::new(), (0..bytes >> 16).map(value).collect())])
}

/// Runs the command as somebody whom permissions stop.
struct Unprivileged<'a> {
    place: &'a Place,
    setpriv: bool,
}

impl<'a> Unprivileged<'a> {
    /// None where this is root and there is no way not to be.
    fn new(place: &'a Place) -> Option<Self> {
        let open =
            |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        open(&place.path("."));
        let root = fs::metadata(place.path(".")).unwrap().uid() == 0;
        if root {
            let version = Command::new("setpriv").arg("--version").output();
            version.ok().filter(|output| output.status.success())?;
            fs::copy(KEEPSUM, place.path("keepsum")).unwrap();
            open(&place.path("keepsum"));
        }
        fs::create_dir(place.path("theirs")).unwrap();
        fs::set_permissions(place.path("theirs"), fs::Permissions::from_mode(0o777)).unwrap();
        Some(Self { place, setpriv: root })
    }

    fn run(&self, args: &[&str]) -> Answer {
        let mut command = if self.setpriv {
            let keepsum = self.place.text("keepsum");
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", &keepsum];
            self.place.program("setpriv", nobody.iter().chain(args))
        } else {
            self.place.command(args)
        };
        Answer::of(&command.env("KEEPSUM_STATE", self.place.path("theirs/state")).output().unwrap())
    }
}

#[test]
fn a_folder_without_permission() {
    let place = Place::with_snapshot();
    let Some(somebody) = Unprivileged::new(&place) else { return skip("there is no setpriv") };
    let closed = |name: &str, mode: u32| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(place.path("closed")).unwrap();
    memory_file::write(&place.path("closed/store.bcs"), &sample(3));
    closed("closed", 0o555);
    let target = place.memory("closed/new.bcs");
    somebody
        .run(&["restore", "latest", &target])
        .fails(1, &[&place.text("closed"), "Permission denied"]);
    assert!(!place.path("closed/new.bcs").exists());
    closed("closed", 0o000);
    let source = place.memory("closed/store.bcs");
    somebody.run(&["hash", &source]).fails(1, &[&place.text("closed"), "Permission denied"]);
    closed("closed", 0o755);
    closed("repo/catalog", 0o000);
    let answer = somebody.run(&["snapshots"]);
    answer.fails(1, &[&place.text("repo"), "Permission denied"]);
    closed("repo/catalog", 0o755);
    closed("repo", 0o000);
    // What cannot be looked at is never taken for absent.
    somebody.run(&["snapshots"]).fails(1, &[&place.text("repo"), "Permission denied"]);
    closed("repo", 0o755);
    somebody.run(&["snapshots"]).done();
}
