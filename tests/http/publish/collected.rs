//! Artifacts are collected while others publish, in thousands of orders of their steps, with
//! processes that end anywhere and clocks that differ.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::artifact::{
    Artifact, ArtifactCapabilities, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore,
    FoundArtifact, ListedArtifact, MemoryArtifacts, in_one_piece,
};
use snapfold::engine::ManualClock;
use snapfold::publication::{
    ArtifactRemoval, Publication, PublicationCreated, PublicationDetails, PublicationId,
    PublicationPart, PublicationStatus, PublicationStore, PublicationsRequest, StorePublications,
};
use snapfold::service::publish::{PublishError, PublishRefusal, PublishRequest, Publisher};
use snapfold::store::Page;
use snapfold::{Error, MemoryStore, Timestamp};

use crate::support::at;

/// A pause in which any other task may make its next step.
async fn step() {
    let mut is_first = true;
    std::future::poll_fn(|_| {
        if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Pauses before and after each call.
#[derive(Clone, Debug)]
struct Stepped<S>(S);

#[async_trait]
impl PublicationStore for Stepped<StorePublications> {
    async fn create(&self, new: &Publication) -> Result<PublicationCreated, Error> {
        step().await;
        let created = self.0.create(new).await;
        step().await;
        created
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        let found = self.0.get(project, id).await;
        step().await;
        found
    }

    async fn replace(&self, newer: &Publication) -> Result<bool, Error> {
        step().await;
        let replaced = self.0.replace(newer).await;
        step().await;
        replaced
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        // Small pages, between which others write.
        let page = self.0.list(request.limit(2)).await;
        step().await;
        page
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        self.0.expired(now, limit).await
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        step().await;
        self.0.delete(project, id).await
    }

    async fn removal(&self, project: &str) -> Result<Option<ArtifactRemoval>, Error> {
        let found = self.0.removal(project).await;
        step().await;
        found
    }

    async fn replace_removal(
        &self,
        project: &str,
        removal: &ArtifactRemoval,
    ) -> Result<bool, Error> {
        step().await;
        let replaced = self.0.replace_removal(project, removal).await;
        step().await;
        replaced
    }
}

#[async_trait]
impl ArtifactStore for Stepped<MemoryArtifacts> {
    fn capabilities(&self) -> ArtifactCapabilities {
        ArtifactCapabilities::new("stepped").max_bytes(1 << 20)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        step().await;
        let outcome = self.0.put(tenant, artifact, content).await;
        step().await;
        outcome
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        let found = self.0.head(tenant, id).await;
        step().await;
        found
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        self.0.get(tenant, id, range).await
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        step().await;
        let deleted = self.0.delete(tenant, id).await;
        step().await;
        deleted
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        let page = self.0.list(tenant, after, limit).await;
        step().await;
        page
    }
}

const CONTENTS: [&str; 3] = ["plot", "code", "data"];

#[derive(Clone)]
struct World {
    publications: StorePublications,
    artifacts: MemoryArtifacts,
    clocks: Vec<ManualClock>,
}

impl World {
    fn new(random: &mut fastrand::Rng) -> Self {
        let skewed = |seconds: u64| ManualClock::at(at(100_000 + seconds));
        Self {
            publications: StorePublications::new(MemoryStore::new()),
            artifacts: MemoryArtifacts::new(),
            clocks: (0..3).map(|_| skewed(random.u64(..600))).collect(),
        }
    }

    fn node(&self, number: usize) -> Publisher {
        let publications = Arc::new(Stepped(self.publications.clone()));
        let artifacts = Arc::new(Stepped(self.artifacts.clone()));
        let clock = self.clocks[number % self.clocks.len()].clone();
        Publisher::builder(publications, artifacts).clock(clock).build().unwrap()
    }

    async fn all(&self) -> Vec<Publication> {
        let request = PublicationsRequest::new("p").completed(false).limit(256);
        let page = self.publications.list(request).await.unwrap();
        assert_eq!(page.next, None);
        page.items
    }

    async fn stored(&self) -> BTreeSet<ArtifactId> {
        let page = self.artifacts.list("p", None, 100).await.unwrap();
        page.items.iter().map(|it| it.id).collect()
    }

    async fn check(&self, seed: u64) {
        let stored = self.stored().await;
        for publication in self.all().await {
            if publication.status == PublicationStatus::Completed {
                for (name, part) in &publication.parts {
                    let id = part.stored.as_ref().unwrap().id;
                    assert!(stored.contains(&id), "seed {seed}: {} lost {name}", publication.id);
                }
            }
        }
    }
}

/// Publishes some of the contents, and gives up now and then.
async fn client(publisher: Publisher, mut random: fastrand::Rng) {
    for _ in 0..2 {
        let mut request = PublishRequest::new(PublicationDetails::default());
        let declares = random.bool();
        let chosen: Vec<_> = CONTENTS.into_iter().filter(|_| random.bool()).collect();
        for content in &chosen {
            let artifact = Artifact::of(content.as_bytes());
            let part = PublicationPart::new();
            let part = if declares { part.size(artifact.size).sha256(artifact.id) } else { part };
            request = request.part(*content, part);
        }
        let Ok(begun) = publisher.publish("p", request, "ci").await else { continue };
        let id = begun.publication.id;
        for _ in 0..4 {
            // In any order, some of them twice and some not at all.
            for _ in 0..2 * chosen.len() {
                let name = chosen[random.usize(..chosen.len())];
                let _ = publisher.receive("p", id, name, None, in_one_piece(name)).await;
            }
            if random.u8(..8) == 0 {
                let _ = publisher.abort("p", id, "ci").await;
            }
            match publisher.finalize("p", id, "ci").await {
                Err(PublishError::Refused(
                    PublishRefusal::Incomplete(_) | PublishRefusal::Removing,
                )) => {}
                _ => break,
            }
        }
    }
}

/// Deletes some of what was published.
async fn cleaner(world: World, mut random: fastrand::Rng) {
    for _ in 0..4 {
        for publication in world.all().await {
            step().await;
            if random.u8(..3) == 0 && publication.ended_at.is_some() {
                world.publications.delete("p", publication.id).await.unwrap();
            }
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(&mut random);
    let task = |number: usize, random: &mut fastrand::Rng| -> Task {
        let node = world.node(random.usize(..3));
        match number {
            0 => Box::pin(async move {
                for _ in 0..3 {
                    let _ = node.collect("p").await;
                }
            }),
            1 => Box::pin(cleaner(world.clone(), random.fork())),
            _ => Box::pin(client(node, random.fork())),
        }
    };
    let mut tasks: Vec<Task> = (0..6).map(|n| task([0, 0, 1, 2, 3, 4][n], &mut random)).collect();
    let mut started = tasks.len();
    let mut steps = 0;
    while !tasks.is_empty() {
        let chosen = random.usize(..tasks.len());
        let waker = Waker::noop();
        if tasks[chosen].as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
            drop(tasks.swap_remove(chosen));
        } else if random.u8(..40) == 0 {
            // Its process ends here, and another one starts.
            drop(tasks.swap_remove(chosen));
            if started < 16 {
                tasks.push(task(random.usize(..4), &mut random));
                started += 1;
            }
        }
        let jump = if random.u8(..60) == 0 { 1_200 } else { random.u64(..2) };
        world.clocks.iter().for_each(|clock| clock.advance(Duration::from_secs(jump)));
        steps += 1;
        if steps % 8 == 0 {
            world.check(seed).await;
        }
    }
    world.check(seed).await;
    // When all is quiet, what is left is referred to.
    let day = Duration::from_secs(86_400);
    world.clocks.iter().for_each(|clock| clock.advance(day));
    let stores = (Arc::new(world.publications.clone()), Arc::new(world.artifacts.clone()));
    let quiet = Publisher::builder(stores.0, stores.1).clock(world.clocks[0].clone());
    let quiet = quiet.build().unwrap();
    quiet.sweep().await.unwrap();
    let collection = quiet.collect("p").await.unwrap();
    assert!(!collection.is_elsewhere, "seed {seed}");
    world.check(seed).await;
    let all = world.all().await;
    let completed = all.iter().filter(|it| it.status == PublicationStatus::Completed);
    let referred = completed.flat_map(|it| it.parts.values());
    let referred: BTreeSet<_> =
        referred.filter_map(|it| it.stored.as_ref()).map(|it| it.id).collect();
    assert_eq!(world.stored().await, referred, "seed {seed}");
    assert_eq!(quiet.collect("p").await.unwrap().artifacts, 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_completed_is_collected_and_nothing_else_remains() {
    for seed in 0..300 {
        run(seed).await;
    }
}

/// Makes one step after the other, at most so many. Returns whether the task has ended.
fn drive(task: &mut Task, steps: usize) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    (0..steps).any(|_| task.as_mut().poll(&mut context).is_ready())
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_stalls_anywhere_removes_nothing_that_was_published_meanwhile() {
    for stalled_after in 0..60 {
        let world = World::new(&mut fastrand::Rng::with_seed(1));
        let plot = Artifact::of(b"plot");
        world.artifacts.put("p", &plot, in_one_piece("plot")).await.unwrap();
        let (first, second, publisher) = (world.node(0), world.node(0), world.node(0));
        let mut first: Task = Box::pin(async move {
            first.collect("p").await.unwrap();
        });
        let is_over = drive(&mut first, stalled_after);
        let mut others: Task = Box::pin(async move {
            second.collect("p").await.unwrap();
            let request = PublishRequest::new(PublicationDetails::default());
            let request = request.part("plot", PublicationPart::new());
            let id = publisher.publish("p", request, "ci").await.unwrap().publication.id;
            let _ = publisher.receive("p", id, "plot", None, in_one_piece("plot")).await;
            let _ = publisher.finalize("p", id, "ci").await;
        });
        assert!(drive(&mut others, 1_000));
        assert!(is_over || drive(&mut first, 1_000));
        world.check(stalled_after as u64).await;
    }
}
