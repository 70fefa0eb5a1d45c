//! A service, a proxy before it, and how to get there.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use backup_core::progress::Context;
use remote::retry::Patience;
use remote::s3::Settings;
use remote::{Host, Repository, RepositoryLocation, Store};
use testkit::proxy::Proxy;
use testkit::s3::{BUCKET, Server, Service, variables};

/// A service and a proxy before it. Tests that run side by side share the service.
pub(crate) struct Ground {
    pub(crate) proxy: Proxy,
    pub(crate) server: Arc<Server>,
}

impl Ground {
    /// The service; nothing where it is not installed.
    pub(crate) fn new(service: Service) -> Option<Self> {
        let server = shared(service)?;
        Some(Self { proxy: service.proxy(&server), server })
    }

    /// All services that hold a repository.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Service::ALL.into_iter().filter_map(Self::new)
    }

    /// The same place, without the proxy.
    pub(crate) async fn direct(&self, location: &RepositoryLocation) -> Store {
        let settings = Settings::new(variables(&self.server.url()));
        store(&RepositoryLocation::s3(&location.to_string(), settings).unwrap()).await
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(variables(&self.proxy.url()))
    }

    /// A place of its own.
    pub(crate) fn location(&self) -> RepositoryLocation {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        RepositoryLocation::s3(&format!("s3://{BUCKET}/{process}/{number}"), self.settings())
            .unwrap()
    }
}

fn shared(service: Service) -> Option<Arc<Server>> {
    static RUNNING: [Mutex<Weak<Server>>; 4] = [const { Mutex::new(Weak::new()) }; 4];
    let slot = match service {
        Service::S3sFs => &RUNNING[0],
        Service::Moto => &RUNNING[1],
        Service::Swift => &RUNNING[2],
        Service::SeaweedFs => &RUNNING[3],
    };
    let mut running = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = running.upgrade() {
        return Some(server);
    }
    let server = Arc::new(service.start()?);
    *running = Arc::downgrade(&server);
    Some(server)
}

/// Short pauses, and few attempts.
pub(crate) fn hasty() -> Patience {
    Patience {
        attempts: 3,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(10),
        timeout: Duration::from_secs(20),
        outage: Duration::ZERO,
    }
}

pub(crate) fn host() -> Host {
    Host::system("test-host")
}

pub(crate) async fn store(location: &RepositoryLocation) -> Store {
    let store = Store::connect(location, &host(), &Context::default()).await.unwrap();
    // What `init` finds of races has tests of its own.
    store.with_patience(hasty()).with_races(1)
}

/// Makes the repository at `location`, without any haste.
pub(crate) async fn init(location: &RepositoryLocation) -> Repository {
    let store = Store::connect(location, &host(), &Context::default()).await.unwrap();
    Repository::init_in(store.with_races(1)).await.unwrap()
}

/// An error and its causes, as the command prints them, and as a log might.
pub(crate) fn told(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line = format!("{line}: {cause}");
        next = cause.source();
    }
    format!("{line}\n{error:?}")
}
