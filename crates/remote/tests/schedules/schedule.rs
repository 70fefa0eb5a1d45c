//! One schedule: which processes there are, who goes on when, and what goes wrong, all of it decided
//! by one number.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use remote::{Error, Memory};
use tempfile::TempDir;

use crate::bucket::{Bucket, Faults, Files};
use crate::coverage::{Event, Seen};
use crate::ledger::Ledger;
use crate::process::Process;
use crate::random::Random;
use crate::template::TEMPLATES;
use crate::{check, collector, others, writer};

/// More requests than any schedule makes that comes to an end.
const MAX_STEPS: u64 = 20_000;

/// What came of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    pub(crate) requests: u64,
    /// A hash of all that happened, in its order.
    pub(crate) course: u64,
    /// The promise that was broken.
    pub(crate) broken: Option<String>,
}

/// Runs the schedule of this number.
pub(crate) fn run(seed: u64) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads can be made");
    runtime.block_on(tokio::task::unconstrained(Schedule::new(seed).run()))
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Write,
    Collect,
    Forget,
    Prove,
    Read,
    FindDamage,
}

/// Says that a process can go on.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A process under way.
struct Running {
    program: Program,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
    waker: Waker,
    /// How often it is chosen, relative to the others.
    weight: usize,
    /// It does nothing before this step.
    paused_until: u64,
    /// How many collections there had been when it was paused.
    paused_at: u64,
}

/// How a schedule goes wrong.
#[derive(Debug, Clone, Copy)]
struct Chances {
    faults: Faults,
    /// Each in a thousand requests.
    pause: usize,
    kill: usize,
    longest_pause: usize,
}

struct Schedule {
    random: Random,
    chances: Chances,
    bucket: Bucket,
    ledger: Ledger,
    running: Vec<Running>,
    memory: Option<TempDir>,
    /// The files at some moment, for a repository that is put back.
    copy: Option<Files>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let chances = chances(&mut random);
        let template = &TEMPLATES[usize::from(random.chance(200))];
        let memory = random.chance(20).then(|| tempfile::tempdir().expect("a folder can be made"));
        let mut schedule = Self {
            chances,
            bucket: Bucket::holding(&template.files),
            ledger: Ledger::beginning_with(&template.ledger),
            running: Vec::new(),
            memory,
            copy: None,
            random,
        };
        for program in programs(&mut schedule.random) {
            let late = [0, 0, 60, 150][schedule.random.below(4)];
            schedule.start(program, late);
        }
        schedule
    }

    fn start(&mut self, program: Program, latest: usize) {
        let number = self.running.len() + 1;
        let remembers = self.memory.as_ref().filter(|_| self.random.chance(800));
        let process = Process {
            number,
            bucket: self.bucket.clone(),
            ledger: self.ledger.clone(),
            memory: remembers.map(|folder| Memory::new(folder.path())),
        };
        let random = self.random.fork();
        let future: Pin<Box<dyn Future<Output = ()>>> = match program {
            Program::Write => Box::pin(writer::run(process, random)),
            Program::Collect => Box::pin(collector::run(process, random)),
            Program::Forget => Box::pin(others::forget(process, random)),
            Program::Prove => Box::pin(others::prove(process, random)),
            Program::Read => Box::pin(others::read(process, random)),
            Program::FindDamage => Box::pin(others::find_damage(process, random)),
        };
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let late = self.random.between(0, latest) as u64;
        self.running.push(Running {
            program,
            future: Some(future),
            waker: Arc::clone(&woken).into(),
            woken,
            weight: [1, 2, 8][self.random.below(3)],
            paused_until: self.bucket.step() + late,
            paused_at: u64::MAX,
        });
    }

    async fn run(mut self) -> Outcome {
        let first = self.bucket.step();
        let mut waiting = Vec::new();
        loop {
            self.poll_woken();
            if self.running.iter().all(|running| running.future.is_none()) {
                break;
            }
            if self.bucket.step() - first > MAX_STEPS {
                self.ledger.break_promise("the processes do not come to an end");
                break;
            }
            self.bucket.waiting(&mut waiting);
            self.go_on(&waiting).await;
        }
        self.running.clear();
        self.settle_late();
        let files = self.bucket.files();
        if self.ledger.broken().is_none() {
            if let Err(broken) = check::check(&files, &self.ledger).await {
                self.ledger.break_promise(broken);
            }
            self.roll_back(&files).await;
        }
        Outcome {
            seen: self.bucket.seen(),
            requests: self.bucket.step() - first,
            course: self.bucket.course(),
            broken: self.ledger.broken(),
        }
    }

    /// Lets every process that can do so go on to its next request.
    fn poll_woken(&mut self) {
        while let Some(number) = self.running.iter().position(Running::can_go_on) {
            let running = &mut self.running[number];
            running.woken.0.store(false, Ordering::Relaxed);
            let waker = running.waker.clone();
            let future = running.future.as_mut().expect("a process that can go on is under way");
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                running.future = None;
            }
        }
    }

    /// Does the next thing of all that could be next.
    async fn go_on(&mut self, waiting: &[(u64, usize)]) {
        let late = self.bucket.late();
        if late > 0 && self.random.chance(50) {
            let number = self.random.below(late);
            self.bucket.land(number);
            return;
        }
        let step = self.bucket.step();
        let waits = |number: usize| waiting.iter().any(|(_, process)| *process == number + 1);
        let sleeps =
            |(number, running): (usize, &Running)| running.future.is_some() && !waits(number);
        let anyone_sleeps = self.running.iter().enumerate().any(sleeps);
        let ready: Vec<usize> = (0..self.running.len())
            .filter(|number| waits(*number) && self.running[*number].paused_until <= step)
            .collect();
        if anyone_sleeps && (ready.is_empty() || self.random.chance(100)) {
            // Time passes only here, and only as far as is asked for.
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else if ready.is_empty() {
            self.end_pause(waits);
        } else {
            self.grant(&ready, waiting);
        }
    }

    /// Nobody else is left: the first of those that are paused goes on.
    fn end_pause(&mut self, waits: impl Fn(usize) -> bool) {
        let step = self.bucket.step();
        let paused = self.running.iter_mut().enumerate().filter(|(number, _)| waits(*number));
        let first = paused.min_by_key(|(_, running)| running.paused_until);
        let (_, first) = first.expect("a process that is under way waits, sleeps or is paused");
        first.paused_until = step;
    }

    /// Grants a request of one of the processes that are ready, or has it paused or killed instead.
    fn grant(&mut self, ready: &[usize], waiting: &[(u64, usize)]) {
        let weights: usize = ready.iter().map(|number| self.running[*number].weight).sum();
        let mut drawn = self.random.below(weights);
        let chosen = ready.iter().copied().find(|number| {
            let weight = self.running[*number].weight;
            let here = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            here
        });
        let number = chosen.expect("what was drawn is below the sum of the weights");
        let tickets: Vec<u64> = waiting
            .iter()
            .filter(|(_, process)| *process == number + 1)
            .map(|(ticket, _)| *ticket)
            .collect();
        if self.random.chance(self.chances.kill) {
            return self.kill(number);
        }
        if self.random.chance(self.chances.pause) {
            let length = self.random.between(5, self.chances.longest_pause) as u64;
            self.bucket.note(Event::ProcessPaused);
            let running = &mut self.running[number];
            running.paused_until = self.bucket.step() + length;
            running.paused_at = self.ledger.inside().collections;
            return;
        }
        if self.running[number].paused_at < self.ledger.inside().collections {
            self.bucket.note(Event::PausedAcrossCollection);
        }
        self.running[number].paused_at = u64::MAX;
        if self.memory.is_some() && self.copy.is_none() && self.random.chance(20) {
            self.copy = Some(self.bucket.files());
        }
        let ticket = *self.random.pick(&tickets).expect("a process that waits has a ticket");
        self.bucket.grant(ticket, &self.chances.faults, &mut self.random);
    }

    /// Ends a process in the middle, and starts it again in most cases.
    fn kill(&mut self, number: usize) {
        self.bucket.note(Event::ProcessKilled);
        self.running[number].future = None;
        if self.running.len() < 12 && self.random.chance(700) {
            let program = self.running[number].program;
            self.start(program, 80);
        }
    }

    /// What is still under way arrives, or never does.
    fn settle_late(&mut self) {
        while self.bucket.late() > 0 {
            let number = self.random.below(self.bucket.late());
            self.bucket.land(number);
        }
    }

    /// Puts the repository back to an older state: a host that remembers must say so, and one that
    /// does not must find nothing wrong.
    async fn roll_back(&mut self, files: &Files) {
        let (Some(folder), Some(older)) = (self.memory.take(), self.copy.take()) else { return };
        let entries = |files: &Files| files.keys().filter(|path| path.starts_with("cat")).count();
        if entries(&older) == entries(files) {
            return;
        }
        let memory = Memory::new(folder.path());
        let now = self.look(files, Some(memory.clone())).await;
        let then = self.look(&older, Some(memory)).await;
        let elsewhere = self.look(&older, None).await;
        self.bucket.note(Event::RolledBack);
        if let Err(error) = now.and(elsewhere) {
            self.ledger.break_promise(format!("a host finds fault with its repository: {error}"));
        } else if !matches!(then, Err(Error::History { .. })) {
            self.ledger.break_promise(format!("a repository was put back, and a host: {then:?}"));
        }
    }

    async fn look(&mut self, files: &Files, memory: Option<Memory>) -> remote::Result<()> {
        let bucket = Bucket::calm(files);
        let process = Process { number: 0, bucket, ledger: Ledger::default(), memory };
        let repository = process.open(&mut self.random).await?;
        repository.head().await.map(drop)
    }
}

impl Running {
    fn can_go_on(&self) -> bool {
        self.future.is_some() && self.woken.0.load(Ordering::Relaxed)
    }
}

/// What a schedule goes through: some are calm, some suffer from one thing alone, some from all.
fn chances(random: &mut Random) -> Chances {
    let mut rate = |rates: &[usize]| rates[random.below(rates.len())];
    Chances {
        faults: Faults {
            fail: rate(&[0, 0, 0, 20, 100]),
            lose_answer: rate(&[0, 0, 20, 150]),
            late: rate(&[0, 0, 20, 150]),
            false_exists: rate(&[0, 0, 0, 50]),
            stale: rate(&[0, 0, 300]),
        },
        pause: rate(&[0, 10, 40]),
        kill: rate(&[0, 0, 4, 15]),
        longest_pause: rate(&[30, 120, 400]),
    }
}

fn programs(random: &mut Random) -> Vec<Program> {
    let mut programs = vec![Program::Write; random.between(1, 3)];
    programs.extend(vec![Program::Collect; [0, 1, 1, 1, 2][random.below(5)]]);
    programs.extend(vec![Program::Forget; [0, 1, 1, 2][random.below(4)]]);
    for (program, of) in [(Program::Prove, 200), (Program::Read, 150), (Program::FindDamage, 100)] {
        programs.extend(random.chance(of).then_some(program));
    }
    programs
}
