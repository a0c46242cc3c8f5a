//! [`Unreliable`]: an object store in memory behind a network, a client that repeats requests, and a
//! server that is late.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    /// It has its effect, and the answer is lost.
    Lost,
    /// A conditional write has its effect, and the answer says that the condition failed: the client
    /// has repeated it.
    Misreported,
    /// A conditional write has no effect, and the answer says that the condition failed, although it
    /// holds.
    Conflict,
    /// 429, 500 or 503, without any effect.
    Refused,
    /// It fails, and has its effect when several other requests have been made.
    Late,
    /// It has its effect, and the same one again when several other requests have been made.
    Twice,
    /// It does not end. It has its effect now, later, or never.
    Hung,
    /// The credentials do not allow it, without any effect.
    Denied,
    /// It has its effect, and the answer says that the credentials do not allow it: they ended before
    /// the client repeated it.
    DeniedAfter,
    /// There is no such object, or no such bucket, for a write.
    NotFound,
    /// A list is in another order.
    Disorder,
}

impl Mishap {
    pub(crate) const ALL: [Self; 11] = [
        Self::Lost,
        Self::Misreported,
        Self::Conflict,
        Self::Refused,
        Self::Late,
        Self::Twice,
        Self::Hung,
        Self::Denied,
        Self::DeniedAfter,
        Self::NotFound,
        Self::Disorder,
    ];

    fn can_befall(self, request: Request) -> bool {
        match self {
            Self::Refused | Self::Denied | Self::Hung => true,
            Self::Lost | Self::Late | Self::Twice | Self::NotFound => request.writes(),
            Self::Misreported | Self::Conflict | Self::DeniedAfter => request == Request::PutIf,
            Self::Disorder => request == Request::List,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Put,
    PutIf,
    Get,
    Delete,
    List,
}

impl Request {
    const fn writes(self) -> bool {
        matches!(self, Self::Put | Self::PutIf | Self::Delete)
    }
}

/// What a request changes.
#[derive(Clone, Debug)]
enum Effect {
    Put(Path, PutPayload, PutOptions),
    Delete(Path),
}

type Listener = Arc<dyn Fn(&Path) + Send + Sync>;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Unreliable {
    pub(crate) inner: Arc<InMemory>,
    network: Arc<Mutex<Network>>,
}

struct Network {
    rng: Rng,
    rates: Vec<(Mishap, f64)>,
    is_on: bool,
    forced: Vec<(u32, &'static str, Mishap)>,
    counts: BTreeMap<Mishap, u64>,
    requests: u64,
    /// What has its effect once so many requests have been made.
    late: Vec<(u64, Effect)>,
    began: Instant,
    written: HashMap<Path, Instant>,
    listener: Option<Listener>,
}

/// A write that has not had its effect. If its caller goes away, the server may still complete it.
struct OnItsWay<'u> {
    to: &'u Unreliable,
    effect: Option<Effect>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(effect) = self.effect.take() {
            let mut network = self.to.lock();
            if network.is_on && network.rng.bool() {
                network.put_off(effect);
            }
        }
    }
}

impl Network {
    fn put_off(&mut self, effect: Effect) {
        *self.counts.entry(Mishap::Late).or_default() += 1;
        // What is put off on purpose only comes when it is told to.
        let due = if self.is_on { self.requests + self.rng.u64(1..40) } else { u64::MAX };
        self.late.push((due, effect));
    }

    fn draw(&mut self, request: Request, path: Option<&Path>) -> Option<Mishap> {
        let name = path.map_or("", |path| path.as_ref());
        for at in 0..self.forced.len() {
            let (skipped, part, mishap) = &mut self.forced[at];
            if name.contains(*part) && mishap.can_befall(request) {
                if *skipped == 0 {
                    return Some(self.forced.remove(at).2);
                }
                *skipped -= 1;
            }
        }
        if !self.is_on {
            return None;
        }
        let mut at = self.rng.f64();
        for (mishap, rate) in &self.rates {
            if mishap.can_befall(request) {
                if at < *rate {
                    return Some(*mishap);
                }
                at -= rate;
            }
        }
        None
    }
}

impl Unreliable {
    pub(crate) fn new(seed: u64, rates: Vec<(Mishap, f64)>) -> Self {
        let network = Network {
            rng: Rng::with_seed(seed),
            rates,
            is_on: false,
            forced: Vec::new(),
            counts: BTreeMap::new(),
            requests: 0,
            late: Vec::new(),
            began: Instant::now(),
            written: HashMap::new(),
            listener: None,
        };
        Self { inner: Arc::new(InMemory::new()), network: Arc::new(Mutex::new(network)) }
    }

    /// The same objects, by a way on which nothing happens.
    pub(crate) fn over(other: &Self) -> Self {
        Self { inner: Arc::clone(&other.inner), ..Self::new(0, Vec::new()) }
    }

    pub(crate) fn on(&self, is_on: bool) {
        self.lock().is_on = is_on;
    }

    /// Lets a mishap befall the next request for an object whose name contains `part`.
    pub(crate) fn next(&self, part: &'static str, mishap: Mishap) {
        self.after(0, part, mishap);
    }

    /// The same, after so many others that it could have befallen.
    pub(crate) fn after(&self, others: u32, part: &'static str, mishap: Mishap) {
        self.lock().forced.push((others, part, mishap));
    }

    /// Calls `listener` after each effect.
    pub(crate) fn listen(&self, listener: impl Fn(&Path) + Send + Sync + 'static) {
        self.lock().listener = Some(Arc::new(listener));
    }

    pub(crate) fn counts(&self) -> BTreeMap<Mishap, u64> {
        self.lock().counts.clone()
    }

    /// How many effects are still to come.
    pub(crate) fn pending(&self) -> usize {
        self.lock().late.len()
    }

    /// All late requests arrive.
    pub(crate) fn arrive(&self) {
        let late = std::mem::take(&mut self.lock().late);
        for (_, effect) in late {
            let _ = self.apply(effect);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, effect: Effect) -> Result<Option<PutResult>> {
        let now = "an object store in memory does not wait";
        let (path, result) = match effect {
            Effect::Put(path, payload, options) => {
                let put = self.inner.put_opts(&path, payload, options).now_or_never().expect(now);
                (path, Some(put?))
            }
            Effect::Delete(path) => {
                let one = stream::iter([Ok(path.clone())]).boxed();
                let deleted = self.inner.delete_stream(one).next().now_or_never().expect(now);
                deleted.transpose()?;
                (path, None)
            }
        };
        let listener = {
            let mut network = self.lock();
            network.written.insert(path.clone(), Instant::now());
            network.listener.clone()
        };
        if let Some(listener) = listener {
            listener(&path);
        }
        Ok(result)
    }

    /// Draws what befalls a request, after some time, and after the late ones that are due.
    async fn begin(&self, request: Request, path: Option<&Path>) -> Option<Mishap> {
        let wait = {
            let mut network = self.lock();
            let is_slow = network.is_on && network.rng.u8(..3) > 0;
            is_slow.then(|| Duration::from_millis(network.rng.u64(..20)))
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
        let (due, mishap) = {
            let mut network = self.lock();
            network.requests += 1;
            let now = network.requests;
            let due: Vec<_> = network.late.extract_if(.., |(due, _)| *due <= now).collect();
            let mishap = network.draw(request, path);
            if let Some(mishap) = mishap {
                *network.counts.entry(mishap).or_default() += 1;
            }
            (due, mishap)
        };
        for (_, effect) in due {
            let _ = self.apply(effect);
        }
        mishap
    }

    /// The answer takes its time, too.
    async fn end(&self) {
        let wait = {
            let mut network = self.lock();
            let is_slow = network.is_on && network.rng.u8(..3) == 0;
            is_slow.then(|| Duration::from_millis(network.rng.u64(..20)))
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }

    async fn write(
        &self,
        request: Request,
        path: &Path,
        effect: Effect,
    ) -> Result<Option<PutResult>> {
        let mut on_its_way = OnItsWay { to: self, effect: Some(effect.clone()) };
        let mishap = self.begin(request, Some(path)).await;
        on_its_way.effect = None;
        drop(on_its_way);
        let is_create =
            matches!(&effect, Effect::Put(_, _, options) if options.mode == PutMode::Create);
        let result = match mishap {
            None | Some(Mishap::Disorder) => self.apply(effect),
            Some(Mishap::Lost) => self.apply(effect).and_then(|_| Err(generic("connection reset"))),
            Some(Mishap::Misreported) => {
                self.apply(effect).and_then(|_| Err(condition(path, is_create)))
            }
            Some(Mishap::Conflict) => Err(condition(path, is_create)),
            Some(Mishap::Refused) => Err(generic("503 Slow Down")),
            Some(Mishap::Denied) => Err(denied(path)),
            Some(Mishap::DeniedAfter) => self.apply(effect).and_then(|_| Err(denied(path))),
            Some(Mishap::NotFound) => {
                Err(Error::NotFound { path: path.to_string(), source: "404".into() })
            }
            Some(Mishap::Late) => {
                self.lock().put_off(effect);
                Err(generic("connection reset"))
            }
            Some(Mishap::Twice) => {
                self.lock().put_off(effect.clone());
                self.apply(effect)
            }
            Some(Mishap::Hung) => {
                let when = self.lock().rng.u8(..3);
                match when {
                    0 => drop(self.apply(effect)),
                    1 => self.lock().put_off(effect),
                    _ => {}
                }
                hang().await
            }
        };
        self.end().await;
        result
    }

    async fn read(&self, request: Request, path: Option<&Path>) -> Result<bool> {
        let mishap = self.begin(request, path).await;
        match mishap {
            Some(Mishap::Refused) => Err(generic("500 Internal Server Error")),
            Some(Mishap::Denied) => {
                let path = path.map_or_else(Path::default, Path::clone);
                Err(denied(&path))
            }
            Some(Mishap::Hung) => hang().await,
            mishap => Ok(mishap == Some(Mishap::Disorder)),
        }
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let network = self.lock();
        let since = network.written.get(&meta.location).map(|at| *at - network.began);
        meta.last_modified = DateTime::<Utc>::UNIX_EPOCH + since.unwrap_or_default();
        meta
    }

    fn listed(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let all = async move {
            let is_disordered = match this.read(Request::List, None).await {
                Ok(is_disordered) => is_disordered,
                Err(error) => return vec![Err(error)],
            };
            let mut all: Vec<_> =
                listed.map(|meta| meta.map(|meta| this.dated(meta))).collect().await;
            if is_disordered {
                this.lock().rng.shuffle(&mut all);
            }
            all
        };
        all.map(stream::iter).flatten_stream().boxed()
    }
}

fn generic(what: &'static str) -> Error {
    Error::Generic { store: "unreliable", source: what.into() }
}

fn denied(path: &Path) -> Error {
    Error::PermissionDenied { path: path.to_string(), source: "403".into() }
}

fn condition(path: &Path, is_create: bool) -> Error {
    let (path, source) = (path.to_string(), "412".into());
    if is_create {
        Error::AlreadyExists { path, source }
    } else {
        Error::Precondition { path, source }
    }
}

async fn hang<T>() -> Result<T> {
    // Above every time limit.
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    Err(generic("timed out"))
}

#[async_trait]
impl ObjectStore for Unreliable {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let request =
            if options.mode == PutMode::Overwrite { Request::Put } else { Request::PutIf };
        let effect = Effect::Put(path.clone(), payload, options);
        let put = self.write(request, path, effect).await?;
        Ok(put.expect("a put has a result"))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(Request::Get, Some(path)).await?;
        let mut got = self.inner.get_opts(path, options).await;
        if let Ok(got) = &mut got {
            got.meta = self.dated(got.meta.clone());
        }
        self.end().await;
        got
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Result<Path>| {
            let this = this.clone();
            async move {
                let path = path?;
                this.write(Request::Delete, &path, Effect::Delete(path.clone())).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = Arc::clone(&self.inner);
        let prefix = prefix.cloned();
        // The server answers when it is asked, and not before.
        let listed = stream::once(async move { inner.list(prefix.as_ref()) }).flatten();
        self.listed(listed.boxed())
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = Arc::clone(&self.inner);
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        let list = async move { inner.list_with_offset(prefix.as_ref(), &offset) };
        self.listed(stream::once(list).flatten().boxed())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreliable")
    }
}

impl fmt::Display for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreliable")
    }
}
