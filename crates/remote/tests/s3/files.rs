//! What is stored comes back: small and large, many and few.

use archive::limits::MAX_OBJECT_BYTES;
use archive::object::Kind;
use backup_core::progress::Context;
use futures_util::{StreamExt, TryStreamExt};
use remote::s3::Settings;
use remote::store::{Created, Listed};
use remote::verify::{Level, verify};
use remote::{Error, Repository, RepositoryLocation};
use testkit::proxy::Fault;
use testkit::s3::{BUCKET, variables};

use crate::ground::{Ground, host, init, store};

#[tokio::test]
async fn a_repository_is_made_opened_and_verified() {
    for ground in Ground::all() {
        let location = ground.location();
        let open = async || Repository::open(&location, &host(), &Context::default()).await;
        let error = open().await.unwrap_err();
        assert!(matches!(error, Error::NoRepository { .. }), "{error}");
        let made = init(&location).await;
        assert_eq!(made.location(), location.to_string());
        let stored = made.objects().put(Kind::Names, "content".into(), None).await.unwrap();
        let opened = open().await.unwrap();
        assert_eq!(opened.id(), made.id());
        let content = opened.objects().read(Kind::Names, &stored.reference).await.unwrap();
        assert_eq!(*content, *b"content");
        let report = verify(&opened, Level::Full, &Context::default()).await.unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
        let again = Repository::init(&location, &host(), &Context::default()).await.unwrap_err();
        assert!(matches!(again, Error::Occupied { .. }), "{again}");
    }
}

/// A bucket's root, a prefix with signs that URLs encode, and one prefix that begins with another's
/// name.
#[tokio::test]
async fn prefixes_are_taken_as_they_stand() {
    for ground in Ground::all() {
        let at = |prefix: &str| {
            let url = format!("s3://{BUCKET}/odd{prefix}");
            RepositoryLocation::s3(&url, ground.settings()).unwrap()
        };
        let prefixes = ["", "/a b+c%20d", "/é", "/a b+c%20d-more", "/a b+c d"];
        let mut ids = Vec::new();
        for prefix in prefixes.iter().rev() {
            // The root is not empty by then, which is for another test.
            if !prefix.is_empty() {
                ids.push((at(prefix), init(&at(prefix)).await.id()));
            }
        }
        for (location, id) in ids {
            let opened = Repository::open(&location, &host(), &Context::default()).await.unwrap();
            assert_eq!(opened.id(), id, "{location}");
            let listed: Vec<Listed> = opened.store().list("").try_collect().await.unwrap();
            let mut paths: Vec<_> = listed.iter().map(|listed| listed.path.as_str()).collect();
            paths.sort_unstable();
            assert_eq!(paths, ["catalog/00000000000000000000", "keepsum.json"], "{location}");
        }
    }
}

/// One conditional `PUT` each: nothing is uploaded in parts.
#[tokio::test]
async fn the_largest_object_is_one_request() {
    for ground in Ground::all() {
        let repository = init(&ground.location()).await;
        let content = testkit::noise(7, MAX_OBJECT_BYTES);
        ground.proxy.set(|call| {
            let parts = call.path.contains("uploads") || call.path.contains("partNumber");
            if parts || (call.method != "GET" && !call.conditional) {
                return Fault::error(400, "InvalidRequest");
            }
            Fault::None
        });
        let objects = repository.objects();
        let stored = objects.put(Kind::Names, content.clone().into(), None).await.unwrap();
        assert_eq!(ground.proxy.calls(), 1);
        assert!(stored.reference.stored as usize > MAX_OBJECT_BYTES, "noise does not shrink");
        assert!(objects.read(Kind::Names, &stored.reference).await.unwrap() == content);
        let range = 20_000_000..20_000_100;
        let part = objects.read_range(Kind::Names, &stored.reference, range).await.unwrap();
        assert_eq!(part, &content[20_000_000..20_000_100]);
    }
}

/// A service gives at most a thousand names a page. Each page fails once, and none is read again for
/// the failure of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_many_pages_survives_a_failure_of_each() {
    const FILES: usize = 1100;
    for ground in Ground::all() {
        let location = ground.location();
        let store = store(&location).await;
        let direct = ground.direct(&location).await;
        let put = |number: usize| {
            let store = direct.clone();
            async move { store.create(&format!("objects/{number:06}"), "x".into()).await.unwrap() }
        };
        let made: Vec<_> =
            futures_util::stream::iter(0..FILES).map(put).buffer_unordered(16).collect().await;
        assert!(made.iter().all(|made| *made == Created::Created));
        ground.proxy.set(|call| match call.number % 2 {
            0 => Fault::error(500, "InternalError"),
            _ => Fault::None,
        });
        let listed: Vec<Listed> = store.list("objects").try_collect().await.unwrap();
        let mut paths: Vec<_> = listed.into_iter().map(|listed| listed.path).collect();
        paths.sort();
        let expected: Vec<_> = (0..FILES).map(|number| format!("objects/{number:06}")).collect();
        assert!(paths == expected, "{} of {FILES}", paths.len());
        assert_eq!(ground.proxy.calls(), 2 * FILES.div_ceil(1000));
        // A page that is refused is no end of the listing.
        ground.proxy.set(|call| match call.number {
            0 => Fault::None,
            _ => Fault::error(403, "AccessDenied"),
        });
        let listed: Result<Vec<Listed>, _> = store.list("objects").try_collect().await;
        assert!(matches!(listed, Err(Error::Store { action: "list", .. })));
    }
}

#[test]
fn what_is_shown_of_a_place_has_no_secret() {
    let variables = variables("http://127.0.0.1:1").into_iter();
    let token = [("AWS_SESSION_TOKEN", "hunter2".to_owned())];
    let settings = Settings::new(variables.chain(token));
    let location = RepositoryLocation::s3("s3://bucket/prefix", settings).unwrap();
    let shown = format!("{location:?} {location}");
    assert!(shown.contains("bucket") && shown.contains("AWS_SESSION_TOKEN"), "{shown}");
    assert!(!shown.contains(testkit::s3::SECRET) && !shown.contains("hunter2"), "{shown}");
}
