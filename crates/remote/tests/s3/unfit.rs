//! Services that cannot hold a repository are refused before there is one.

use archive::object::Kind;
use backup_core::progress::Context;
use remote::{Error, Repository};
use testkit::proxy::Fault;
use testkit::s3::Service;

use crate::ground::{Ground, host, told};

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
    assert!(error.contains("8 were told that they did"), "{error}");
}

#[tokio::test]
async fn a_service_that_does_not_read_ranges_is_refused() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    ground.proxy.set(|_| Fault::Unranged);
    let error = refused(&ground).await;
    assert!(error.contains("the part of a file that was asked for"), "{error}");
}

/// A real race: s3s-fs looks whether the name is taken, receives the content, and then takes it.
/// Without the gate, `init` finds that out, and what it lets pass is held by luck alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_service_that_looks_before_it_writes_is_refused() {
    let Some(gated) = Ground::new(Service::S3sFs) else { return };
    let bare = testkit::proxy::Proxy::new(gated.server.address()).unwrap();
    // All of the writers' requests are there before the first body is.
    let slow = || Fault::SlowBody(std::time::Duration::from_millis(500));
    bare.set(move |call| if call.conditional { slow() } else { Fault::None });
    let ground = Ground { proxy: bare, server: gated.server };
    let error = refused(&ground).await;
    assert!(error.contains("were told that they did"), "{error}");
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
            let location = ground.location();
            let made = Repository::init(&location, &host(), &Context::default()).await;
            let made = made.unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
            made.objects().put(Kind::Piece, "x".into(), None).await.unwrap();
        }
    }
}
