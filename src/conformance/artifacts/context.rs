//! [`ArtifactContext`], the environment of a case.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::site::ArtifactSite;
use crate::artifact::{
    Artifact, ArtifactCapabilities, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore,
    ListedArtifact, SignedUpload, Upload,
};
use crate::conformance::answer::at_once;
pub(super) use crate::conformance::answer::{done, same};
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::error::{BoxError, Error, ErrorKind};
use crate::timestamp::Timestamp;

/// The number of times that the store of a case is open.
const NODES: usize = 4;
/// For how long the URLs of the kit are valid.
pub(super) const VALID_FOR: Duration = Duration::from_secs(600);

/// A new site, with its store opened by several nodes.
pub(crate) struct ArtifactContext {
    pub(super) site: Arc<dyn ArtifactSite>,
    nodes: Vec<Arc<dyn ArtifactStore>>,
    pub(super) capabilities: ArtifactCapabilities,
    pub(super) random: fastrand::Rng,
}

impl ArtifactContext {
    pub(super) async fn open(site: Arc<dyn ArtifactSite>, seed: u64) -> Result<Self, BoxError> {
        let first = site.open().await?;
        let capabilities = first.capabilities();
        let mut nodes = vec![first];
        while nodes.len() < NODES {
            nodes.push(site.open().await?);
        }
        Ok(Self { site, nodes, capabilities, random: fastrand::Rng::with_seed(seed) })
    }

    /// Returns one of the nodes. The index wraps around.
    pub(super) fn node(&self, number: usize) -> Result<Arc<dyn ArtifactStore>, Stop> {
        let node = self.nodes.get(number.checked_rem(self.nodes.len()).unwrap_or(0));
        node.cloned().ok_or_else(|| Failure::setup("open the store", &"there are no nodes").into())
    }

    /// Drops all nodes and opens the store again.
    pub(super) async fn reopen(&mut self) -> Result<Arc<dyn ArtifactStore>, Stop> {
        self.nodes.clear();
        let node = self.site.open().await?;
        self.nodes.push(Arc::clone(&node));
        Ok(node)
    }

    /// Returns random content.
    pub(super) fn content(&mut self, bytes: usize) -> Bytes {
        let mut content = vec![0; bytes];
        self.random.fill(&mut content);
        content.into()
    }

    /// Runs `work` on all nodes concurrently, `tasks` times in total. Returns the results in order.
    pub(super) async fn at_once<T, F>(
        &self,
        tasks: usize,
        work: impl Fn(usize, Arc<dyn ArtifactStore>) -> F,
    ) -> Result<Vec<T>, Stop>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Stop>> + Send + 'static,
    {
        at_once("A-02", tasks, |number| self.node(number), work).await
    }

    /// Signs a URL for an upload.
    pub(super) async fn sign(&self, upload: Upload<'_>) -> Result<SignedUpload, Stop> {
        let signed = self.node(0)?.upload(upload, VALID_FOR).await;
        done("A-50", "sign an upload", signed)
    }

    /// Sends content with a URL. The storage must accept it, because it is the first upload.
    pub(super) async fn send(&self, signed: &SignedUpload, content: &Bytes) -> Result<(), Stop> {
        let accepted = self.site.send(signed, content.clone()).await?;
        same("A-50", "send content with the URL of an upload", &accepted, &true)
    }

    /// Signs a URL and sends content with it.
    pub(super) async fn sent(&self, upload: Upload<'_>, content: &Bytes) -> Result<(), Stop> {
        let signed = self.sign(upload).await?;
        self.send(&signed, content).await
    }
}

/// Returns content in pieces of `size` bytes, between which the stream is not ready. It must not be
/// polled after its end.
pub(super) fn in_pieces(content: &Bytes, size: usize) -> ArtifactContent {
    stream::unfold(content.clone(), move |mut rest| async move {
        tokio::task::yield_now().await;
        let piece = rest.split_to(size.max(1).min(rest.len()));
        (!piece.is_empty()).then_some((Ok(piece), rest))
    })
    .boxed()
}

/// Puts content, which must get one of these outcomes.
pub(super) async fn put(
    store: &dyn ArtifactStore,
    tenant: &str,
    artifact: &Artifact,
    content: &Bytes,
) -> Result<ArtifactOutcome, Stop> {
    let content = in_pieces(content, 64 << 10);
    done("A-10", "put an artifact", store.put(tenant, artifact, content).await)
}

/// Puts content that is right and not stored yet.
pub(super) async fn stored(
    store: &dyn ArtifactStore,
    tenant: &str,
    content: &Bytes,
) -> Result<Artifact, Stop> {
    let artifact = Artifact::of(content);
    let outcome = put(store, tenant, &artifact, content).await?;
    same("A-10", "put an artifact", &outcome, &ArtifactOutcome::Stored)?;
    Ok(artifact)
}

/// Returns the content of an artifact, or `None` if it is not stored.
pub(super) async fn read(
    store: &dyn ArtifactStore,
    tenant: &str,
    id: &ArtifactId,
) -> Result<Option<Bytes>, Stop> {
    let Some(found) = done("A-21", "get an artifact", store.get(tenant, id, None).await)? else {
        return Ok(None);
    };
    let size = found.artifact.size;
    same("A-22", "the range of the whole artifact", &found.range, &(0..size))?;
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    let content = done("A-21", "read an artifact", found.bytes(limit).await)?;
    ensure(content.is_some(), || {
        Failure::new("A-21", "read an artifact").expected(format!("{size} bytes")).got("more")
    })?;
    Ok(content)
}

/// Fails unless an artifact is stored with this content.
pub(super) async fn holds(
    id: &'static str,
    store: &dyn ArtifactStore,
    tenant: &str,
    content: &Bytes,
) -> Result<(), Stop> {
    let found = read(store, tenant, &ArtifactId::of(content)).await?;
    let what = "read a stored artifact";
    let Some(found) = found else {
        return Err(Failure::new(id, what).expected("an artifact").got("none").into());
    };
    ensure(found == *content, || {
        Failure::new("A-21", what)
            .expected(format!("{:?}", Artifact::of(content)))
            .got(format!("{:?}", Artifact::of(&found)))
    })
}

/// Fails if an artifact can be seen in any way.
pub(super) async fn unseen(
    id: &'static str,
    store: &dyn ArtifactStore,
    tenant: &str,
    artifact: &ArtifactId,
) -> Result<(), Stop> {
    let head = done("A-02", "look for an artifact", store.head(tenant, artifact).await)?;
    same(id, "look for an artifact that is not stored", &head, &None)?;
    let found = done("A-02", "get an artifact", store.get(tenant, artifact, None).await)?;
    same(id, "get an artifact that is not stored", &found.map(|found| found.artifact), &None)?;
    let listed = listed(store, tenant, 100).await?.iter().any(|item| item.id == *artifact);
    same(id, "list an artifact that is not stored", &listed, &false)
}

/// Returns all artifacts of a tenant, across pages.
pub(super) async fn listed(
    store: &dyn ArtifactStore,
    tenant: &str,
    limit: usize,
) -> Result<Vec<ListedArtifact>, Stop> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(tenant, after.as_ref(), limit).await;
        let page = done("A-02", "list artifacts", page)?;
        let fits = page.items.len() <= limit.max(1);
        same("A-40", "a page has at most as many items as requested", &fits, &true)?;
        let last = page.items.last().map(|last| last.id);
        all.extend(page.items);
        let Some(next) = page.next else { return Ok(all) };
        same("A-40", "`next` is the id of the last item", &Some(next), &last)?;
        same("A-40", "`next` is after the start of its page", &(after < Some(next)), &true)?;
        after = Some(next);
    }
}

/// Fails unless a call was refused as invalid input.
pub(super) fn refused<T: Debug>(what: &str, result: Result<T, Error>) -> Result<(), Stop> {
    same("A-03", what, &result.map_err(|error| error.kind()).err(), &Some(ErrorKind::InvalidInput))
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
