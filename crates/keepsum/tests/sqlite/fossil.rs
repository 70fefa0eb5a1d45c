//! Repositories of Fossil, which are SQLite databases, backed up while it commits; it goes on in what is
//! restored.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use testkit::noise;

use crate::place::{Place, SHAPES, ask, assert_sound};
use crate::program::{Program, printed};

/// How many backups of each shape a commit must end in.
const WITHIN: usize = 3;

/// How many backups are made for that.
const TRIES: usize = 200;

/// A repository, and a folder in which its files are checked out.
struct Checkout {
    fossil: Program,
    folder: PathBuf,
}

impl Checkout {
    /// Opens `repository` in a folder of its own.
    fn open(fossil: &Program, repository: &Path, folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        let checkout = Self { fossil: fossil.clone(), folder };
        checkout.run(&["open", repository.to_str().unwrap(), "--force"]);
        checkout
    }

    fn run(&self, arguments: &[&str]) -> String {
        printed(&self.fossil.call(&self.folder, arguments).output().unwrap())
    }

    /// Commits a file that is new or has other bytes than before.
    fn commit(&self, number: u64) {
        let name = format!("file-{}", number % 17);
        let length = usize::try_from(number % 11).unwrap() * 2000 + 100;
        fs::write(self.folder.join(&name), noise(number, length)).unwrap();
        self.run(&["add", &name]);
        let message = format!("change {number}");
        self.run(&["commit", "-m", &message, "--no-warnings", "--no-prompt"]);
    }
}

/// Fossil finds nothing wrong, and takes one more commit.
fn assert_goes_on(fossil: &Program, restored: &Path) {
    let folder = restored.parent().unwrap();
    let name = restored.to_str().unwrap();
    let on = |arguments: &[&str]| printed(&fossil.call(folder, arguments).output().unwrap());
    let said = on(&["test-integrity", "-R", name]);
    let sound = said.contains(" 0 errors") && said.contains("database integrity-check: ok");
    assert!(sound, "{said}");
    let before = check_ins(restored);
    on(&["rebuild", name]);
    let checkout = Checkout::open(fossil, restored, restored.with_extension("checkout"));
    checkout.commit(1_000_003);
    assert_eq!(check_ins(restored), before + 1);
    assert_sound(restored);
}

fn check_ins(repository: &Path) -> i64 {
    ask(repository, "SELECT count(*) FROM event WHERE type = 'ci'")
}

/// Backs a repository up while `fossil` commits, until commits have ended within backups of each shape.
fn backed_up_while_it_commits(fossil: &Program, mode: &str) {
    let place = Place::new();
    let home = place.path("source");
    let repository = home.join("project.fossil");
    let name = repository.to_str().unwrap();
    let on = |arguments: &[&str]| printed(&fossil.call(&home, arguments).output().unwrap());
    on(&["init", name, "--admin-user", "tester"]);
    if mode == "wal" {
        on(&["rebuild", "--wal", name]);
    }
    assert_eq!(ask::<String>(&repository, "PRAGMA journal_mode"), mode);
    let checkout = Checkout::open(fossil, &repository, home.join("checkout"));
    (0..5).for_each(|number| checkout.commit(number));

    let (stop, begun) = (AtomicBool::new(false), AtomicI64::new(check_ins(&repository)));
    let done = AtomicI64::new(begun.load(Ordering::SeqCst));
    let commit = || {
        for number in 5.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            begun.fetch_add(1, Ordering::SeqCst);
            checkout.commit(number);
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    let back_up = || {
        let mut taken = Vec::new();
        for shape in SHAPES {
            let mut within = 0;
            for _ in 0..TRIES {
                let first = done.load(Ordering::SeqCst);
                let report = place.back_up(&repository, shape).unwrap();
                let moved = done.load(Ordering::SeqCst) > first;
                if moved {
                    taken.push((report.snapshot, first..=begun.load(Ordering::SeqCst)));
                    within += 1;
                }
                if within == WITHIN {
                    break;
                }
            }
            assert_eq!(within, WITHIN, "{mode}: no commit ended within a backup of {shape:?}");
        }
        taken
    };
    let taken = thread::scope(|scope| {
        let committing = scope.spawn(commit);
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(back_up));
        stop.store(true, Ordering::SeqCst);
        committing.join().unwrap();
        taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for (number, (snapshot, between)) in taken.iter().enumerate() {
        let (restored, _) = place.restore(snapshot, &format!("restored-{number}.fossil"));
        let found = check_ins(&restored);
        assert!(between.contains(&found), "{mode}: {found} check-ins, not {between:?}");
        assert_goes_on(fossil, &restored);
    }
    assert_goes_on(fossil, &repository);
    place.assert_clean();
    println!("{mode}: {} backups with commits within, {done:?} check-ins", taken.len());
}

#[test]
fn while_it_commits_with_a_rollback_journal() {
    let Some(fossil) = Program::named("KEEPSUM_FOSSIL") else { return };
    backed_up_while_it_commits(&fossil, "delete");
}

#[test]
fn while_it_commits_with_a_log() {
    let Some(fossil) = Program::named("KEEPSUM_FOSSIL") else { return };
    backed_up_while_it_commits(&fossil, "wal");
}
