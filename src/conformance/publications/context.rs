//! [`PublicationContext`], the environment of a case.

use std::sync::Arc;

use crate::artifact::Artifact;
use crate::conformance::answer::at_once;
pub(super) use crate::conformance::answer::{done, same};
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::error::{Error, ErrorKind};
use crate::publication::{
    Publication, PublicationCreated, PublicationFailure, PublicationId, PublicationPart,
    PublicationStatus, PublicationStore, PublicationsRequest,
};
use crate::timestamp::Timestamp;

/// When the publications of the kit expire, unless the case chooses another time.
pub(super) const LATER: Timestamp = Timestamp::from_seconds(2_000_000_000);
const START: i64 = 1_754_654_400_000_000;

/// A new store, opened by several nodes.
pub(crate) struct PublicationContext {
    nodes: Vec<Arc<dyn PublicationStore>>,
    pub(super) random: fastrand::Rng,
    /// How many ids were made.
    made: i64,
}

impl PublicationContext {
    pub(super) fn new(nodes: Vec<Arc<dyn PublicationStore>>, seed: u64) -> Self {
        Self { nodes, random: fastrand::Rng::with_seed(seed), made: 0 }
    }

    /// Returns one of the nodes. The index wraps around.
    pub(super) fn node(&self, number: usize) -> Result<Arc<dyn PublicationStore>, Stop> {
        let node = self.nodes.get(number.checked_rem(self.nodes.len()).unwrap_or(0));
        node.cloned().ok_or_else(|| Failure::setup("open the store", &"there are no nodes").into())
    }

    /// Returns a publication of the project `p`, with an id above all earlier ones. The times lie
    /// from a millisecond to days apart.
    pub(super) fn new_one(&mut self) -> Result<Publication, Stop> {
        self.made += 1;
        let millis = self.made.saturating_pow(5).saturating_mul(40) + self.made;
        self.at(Timestamp::from_micros(START + millis.saturating_mul(1_000)))
    }

    pub(super) fn at(&mut self, time: Timestamp) -> Result<Publication, Stop> {
        let mut new = Publication::new("p", PublicationId::new(time)?, time, LATER);
        new.created_by = format!("builder {}", self.random.u32(..));
        Ok(new)
    }

    pub(super) fn request_key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.random.fill(&mut key);
        key
    }

    /// Runs `work` on all nodes concurrently, `tasks` times in total. Returns the results in order.
    pub(super) async fn at_once<T, F>(
        &self,
        tasks: usize,
        work: impl Fn(usize, Arc<dyn PublicationStore>) -> F,
    ) -> Result<Vec<T>, Stop>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Stop>> + Send + 'static,
    {
        at_once("P-02", tasks, |number| self.node(number), work).await
    }
}

/// The next revision, with another title.
pub(super) fn next(of: &Publication, title: &str) -> Publication {
    let mut next = of.clone();
    next.revision += 1;
    next.details.title = Some(title.to_owned());
    next
}

/// The next revision, which has ended.
pub(super) fn ended(of: &Publication, status: PublicationStatus) -> Publication {
    let mut next = of.clone();
    next.revision += 1;
    next.status = status;
    next.ended_at = Some(Timestamp::from_seconds(1_800_000_000));
    next
}

pub(super) const FAILED: PublicationStatus = PublicationStatus::Failed(PublicationFailure::Aborted);

/// Fills everything that can be said.
pub(super) fn filled(mut new: Publication) -> Publication {
    let details = &mut new.details;
    let text = |text: &str| Some(format!("{text} \u{e9}\u{1f600} \"\\\n\0 </script>"));
    details.collection = text("collection");
    details.title = Some(String::new());
    details.author = text("author");
    details.description = text("description");
    details.tags = vec!["b".into(), "a".into(), "\u{1}".into()];
    details.repo_owner = text("owner");
    details.repo_name = text("name");
    details.commit_sha = text("commit");
    details.branch = text("branch");
    details.pull_request = Some(u64::MAX);
    details.run_id = text("run");
    details.run_url = text("javascript:");
    let artifact = Artifact::of(b"content").content_type("text/html; charset=utf-8");
    let declared = PublicationPart::new().size(u64::MAX).sha256(artifact.id);
    let mut stored = declared.clone().content_type("image/png");
    stored.stored = Some(artifact);
    new.parts.insert("index.html".into(), declared);
    new.parts.insert("-_.9".into(), stored);
    new.parts.insert("Z".into(), PublicationPart::new());
    new
}

/// Creates a publication that does not exist.
pub(super) async fn stored(
    id: &'static str,
    store: &dyn PublicationStore,
    new: &Publication,
) -> Result<(), Stop> {
    let created = done(id, "create a publication", store.create(new).await)?;
    same(id, "create a publication", &created, &PublicationCreated::New)
}

/// Replaces a publication, which must succeed.
pub(super) async fn replaced(store: &dyn PublicationStore, next: &Publication) -> Result<(), Stop> {
    let replaced = done("P-20", "replace a publication", store.replace(next).await)?;
    same("P-20", "replace a publication by the next revision", &replaced, &true)
}

pub(super) async fn found(
    store: &dyn PublicationStore,
    of: &Publication,
) -> Result<Option<Publication>, Stop> {
    done("P-02", "get a publication", store.get(&of.project, of.id).await)
}

/// Fails unless a publication is stored exactly like this.
pub(super) async fn holds(
    id: &'static str,
    store: &dyn PublicationStore,
    expected: &Publication,
) -> Result<(), Stop> {
    same(id, "get a publication", &found(store, expected).await?, &Some(expected.clone()))
}

/// Follows the pages of a list to the end.
pub(super) async fn walk(
    store: &dyn PublicationStore,
    request: PublicationsRequest<'_>,
) -> Result<Vec<Publication>, Stop> {
    let (mut all, mut request) = (Vec::new(), request);
    for _ in 0..1_000 {
        let page = done("P-02", "list publications", store.list(request).await)?;
        let fits = page.items.len() <= request.limit.max(1);
        same("P-30", "a page has at most as many items as requested", &fits, &true)?;
        let last = page.items.last().map(|last| last.id);
        all.extend(page.items);
        let Some(next) = page.next else { return Ok(all) };
        let onwards =
            last.is_none_or(|last| next <= last) && request.after.is_none_or(|after| next < after);
        same("P-30", "`next` is below the page", &onwards, &true)?;
        request = request.after(next);
    }
    let failure = Failure::new("P-30", "follow `next` to the end").expected("an end");
    Err(failure.got("1,000 pages").into())
}

pub(super) fn all_of(project: &str) -> PublicationsRequest<'_> {
    PublicationsRequest::new(project).completed(false)
}

/// Fails unless a call is refused as invalid.
pub(super) fn refused<T>(
    id: &'static str,
    what: &str,
    result: Result<T, Error>,
) -> Result<(), Stop> {
    let kind = result.as_ref().err().map(Error::kind);
    ensure(kind == Some(ErrorKind::InvalidInput), || {
        let got = result.err().map_or_else(|| "success".to_owned(), |error| format!("{error:#}"));
        Failure::new(id, what).expected("InvalidInput").got(got)
    })
}
