//! [`DeliveryBuilder`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::cache_policy::CachePolicy;
use super::cursor::CursorSeal;
use super::delivery::Delivery;
use super::delivery_modes::DeliveryModes;
use super::guard::{AccessSums, Authenticator, Gate, Limiter, RequestQuota};
use super::live::{LiveStreams, OpenStreams};
#[cfg(feature = "publish")]
use super::publish::Publishing;
use super::rendered_states::RenderedStates;
use super::served::Served;
use super::write::Writes;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::ledger::Ledger;
use crate::manager::Kinds;
use crate::random::random;
#[cfg(feature = "publish")]
use crate::service::publish::{Publisher, UploadUrls};

const NAME: &str = "build a delivery";

/// Builds a [`Delivery`].
pub struct DeliveryBuilder {
    kinds: Kinds,
    prefix: String,
    authenticator: Option<Arc<dyn Authenticator>>,
    is_open: bool,
    quota: Option<RequestQuota>,
    failures: Option<RequestQuota>,
    clock: Arc<dyn Clock>,
    policy: CachePolicy,
    policies: BTreeMap<String, CachePolicy>,
    modes: Option<DeliveryModes>,
    cache_bytes: u64,
    cursor_secret: Option<[u8; 32]>,
    downloads: usize,
    jobs: usize,
    ledger: Option<Arc<dyn Ledger>>,
    audits_reads: bool,
    live: Option<LiveStreams>,
    #[cfg(feature = "publish")]
    publishing: Option<Box<Publishing>>,
    has_inspector: bool,
}

impl Delivery {
    /// Returns a builder for a service that serves these kinds.
    pub fn builder(kinds: Kinds) -> DeliveryBuilder {
        DeliveryBuilder::new(kinds)
    }
}

impl DeliveryBuilder {
    fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            prefix: String::new(),
            authenticator: None,
            is_open: false,
            quota: None,
            failures: Some(RequestQuota::new(600, Duration::from_secs(60))),
            clock: Arc::new(SystemClock::new()),
            policy: CachePolicy::private(),
            policies: BTreeMap::new(),
            modes: None,
            cache_bytes: 64 << 20,
            cursor_secret: None,
            downloads: 4,
            jobs: 4,
            ledger: None,
            audits_reads: false,
            live: None,
            #[cfg(feature = "publish")]
            publishing: None,
            has_inspector: false,
        }
    }

    /// Sets the path under which clients see the service, such as `/api/v1`. It begins the URLs in
    /// answers, and is removed from the paths of requests where the server has not done so. Empty by
    /// default.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets who finds out who sends a request.
    pub fn authenticator(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Lets everybody read the states of all tenants. Nobody may write.
    pub fn open_to_everybody(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Sets how many requests each principal may send, if it has no
    /// [quota of its own](super::Principal::quota). No limit by default. Each process counts for
    /// itself. Requests beyond the quota are answered with 429 and `Retry-After`, and all answers
    /// have the headers of draft-ietf-httpapi-ratelimit-headers-10.
    ///
    /// Without an [authenticator](Self::authenticator), nothing is counted.
    pub fn quota(mut self, quota: RequestQuota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Sets how many requests with wrong or missing credentials are answered with 401, of all
    /// clients together; the others get 429. 600 in a minute by default. Requests with valid
    /// credentials are not affected.
    pub fn failed_authentications(mut self, quota: RequestQuota) -> Self {
        self.failures = Some(quota);
        self
    }

    /// Sets the clock by which requests are counted, idempotency keys expire, and minutes of the
    /// audit trail and times of jobs are measured, and which says what "now" is for a download. The
    /// system's by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets what caches may do with the states of all tenants that have no
    /// [policy of their own](Self::tenant_cache_policy). [`CachePolicy::private`] by default.
    pub fn cache_policy(mut self, policy: CachePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what caches may do with the states of one tenant.
    pub fn tenant_cache_policy(mut self, tenant: impl Into<String>, policy: CachePolicy) -> Self {
        self.policies.insert(tenant.into(), policy);
        self
    }

    /// Says which projects are guarded, so that [`build`](Self::build) refuses what would tell everybody
    /// their states: [`open_to_everybody`](Self::open_to_everybody), and a public cache policy of all
    /// tenants or of a guarded one. Give the same modes to the
    /// [export](super::StaticExport::modes). No modes by default.
    ///
    /// The routes need credentials for all projects, also for those of public files: they also show
    /// earlier states, which the files do not.
    pub fn modes(mut self, modes: DeliveryModes) -> Self {
        self.modes = Some(modes);
        self
    }

    /// Sets how much memory rendered states may take, in bytes. 64 MiB by default. A rendered state
    /// also keeps the state itself in memory. One that takes more than an eighth of this is rendered
    /// for each request.
    pub fn rendered_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the secret that signs the cursors of lists. By default it is random, so that a client
    /// that follows a link must reach the same process. Set the same one in all processes.
    pub fn cursor_secret(mut self, secret: [u8; 32]) -> Self {
        self.cursor_secret = Some(secret);
        self
    }

    /// Sets how many downloads of projects may run at the same time. 4 by default. The next ones are
    /// answered with 503 and `Retry-After`.
    pub fn downloads(mut self, count: usize) -> Self {
        self.downloads = count.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Sends these changes to clients, as server-sent events: a
    /// [`LiveChanges`](super::LiveChanges), or [`LiveStreams`] with limits. Without it, the paths
    /// `.../events` answer 404.
    pub fn live(mut self, streams: impl Into<LiveStreams>) -> Self {
        self.live = Some(streams.into());
        self
    }

    /// Sets how many jobs may run at the same time. 4 by default, in each process. The next ones are
    /// answered with 503 and `Retry-After`. With 0, nothing is done asynchronously, so a rebuild or a
    /// prune of a project with more than 100 aggregates is refused.
    pub fn jobs(mut self, running: usize) -> Self {
        self.jobs = running;
        self
    }

    /// Writes to the audit trail of the default tenant how many requests of each principal were
    /// refused: one entry for each principal and minute, with the action `access`, and one for all
    /// requests without valid credentials, whose actor is empty. At most 1,024 principals are
    /// counted apart in a minute, the others together as `(others)`.
    ///
    /// The first request after a minute starts to write its sums. If the ledger fails, they are kept
    /// and written with the next ones; after an unknown outcome, some may be written twice. Call
    /// [`Delivery::flush_audit`] before the process ends, or the last ones are lost.
    ///
    /// Writes are recorded by the engines, if they have a
    /// [ledger](crate::engine::EngineBuilder::ledger): each has an entry in the trail of its tenant,
    /// with the name of the principal as the actor. An engine records in the background and changes
    /// snapshots even if its ledger fails, so neither does a write here.
    pub fn audit(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// Counts the requests that read as well, in one entry for each principal and minute with the
    /// action `read`. Not by default. There is no entry for each request, because anybody who may
    /// read could fill the ledger. Has no effect without [`audit`](Self::audit).
    pub fn audit_reads(mut self, audits_reads: bool) -> Self {
        self.audits_reads = audits_reads;
        self
    }

    /// Lets clients publish, with this publisher. `urls` signs the URLs to which they send artifacts
    /// that the store does not take itself, and `origin` is where clients reach this service, such as
    /// `https://api.example.com`: those URLs begin with it and the [prefix](Self::prefix).
    ///
    /// Give all nodes the same keys. Who may publish needs [`Permission::Publish`] for all kinds of the
    /// project; give the publisher a [ledger](crate::service::publish::PublisherBuilder::ledger) to have
    /// an audit trail of it.
    ///
    /// [`Permission::Publish`]: super::Permission::Publish
    #[cfg(feature = "publish")]
    pub fn publisher(
        mut self,
        publisher: Publisher,
        urls: Arc<UploadUrls>,
        origin: impl Into<String>,
    ) -> Self {
        self.publishing = Some(Box::new(Publishing { publisher, urls, origin: origin.into() }));
        self
    }

    /// Serves the inspector at `/inspect`: a page for people that shows the states of an aggregate
    /// through time, what changed, and which snapshots are stored. Not by default.
    ///
    /// The page is the same for everybody and has no data, so it needs no credentials. It asks the
    /// service as any client does, with the API key that a person enters.
    pub fn inspector(mut self, is_served: bool) -> Self {
        self.has_inspector = is_served;
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless exactly one of [`authenticator`](Self::authenticator) and
    /// [`open_to_everybody`](Self::open_to_everybody) was called, or if the prefix is neither empty
    /// nor a path without a slash at its end, or if the [modes](Self::modes) do not allow the other
    /// settings, or if the origin of a publisher is not one;
    /// [`ErrorKind::Unsupported`] if the operating system has no random bits for a secret.
    pub fn build(self) -> Result<Delivery, Error> {
        let invalid = |message: &str| Error::new(ErrorKind::InvalidInput, NAME, message);
        let contradiction = self
            .modes
            .as_ref()
            .and_then(|modes| modes.contradiction(self.is_open, &self.policy, &self.policies));
        if let Some(message) = contradiction {
            return Err(invalid(&message));
        }
        let writes = Writes::new(self.jobs, &self.clock);
        let access = self.ledger.map(|ledger| {
            Arc::new(AccessSums::new(ledger, Arc::clone(&self.clock), self.audits_reads))
        });
        let gate = match (self.authenticator, self.is_open) {
            (Some(authenticator), false) => Gate::Guarded(
                authenticator,
                Limiter::new(self.quota, self.failures, Arc::clone(&self.clock)),
            ),
            (None, true) => Gate::Open,
            (None, false) => {
                let message = "nobody may read: call authenticator() or open_to_everybody()";
                return Err(invalid(message));
            }
            (Some(_), true) => {
                let message = "call either authenticator() or open_to_everybody(), not both";
                return Err(invalid(message));
            }
        };
        let is_path = self.prefix.starts_with('/') && !self.prefix.ends_with('/');
        let is_plain = self.prefix.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"?#".contains(&b));
        if !(self.prefix.is_empty() || is_path && is_plain) {
            return Err(invalid("the prefix is no path: use one such as /api/v1"));
        }
        #[cfg(feature = "publish")]
        if self.publishing.as_ref().is_some_and(|it| !Publishing::is_origin(&it.origin)) {
            return Err(invalid(
                "the origin is no scheme and host: use one such as https://example.com",
            ));
        }
        let secret = match self.cursor_secret {
            Some(secret) => secret,
            None => random(NAME)?,
        };
        let rendered = RenderedStates::new(self.cache_bytes);
        #[cfg(feature = "publish")]
        let publishes = self.publishing.is_some();
        #[cfg(not(feature = "publish"))]
        let publishes = false;
        Ok(Delivery::new(Served {
            kinds: self.kinds,
            prefix: self.prefix,
            gate,
            clock: self.clock,
            access,
            writes,
            policy: self.policy,
            policies: self.policies,
            rendered,
            cursors: CursorSeal(secret),
            downloads: Arc::new(Semaphore::new(self.downloads)),
            live: self.live,
            streams: OpenStreams::default(),
            publishes,
            #[cfg(feature = "publish")]
            publishing: self.publishing,
            description: OnceLock::new(),
            has_inspector: self.has_inspector,
        }))
    }
}

impl fmt::Debug for DeliveryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
