//! Services that cannot hold a repository are refused before there is one.

use archive::object::Kind;
use backup_core::progress::Context;
use futures_util::{StreamExt, TryStreamExt};
use remote::s3::Settings;
use remote::{Error, Repository, RepositoryLocation};
use testkit::proxy::Fault;
use testkit::s3::{BUCKET, Service, variables};

use crate::ground::{Ground, host, store, told};

async fn refused(ground: &Ground) -> String {
    let location = ground.location();
    let error = Repository::init(&location, &host(), &Context::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{}", told(&error));
    ground.proxy.set(|_| Fault::None);
    let opened = Repository::open(&location, &host(), &Context::default()).await;
    assert!(matches!(opened, Err(Error::NoRepository { .. })), "nothing that looks like one");
    error.to_string()
}

/// Services that do not know the condition pass over it: every create succeeds.
#[tokio::test]
async fn a_service_that_accepts_two_creates_of_one_name_is_refused() {
    // One that does not check signatures, of which the condition is a part.
    let Some(ground) = Ground::new(Service::Moto) else { return };
    ground.proxy.set(|_| Fault::Unconditional);
    let error = refused(&ground).await;
    assert!(error.contains("two writers create one name one after the other"), "{error}");
    assert!(error.contains("`If-None-Match: *`"), "{error}");
}

#[tokio::test]
async fn a_service_that_does_not_read_ranges_is_refused() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    ground.proxy.set(|_| Fault::Unranged);
    let error = refused(&ground).await;
    assert!(error.contains("the part of a file that was asked for"), "{error}");
}

/// A real race: s3s-fs looks whether the name is taken, receives the content, and then takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_that_looks_before_it_writes_is_refused() {
    let Some(ground) = Ground::new(Service::S3sFs) else { return };
    // All of the writers' requests are there before the first body is.
    let slow = || Fault::SlowBody(std::time::Duration::from_millis(500));
    ground.proxy.set(move |call| if call.conditional { slow() } else { Fault::None });
    let error = refused(&ground).await;
    assert!(error.contains("at the same time") && error.contains("`If-None-Match: *`"), "{error}");
}

/// How often a service that races is tried, each time for certain: one round of eight writers let 12 of 60
/// pass. `KEEPSUM_S3_EVERY=1` tries 100 times.
const INITS: usize = 25;

/// So many at a time: they may disturb each other.
const AT_ONCE: usize = 4;

async fn is_refused_each_time(service: Service) {
    let Some(ground) = Ground::new(service) else { return };
    let begun = tokio::time::Instant::now();
    let tries = if std::env::var_os("KEEPSUM_S3_EVERY").is_some() { 4 * INITS } else { INITS };
    let inits = futures_util::stream::iter(0..tries).map(|number| {
        let settings = Settings::new(variables(&ground.server.url()));
        let url = format!("s3://{BUCKET}/racing-{}/{number}", std::process::id());
        let location = RepositoryLocation::s3(&url, settings).unwrap();
        async move { Repository::init(&location, &host(), &Context::default()).await.unwrap_err() }
    });
    let errors: Vec<_> = inits.buffer_unordered(AT_ONCE).collect().await;
    println!("{service:?}: {tries} inits in {:?}", begun.elapsed());
    for error in &errors {
        assert!(matches!(error, Error::Unfit { .. }), "{}", told(error));
        let line = error.to_string();
        assert!(line.contains("`If-None-Match: *`") && !line.contains('\n'), "{line}");
    }
    assert_eq!(errors.len(), tries);
}

/// They look whether a name is taken, receive the content, and then take it. Nothing is planted here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3s_fs_is_refused_each_time() {
    is_refused_each_time(Service::S3sFs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swift_is_refused_each_time() {
    is_refused_each_time(Service::Swift).await;
}

/// One that creates atomically passes, with nothing between, and nothing of the probe stays.
async fn is_taken(service: Service) {
    let Some(ground) = Ground::new(service) else { return };
    let location = ground.location();
    let direct = ground.direct(&location).await.with_races(132);
    let begun = tokio::time::Instant::now();
    let made = Repository::init_in(direct).await;
    println!("{service:?}: one init in {:?}", begun.elapsed());
    let made = made.unwrap_or_else(|error| panic!("{}", told(&error)));
    let listed: Vec<_> = made.store().list("").try_collect().await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_is_taken() {
    is_taken(Service::SeaweedFs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_is_taken() {
    is_taken(Service::Moto).await;
}

/// A conflict says that somebody else is creating the same name, and proves nothing: `init` took it for
/// a repository that is there already, or for one that has lost its first entry.
#[tokio::test]
async fn a_conflict_with_nobody_is_no_repository() {
    for ground in Ground::all() {
        for name in ["catalog/00000000000000000000", "keepsum.json"] {
            let seen = std::sync::atomic::AtomicUsize::new(0);
            ground.proxy.set(move |call| {
                let first = || seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2;
                if call.conditional && call.path.ends_with(name) && first() {
                    return Fault::error(409, "ConditionalRequestConflict");
                }
                Fault::None
            });
            let made = Repository::init_in(store(&ground.location()).await).await;
            let made = made.unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
            made.objects().put(Kind::Piece, "x".into(), None).await.unwrap();
        }
    }
}
