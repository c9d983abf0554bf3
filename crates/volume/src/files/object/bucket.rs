//! One store: its connections, credentials, and the patience with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::error;
use crate::files::address::{Address, Scheme};
use crate::files::random;
use crate::{Place, VolumeError};

/// Requests to one store under way at once, for all threads together.
const AT_ONCE: usize = 64;

/// How long a request is repeated where `DEEP3M_RETRY_SECONDS` says nothing.
const PATIENCE: Duration = Duration::from_mins(3);

/// The same before the store has answered for the first time: an address with a slip in it should be told soon.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection on which nothing moves for this long is given up, and the request repeated.
const SILENCE: &str = "30 seconds";

/// A whole answer may take this long: a chunk of 4 GiB at 2 MB/s.
const WHOLE_ANSWER: &str = "40 minutes";

/// A bucket or a web server, shared by all volumes in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: Box<dyn ObjectStore>,
    patience: Duration,
    answered: AtomicBool,
    permits: Semaphore,
    runtime: &'static Runtime,
}

impl Bucket {
    /// The store of an address, with the credentials that the environment gives.
    pub(crate) fn of(address: &Address) -> Result<Arc<Self>, VolumeError> {
        // One per store: its connections and credentials serve every volume and thread.
        static BUCKETS: Mutex<BTreeMap<String, Arc<Bucket>>> = Mutex::new(BTreeMap::new());
        let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&address.root) {
            return Ok(Arc::clone(bucket));
        }
        let patience = patience(address)?;
        let store = connect(address).map_err(|e| error::volume_error(address.scheme, address.of(""), "open", &e))?;
        let bucket = Arc::new(Self::new(store, patience).map_err(|e| VolumeError::io(address.of(""), "open", e))?);
        buckets.insert(address.root.clone(), Arc::clone(&bucket));
        Ok(bucket)
    }

    fn new(store: Box<dyn ObjectStore>, patience: Duration) -> std::io::Result<Self> {
        let answered = AtomicBool::new(false);
        Ok(Self { store, patience, answered, permits: Semaphore::new(AT_ONCE), runtime: runtime()? })
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Waits for a future on the calling thread, which may be one of rayon's but none of a tokio runtime's.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// [`Self::patiently`], waited for.
    pub(crate) fn run<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, object_store::Error>,
    ) -> Result<T, object_store::Error> {
        self.block_on(self.patiently(attempt))
    }

    /// Makes a request, and makes it again while the network or the store is away, as long as the patience lasts.
    ///
    /// `object_store` itself repeats a request for a moment only: it would repeat it as it was signed at first, and not
    /// where the connection broke after the request was sent. Every attempt must therefore mean the same when made twice.
    pub(crate) async fn patiently<T>(
        &self,
        attempt: impl AsyncFn() -> Result<T, object_store::Error>,
    ) -> Result<T, object_store::Error> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let result = {
                // The permits are never closed.
                let _permit = self.permits.acquire().await.ok();
                attempt().await
            };
            let Err(error) = &result else {
                self.answered.store(true, Ordering::Relaxed);
                return result;
            };
            if !error::is_passing(error) {
                self.answered.store(true, Ordering::Relaxed);
                return result;
            }
            let patience =
                if self.answered.load(Ordering::Relaxed) { self.patience } else { self.patience.min(FIRST_PATIENCE) };
            if started.elapsed() + pause > patience {
                return result;
            }
            // Spread, so that workers who lost the same store do not all come back at once.
            tokio::time::sleep(pause.mul_f64(0.5 + random() as f64 / u64::MAX as f64 / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The one runtime that moves the bytes of all stores.
fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("object-storage")
            .enable_all()
            .build()
            .map_err(|e| e.to_string())
    });
    made.as_ref().map_err(|e| std::io::Error::other(e.clone()))
}

fn patience(address: &Address) -> Result<Duration, VolumeError> {
    let Some(text) = std::env::var_os("DEEP3M_RETRY_SECONDS") else { return Ok(PATIENCE) };
    let seconds = text.to_str().and_then(|text| text.trim().parse::<u32>().ok());
    seconds.map(|seconds| Duration::from_secs(seconds.into())).ok_or_else(|| VolumeError::Unsupported {
        place: Place::file(address.of("")),
        found: format!("DEEP3M_RETRY_SECONDS={}", text.display()),
        expected: "a whole number of seconds".into(),
        hint: "Set it to 180, or remove it from the environment.".into(),
    })
}

/// A store with the environment's settings (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
fn connect(address: &Address) -> Result<Box<dyn ObjectStore>, object_store::Error> {
    // Where something else in the program uses TLS, its choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = address.root.as_str();
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
        backoff: BackoffConfig { init_backoff: Duration::from_millis(100), ..BackoffConfig::default() },
    };
    // Where the environment does not set them: the crate's own limit of 30 s for a whole answer would never let a large
    // chunk through a slow line.
    let unset = |prefix: &str, name: &str| std::env::var_os(format!("{prefix}_{name}")).is_none();
    let limits = |prefix: &str| {
        [("TIMEOUT", ClientConfigKey::Timeout, WHOLE_ANSWER), ("READ_TIMEOUT", ClientConfigKey::ReadTimeout, SILENCE)]
            .into_iter()
            .filter(|(name, ..)| unset(prefix, name))
            .map(|(_, key, value)| (key, value))
            .collect::<Vec<_>>()
    };
    Ok(match address.scheme {
        Scheme::S3 => {
            let builder = AmazonS3Builder::from_env().with_url(root).with_retry(retry);
            let builder = limits("AWS")
                .into_iter()
                .fold(builder, |b, (key, value)| b.with_config(AmazonS3ConfigKey::Client(key), value));
            Box::new(builder.build()?)
        }
        Scheme::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(root).with_retry(retry);
            let builder = limits("GOOGLE")
                .into_iter()
                .fold(builder, |b, (key, value)| b.with_config(GoogleConfigKey::Client(key), value));
            Box::new(builder.build()?)
        }
        Scheme::Azure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(root).with_retry(retry);
            let builder = limits("AZURE")
                .into_iter()
                .fold(builder, |b, (key, value)| b.with_config(AzureConfigKey::Client(key), value));
            Box::new(builder.build()?)
        }
        Scheme::Web => {
            let options = limits("HTTP")
                .into_iter()
                .fold(ClientOptions::new().with_allow_http(true), |o, (key, value)| o.with_config(key, value));
            Box::new(HttpBuilder::new().with_url(root).with_client_options(options).with_retry(retry).build()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use object_store::client::{HttpError, HttpErrorKind};
    use object_store::memory::InMemory;

    use super::*;

    fn lost() -> object_store::Error {
        let source = HttpError::new(HttpErrorKind::Connect, std::io::Error::other("no route to host"));
        object_store::Error::Generic { store: "test", source: Box::new(source) }
    }

    fn bucket(patience: Duration) -> Bucket {
        Bucket::new(Box::new(InMemory::new()), patience).unwrap()
    }

    #[test]
    fn a_lost_network_is_waited_for() {
        let attempts = AtomicUsize::new(0);
        let result = bucket(Duration::from_secs(30)).run(async || match attempts.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(lost()),
            attempt => Ok(attempt),
        });
        assert_eq!(result.unwrap(), 3);
    }

    #[test]
    fn patience_ends() {
        let started = Instant::now();
        let attempts = AtomicUsize::new(0);
        let result: Result<(), _> = bucket(Duration::from_millis(900)).run(async || {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err(lost())
        });
        assert!(result.is_err() && started.elapsed() < Duration::from_secs(2));
        assert!(attempts.into_inner() > 1);
    }

    #[test]
    fn what_will_not_change_is_not_asked_again() {
        let attempts = AtomicUsize::new(0);
        let result: Result<(), _> = bucket(Duration::from_secs(30)).run(async || {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err(object_store::Error::PermissionDenied { path: "a".into(), source: "403".into() })
        });
        assert!(result.is_err());
        assert_eq!(attempts.into_inner(), 1);
    }

    #[test]
    fn threads_of_a_pool_may_wait() {
        use rayon::prelude::*;
        let bucket = bucket(Duration::from_secs(1));
        let sum: usize = (0..200_usize)
            .into_par_iter()
            .map(|i| {
                let waited = bucket.run(async || {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok(i)
                });
                waited.unwrap()
            })
            .sum();
        assert_eq!(sum, 199 * 100);
    }
}
