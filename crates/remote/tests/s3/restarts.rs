//! A service that is away for a while is waited for, once it has answered: nothing fails, and it is said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::object::Kind;
use backup_core::progress::{Context, Event, ProgressSink};
use remote::retry::Patience;
use remote::verify::{Level, verify};
use remote::{Repository, Result, Store};
use testkit::proxy::Fault;
use testkit::s3::Service;

use crate::ground::{Ground, hasty, host, init, told};

/// How long it is away: longer than the attempts of a hasty store take.
const AWAY: Duration = Duration::from_millis(1500);

/// What was said.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl ProgressSink for Heard {
    fn event(&self, event: &Event) {
        if let Event::Note(sentence) = event {
            self.0.lock().unwrap().push(sentence.clone());
        }
    }
}

fn waiting(outage: Duration) -> Patience {
    Patience { outage, ..hasty() }
}

/// Stores, commits, reads and verifies, as a backup, a restore and a verify do.
async fn work(store: Store, context: &Context) -> Result<()> {
    let repository = Repository::open_in(store).await?;
    let stored = repository.objects().put(Kind::Piece, "content".into(), None).await?;
    repository.head().await?;
    assert_eq!(*repository.objects().read(Kind::Piece, &stored.reference).await?, *b"content");
    let report = verify(&repository, Level::Full, context).await?;
    assert!(report.findings.is_empty(), "{report:?}");
    Ok(())
}

/// Away from each request on, in each of the ways in which a service can be away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_starts_again_is_waited_for() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    let location = ground.location();
    init(&location).await;
    let nothing = |status| Fault::Answer { status, headers: Vec::new(), body: String::new() };
    for (fault, words) in [
        (None, "no connection to"),
        (Some(Fault::Cut), "broke"),
        (Some(nothing(503)), "HTTP 503"),
        (Some(nothing(502)), "HTTP 502"),
    ] {
        for outage in [Duration::from_mins(1), Duration::ZERO] {
            let heard = Arc::new(Heard::default());
            let context = Context::new(Arc::clone(&heard) as Arc<dyn ProgressSink>);
            let store = Store::connect(&location, &host(), &context).await.unwrap();
            let store = store.with_patience(waiting(outage));
            // Some requests are answered first.
            let (answered, mut rest) = tokio::sync::mpsc::channel(1);
            let planted = fault.clone();
            ground.proxy.set(move |call| {
                if call.number == 3 {
                    answered.try_send(()).ok();
                    // Until somebody has seen to it that it is away.
                    std::thread::sleep(Duration::from_millis(100));
                }
                planted.clone().filter(|_| call.number > 3).unwrap_or(Fault::None)
            });
            let away = async {
                rest.recv().await;
                if fault.is_none() {
                    ground.proxy.go_away();
                }
                tokio::time::sleep(AWAY).await;
                ground.proxy.set(|_| Fault::None);
                ground.proxy.come_back();
            };
            let (done, ()) = tokio::join!(work(store, &context), away);
            let said = heard.0.lock().unwrap().join("\n");
            if outage.is_zero() {
                assert!(done.is_err(), "{fault:?}: it is not waited for, and yet: {said}");
                continue;
            }
            done.unwrap_or_else(|error| panic!("{fault:?}: {}", told(&error)));
            assert!(said.contains("does not answer") && said.contains(words), "{fault:?}: {said}");
            assert!(said.contains("it is waited for, ") && said.contains(" s at most"), "{said}");
            assert!(said.contains("answers again"), "{fault:?}: {said}");
            assert_eq!(said.lines().count(), 2, "once each: {said}");
        }
    }
}

/// What the service refuses is not asked for again, however patient one is.
#[tokio::test]
async fn a_refusal_is_not_waited_for() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    let location = ground.location();
    init(&location).await;
    for fault in [Fault::error(403, "AccessDenied"), Fault::error(404, "NoSuchBucket")] {
        let store = Store::connect(&location, &host(), &Context::default()).await.unwrap();
        let store = store.with_patience(waiting(Duration::from_hours(1)));
        ground.proxy.set(|_| Fault::None);
        store.get("keepsum.json", 1 << 20).await.unwrap();
        let planted = fault.clone();
        ground.proxy.set(move |_| planted.clone());
        store.get("keepsum.json", 1 << 20).await.unwrap_err();
        assert_eq!(ground.proxy.calls(), 1, "{fault:?}");
    }
}

/// A store that never answered may have a wrong address: who waits two minutes for that?
#[tokio::test]
async fn a_first_contact_fails_fast() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    let location = ground.location();
    let patience = waiting(Duration::from_hours(1));
    for fault in [None, Some(Fault::error(503, "SlowDown")), Some(Fault::Cut)] {
        let store = Store::connect(&location, &host(), &Context::default()).await.unwrap();
        let store = store.with_patience(patience);
        match fault.clone() {
            None => ground.proxy.go_away(),
            Some(fault) => ground.proxy.set(move |_| fault.clone()),
        }
        let answer = tokio::time::timeout(Duration::from_secs(20), store.get("a", 10)).await;
        assert!(answer.expect("soon").is_err(), "{fault:?}");
        ground.proxy.come_back();
    }
}
