//! The command with a repository in S3: real processes, real services, and what goes wrong before the
//! first request.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::proxy::{Fault, Proxy};
use testkit::s3::{BUCKET, SECRET, Server, Service, start_tls, variables};

use crate::memory_file::{self, sample};
use crate::place::{Answer, KEEPSUM, Place};

const TOKEN: &str = "hunter2-session-token";

/// A service, a proxy before it, and a folder to work in.
struct Ground {
    place: Place,
    proxy: Proxy,
    _server: Server,
}

impl Ground {
    fn new(service: Service) -> Option<Self> {
        let server = service.start()?;
        let proxy = service.proxy(&server);
        Some(Self { place: Place::empty(), proxy, _server: server })
    }

    /// The command with a repository in the service.
    fn command(&self, args: &[&str]) -> Command {
        self.prepared(self.place.command(args))
    }

    /// As [`command`](Self::command), and ended with code 124 if it takes 30 seconds.
    fn soon(&self, args: &[&str]) -> Command {
        let args = ["30", KEEPSUM].iter().chain(args);
        self.prepared(self.place.program("timeout", args))
    }

    fn prepared(&self, command: Command) -> Command {
        let mut command = without_aws(command);
        command.env("KEEPSUM_REPO", format!("s3://{BUCKET}/team/store"));
        command.envs(variables(&self.proxy.url()));
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(&self.command(args).output().unwrap())
    }
}

fn without_aws(mut command: Command) -> Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

#[test]
fn a_store_goes_to_s3_and_comes_back() {
    for ground in Service::ALL.into_iter().filter_map(Ground::new) {
        let place = &ground.place;
        memory_file::write(&place.path("store.bcs"), &sample(300));
        ground.run(&["snapshots"]).fails(1, &["s3://keepsum-test/team/store", "keepsum init"]);
        ground.run(&["init"]).done();
        ground.run(&["init"]).fails(5, &["already is a keepsum repository"]);
        ground.run(&["backup", &place.memory("store.bcs")]).done();
        ground.run(&["restore", "latest", &place.memory("back.bcs")]).done();
        let same = ground.run(&["diff", "latest", &place.memory("back.bcs"), "--json"]).done();
        assert_eq!(same.json()["equal"], true);
        ground.run(&["verify", "--level", "full"]).done();
        ground.run(&["show", "0123"]).fails(4, &["no snapshot"]);
    }
}

/// Processes that know nothing of each other, each with backups of its own, one after the other.
#[test]
fn several_processes_back_up_at_the_same_time() {
    const PROCESSES: u64 = 5;
    const ROUNDS: u64 = 3;
    for ground in Service::ALL.into_iter().filter_map(Ground::new) {
        let place = &ground.place;
        ground.run(&["init"]).done();
        let store = |number: u64| place.memory(&format!("{number}.bcs"));
        for round in 0..ROUNDS {
            let start = |number: u64| -> Child {
                let path = place.path(&format!("{number}.bcs"));
                memory_file::write(&path, &sample(50 + 20 * number + 5 * round));
                let mut command = ground.command(&["backup", &store(number), "--json"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let started: Vec<_> = (0..PROCESSES).map(start).collect();
            for child in started {
                Answer::of(&child.wait_with_output().unwrap()).done();
            }
        }
        let list = ground.run(&["snapshots", "--json"]).done().json();
        let list = list.as_array().unwrap().clone();
        assert_eq!(list.len() as u64, PROCESSES * ROUNDS);
        let report = ground.run(&["verify", "--level", "full"]).done();
        assert!(report.stdout.contains("everything is there and whole"), "{report:?}");
        // The last of each is what its store holds now.
        for number in 0..PROCESSES {
            let source = place.path(&format!("{number}.bcs"));
            let newest = list.iter().rfind(|snapshot| {
                snapshot["source"].as_str().unwrap().ends_with(source.to_str().unwrap())
            });
            let id = newest.unwrap()["snapshot"].as_str().unwrap();
            let same = ground.run(&["diff", id, &store(number), "--json"]).done().json();
            assert_eq!(same["equal"], true, "{number}: {same}");
        }
    }
}

#[test]
fn a_service_that_is_busy_and_breaks_now_and_then_only_takes_longer() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    // Its probe makes single attempts, several at the same time; that one may break is tested apart.
    ground.run(&["init"]).done();
    ground.proxy.set(|call| match call.number % 11 {
        3 => Fault::error(503, "SlowDown"),
        6 => Fault::Cut,
        9 => Fault::LoseAnswer,
        _ => Fault::None,
    });
    let store = ground.place.path("store.bcs");
    memory_file::write(&store, &sample(300));
    ground.run(&["backup", &ground.place.memory("store.bcs")]).done();
    let calls = ground.proxy.calls();
    assert!(calls > 11, "{calls}");
    ground.run(&["restore", "latest", &ground.place.memory("back.bcs")]).done();
}

/// What is set, what is not set, and what is said of it.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);

/// Each in one line that says what to do, within seconds, with exit code 1.
#[test]
fn what_is_set_up_wrongly_is_said() {
    let Some(ground) = Ground::new(Service::SeaweedFs) else { return };
    let nowhere = "http://127.0.0.1:1";
    let cases: [Wrong; 8] = [
        (&[("KEEPSUM_REPO", "s3://no-such-bucket")], &[], &["no such bucket; make it first"]),
        (&[("AWS_SECRET_ACCESS_KEY", "x")], &[], &["check AWS_SECRET_ACCESS_KEY"]),
        (&[], &["AWS_SECRET_ACCESS_KEY"], &["AWS_ACCESS_KEY_ID", "set both"]),
        (
            &[("AWS_EC2_METADATA_DISABLED", "true")],
            &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            &["no credentials were found", "set AWS_ACCESS_KEY_ID"],
        ),
        (
            &[("AWS_PROFILE", "work")],
            &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            &["profiles are not read", "aws configure export-credentials"],
        ),
        (&[("AWS_ENDPOINT_URL", nowhere)], &[], &[nowhere, "cannot be reached"]),
        (&[("AWS_ENDPOINT_URL", "localhost:9000")], &[], &["AWS_ENDPOINT_URL: must be http://"]),
        (&[("KEEPSUM_REPO", "s3://key:hunter2@bucket")], &[], &["AWS_… variables"]),
    ];
    for (set, removed, words) in cases {
        for args in [&["snapshots"][..], &["init"]] {
            let mut command = ground.soon(args);
            command.envs(set.iter().copied());
            for name in removed {
                command.env_remove(name);
            }
            let answer = Answer::of(&command.output().unwrap());
            assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
            answer.fails(1, words);
        }
    }
}

/// A service that repeats the request, as AWS does where it cannot check a signature; and the most
/// talkative log there is.
#[test]
fn no_log_and_no_error_has_a_secret() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    let echo = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><Message>no {SECRET}</Message>\
         <CanonicalRequest>x-amz-security-token:{TOKEN}</CanonicalRequest></Error>"
    );
    let refused = move |number: usize| match number {
        0 => Fault::Answer { status: 500, headers: Vec::new(), body: echo.clone() },
        _ => Fault::Answer { status: 403, headers: Vec::new(), body: echo.clone() },
    };
    let run = |args: &[&str]| {
        let mut command = ground.command(args);
        command.env("KEEPSUM_LOG", "trace").env("AWS_SESSION_TOKEN", TOKEN);
        let answer = Answer::of(&command.output().unwrap());
        for secret in [SECRET, TOKEN] {
            assert!(!answer.stderr.contains(secret) && !answer.stdout.contains(secret), "{args:?}");
        }
        assert!(answer.stderr.contains("DEBUG") || answer.stderr.contains("TRACE"), "{answer:?}");
        answer
    };
    run(&["init"]).done();
    ground.proxy.set(move |call| refused(call.number));
    let answer = run(&["snapshots"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("check AWS_SECRET_ACCESS_KEY"), "{answer:?}");
}

#[test]
fn a_certificate_must_be_vouched_for() {
    let Some(server) = start_tls() else { return };
    let place = Place::empty();
    let run = |bundle: Option<&str>| {
        let mut command = without_aws(place.command(["snapshots"]));
        command.envs(variables(&server.url())).env("KEEPSUM_REPO", "s3://no-such-bucket");
        command.envs(bundle.map(|path| ("AWS_CA_BUNDLE", path)));
        Answer::of(&command.output().unwrap())
    };
    run(None).fails(1, &[&server.url(), "is not trusted", "AWS_CA_BUNDLE"]);
    let certificate = server.certificate();
    // The service answers, so it was spoken to.
    run(certificate.to_str()).fails(1, &["there is no such bucket"]);
    std::fs::write(place.path("none.pem"), "no certificate").unwrap();
    let none = place.text("none.pem");
    run(Some(&none)).fails(1, &["AWS_CA_BUNDLE", &none, "PEM"]);
    let missing = place.text("missing.pem");
    run(Some(&missing)).fails(1, &["AWS_CA_BUNDLE", &missing]);
}

/// Ctrl-C and its like end a request that nobody answers.
#[test]
fn a_command_that_waits_for_a_service_can_be_interrupted() {
    let Some(ground) = Ground::new(Service::SeaweedFs) else { return };
    ground.proxy.set(|_| Fault::Stall);
    let mut command = ground.command(&["snapshots"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while ground.proxy.calls() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let answer = Answer::of(&child.wait_with_output().unwrap());
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("cancelled"), "{answer:?}");
}

/// The service starts again, for 12 seconds, in the middle of a backup, a restore and a verify. Requests
/// gave up after 3 to 6.
#[test]
fn a_service_that_starts_again_is_waited_for_by_every_command() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    memory_file::write(&ground.place.path("store.bcs"), &sample(300));
    memory_file::write(&ground.place.path("other.bcs"), &sample(200));
    ground.run(&["init"]).done();
    ground.run(&["backup", &ground.place.memory("store.bcs")]).done();
    // So slow that none of them is done when it goes away.
    ground.proxy.set(|_| {
        std::thread::sleep(Duration::from_millis(400));
        Fault::None
    });
    let (other, back) = (ground.place.memory("other.bcs"), ground.place.memory("back.bcs"));
    let store = ground.place.memory("store.bcs");
    let all: [&[&str]; 4] = [
        &["backup", &other],
        &["restore", "latest", &back, "--source", &store],
        &["verify", "--level", "full"],
        &["verify", "--patience", "1"],
    ];
    let start = |args: &[&str]| {
        let mut command = ground.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let [backup, restore, verify, impatient] = all.map(start);
    // Each of them has been answered by then.
    while ground.proxy.calls() < 2 * all.len() {
        std::thread::sleep(Duration::from_millis(20));
    }
    ground.proxy.go_away();
    std::thread::sleep(Duration::from_secs(12));
    ground.proxy.set(|_| Fault::None);
    ground.proxy.come_back();
    let impatient = Answer::of(&impatient.wait_with_output().unwrap());
    assert!(impatient.stderr.contains("did not come back"), "{impatient:?}");
    impatient.fails(1, &["cannot be reached"]);
    for child in [backup, restore, verify] {
        let answer = Answer::of(&child.wait_with_output().unwrap()).done();
        assert!(answer.stderr.contains("it is waited for, "), "{answer:?}");
        assert!(answer.stderr.contains("answers again"), "{answer:?}");
    }
}
