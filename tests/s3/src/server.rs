//! A server and how to reach it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::in_process::InProcess;

/// A server with a bucket. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    endpoint: String,
    access_key: String,
    secret_key: String,
    bucket: String,
    // It runs for as long as a clone is there.
    _in_process: Option<Arc<InProcess>>,
}

impl Server {
    /// The server that `scripts/with-s3` started: Ceph, which decides atomically between writers.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn ceph() -> Self {
        Self::of_environment()
    }

    /// The server of the environment, which [`Self::environment`] returns: for processes of tests.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn of_environment() -> Self {
        let variable = |name| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!(
                    "{name} is not set: run the tests with scripts/with-s3, which starts a server"
                )
            })
        };
        Self {
            endpoint: variable("TEST_S3_URL"),
            access_key: variable("TEST_S3_ACCESS_KEY"),
            secret_key: variable("TEST_S3_SECRET_KEY"),
            bucket: variable("TEST_S3_BUCKET"),
            _in_process: None,
        }
    }

    /// The server that `scripts/with-moto` started, an imitation in Python.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn moto() -> Self {
        let endpoint = std::env::var("TEST_MOTO_URL").expect(
            "TEST_MOTO_URL is not set: run the tests with scripts/with-moto, which starts a server",
        );
        let [access_key, secret_key, bucket] = ["access", "secret", "bucket"].map(str::to_owned);
        Self { endpoint, access_key, secret_key, bucket, _in_process: None }
    }

    /// A new server in this process, s3s-fs, which looks at conditions but decides nothing
    /// atomically. It needs the runtime on which it is made.
    pub async fn s3s() -> Self {
        let [access_key, secret_key, bucket] = ["access", "secret", "bucket"].map(str::to_owned);
        let running = InProcess::start(&bucket, &access_key, &secret_key).await;
        let endpoint = format!("http://{}", running.address);
        Self { endpoint, access_key, secret_key, bucket, _in_process: Some(Arc::new(running)) }
    }

    /// The variables that tell another process of the server.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("TEST_S3_URL", &self.endpoint),
            ("TEST_S3_ACCESS_KEY", &self.access_key),
            ("TEST_S3_SECRET_KEY", &self.secret_key),
            ("TEST_S3_BUCKET", &self.bucket),
        ]
    }

    /// The same server, with another secret key.
    pub fn with_secret_key(&self, secret_key: &str) -> Self {
        Self { secret_key: secret_key.to_owned(), ..self.clone() }
    }

    /// The same server, with an access key that it does not know.
    pub fn with_access_key(&self, access_key: &str) -> Self {
        Self { access_key: access_key.to_owned(), ..self.clone() }
    }

    /// Another bucket of the server.
    pub fn with_bucket(&self, bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), ..self.clone() }
    }

    /// Where it listens, as `http://address:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The name of its bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// How other programs reach it, by the names that S3's own tools use.
    pub fn tool_environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_key),
        ]
    }

    /// The same server, reached through what listens at `endpoint`.
    pub fn through(&self, endpoint: String) -> Self {
        Self { endpoint, ..self.clone() }
    }

    /// A client that sends each request once.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.retrying(0)
    }

    /// A client that repeats requests as `object_store` does, up to `times`, soon after each other.
    pub fn retrying(&self, times: usize) -> Arc<dyn ObjectStore> {
        Arc::new(self.amazon(times, Duration::from_secs(60)))
    }

    /// A client that repeats requests up to `times` and waits for each answer up to `patience`.
    pub fn impatient(&self, times: usize, patience: Duration) -> Arc<dyn ObjectStore> {
        Arc::new(self.amazon(times, patience))
    }

    /// A prefix of 16 bytes that no other test uses. It is "t" and digits, so that it contains no
    /// part of a key by which a test chooses requests.
    pub fn prefix(&self) -> Path {
        // Each RandomState is another one.
        let number = RandomState::new().hash_one(0) % 1_000_000_000_000_000;
        Path::from(format!("t{number:015}"))
    }

    fn amazon(&self, times: usize, patience: Duration) -> AmazonS3 {
        // The client wants a TLS library, though it will not be used. The first call decides.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(20),
            base: 2.0,
        };
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(patience))
            .with_retry(RetryConfig {
                backoff,
                max_retries: times,
                retry_timeout: Duration::from_secs(60),
            })
            .build()
            .expect("a client")
    }

    /// Signs URLs with the credentials of the clients.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::new(self.amazon(0, Duration::from_secs(60)))
    }

    /// Where the bucket is, without a slash at the end.
    pub fn bucket_url(&self) -> String {
        format!("{}/{}", self.endpoint, self.bucket)
    }
}
