//! The kit for stores of publications can fail. Each mutant is a store that keeps every obligation
//! but the ones named beside it, and the kit has to report just those; one it lets pass would let a
//! real store publish twice, or show one project what another one has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::conformance::{self, Case, PublicationFactory, publication_cases};
use snapfold::publication::{
    ArtifactRemoval, Publication, PublicationCreated, PublicationId, PublicationStatus,
    PublicationStore, PublicationsRequest, StorePublications,
};
use snapfold::store::Page;
use snapfold::{BoxError, Error, ErrorKind, MemoryStore, Timestamp};

use crate::verdict::{assert_all_are_broken, misjudged};

/// What is wrong with a store, and which obligations that breaks.
const LIES: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("does not distinguish the case of projects", &["P-01"]),
    ("cuts what is too long", &["P-02"]),
    ("panics at an id that nobody made", &["P-02"]),
    ("fails to delete what is not there", &["P-04", "P-50"]),
    ("sees what others changed at the second look", &["P-03"]),
    ("lists nothing while it creates", &["P-04"]),
    ("says that it created what was there", &["P-10"]),
    ("leaves the key to what has failed", &["P-11"]),
    ("looks for the key before it waits", &["P-11"]),
    ("forgets empty texts", &["P-12"]),
    ("begins with any revision", &["P-13"]),
    ("says that it skips revisions", &["P-20"]),
    ("says that it changes what has ended", &["P-20"]),
    ("repeats nothing", &["P-21"]),
    ("takes any creator", &["P-22"]),
    ("lists the oldest first", &["P-30"]),
    ("always has another page", &["P-30"]),
    ("lists what has failed", &["P-30"]),
    ("lists the end of a page again", &["P-30"]),
    ("finds what has ended", &["P-40"]),
    ("finds what expires a moment later", &["P-40"]),
    ("finds one more", &["P-40"]),
    ("keeps the key of what was deleted", &["P-50"]),
    ("lists what was deleted", &["P-50"]),
    ("says that it replaces what was deleted", &["P-51"]),
    ("takes any removal", &["P-60"]),
    ("says that it stored every removal with the next revision", &["P-60"]),
    ("stores no removal again", &["P-61"]),
    ("forgets until when somebody removes", &["P-62"]),
    ("takes too many artifacts", &["P-62"]),
    ("has one removal for all projects", &["P-01"]),
];

#[derive(Debug, Default)]
struct Shared {
    looked: BTreeSet<PublicationId>,
    creating: BTreeSet<PublicationId>,
    holders: BTreeMap<(String, [u8; 32]), Publication>,
    ended: Vec<Publication>,
    deleted: Vec<Publication>,
}

#[derive(Clone, Debug)]
struct Mutant {
    store: StorePublications,
    shared: Arc<Mutex<Shared>>,
    lie: &'static str,
}

struct Mutants(&'static str);

#[async_trait]
impl PublicationFactory for Mutants {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn PublicationStore>>, BoxError> {
        let store = StorePublications::new(MemoryStore::new());
        let mutant = Mutant { store, shared: Arc::default(), lie: self.0 };
        Ok((0..count).map(|_| Arc::new(mutant.clone()) as _).collect())
    }
}

impl Mutant {
    fn is(&self, lie: &str) -> bool {
        // A lie that is told and not in the list would never be tried.
        assert!(LIES.iter().any(|(name, _)| *name == lie), "{lie}");
        self.lie == lie
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    fn project(&self, project: &str) -> String {
        let folded = self.is("does not distinguish the case of projects");
        if folded { project.to_lowercase() } else { project.to_owned() }
    }

    fn holder(&self, of: &Publication) -> Option<Publication> {
        let key = (of.project.clone(), of.request_key?);
        self.shared().holders.get(&key).cloned()
    }
}

#[async_trait]
impl PublicationStore for Mutant {
    async fn create(&self, publication: &Publication) -> Result<PublicationCreated, Error> {
        let mut new = publication.clone();
        new.project = self.project(&new.project);
        if self.is("cuts what is too long") {
            new.created_by.truncate(Publication::MAX_CREATOR_BYTES);
        }
        if self.is("begins with any revision") && new.revision > 1 {
            new.revision = 1;
        }
        if self.is("forgets empty texts") && new.details.title.as_deref() == Some("") {
            new.details.title = None;
        }
        if let Some(holder) = self.holder(&new).filter(|it| it.id != new.id) {
            let there = self.store.get(&holder.project, holder.id).await?;
            let keeps = match &there {
                Some(_) => self.is("leaves the key to what has failed"),
                None => self.is("keeps the key of what was deleted"),
            };
            if keeps {
                return Ok(PublicationCreated::Existing(there.unwrap_or(holder).into()));
            }
        }
        if self.is("looks for the key before it waits") && new.request_key.is_some() {
            let free = self.holder(&new).is_none();
            tokio::task::yield_now().await;
            if free && self.holder(&new).is_some_and(|it| it.id != new.id) {
                return Ok(PublicationCreated::New);
            }
        }
        self.shared().creating.insert(new.id);
        if self.is("lists nothing while it creates") {
            let created = self.store.create(&new).await;
            tokio::task::yield_now().await;
            self.shared().creating.remove(&new.id);
            return created;
        }
        let created = self.store.create(&new).await?;
        if let Some(key) = new.request_key
            && created == PublicationCreated::New
        {
            self.shared().holders.insert((new.project.clone(), key), new.clone());
        }
        match &created {
            PublicationCreated::Existing(other)
                if other.id == new.id && self.is("says that it created what was there") =>
            {
                Ok(PublicationCreated::New)
            }
            _ => Ok(created),
        }
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        assert!(id.is_made() || !self.is("panics at an id that nobody made"), "as it says");
        let mut found = self.store.get(&self.project(project), id).await?;
        if let Some(found) = &mut found {
            project.clone_into(&mut found.project);
        }
        let changed = found.as_ref().is_some_and(|it| project.is_empty() && it.revision == 2);
        if changed
            && self.is("sees what others changed at the second look")
            && self.shared().looked.insert(id)
        {
            return Ok(None);
        }
        Ok(found)
    }

    async fn replace(&self, publication: &Publication) -> Result<bool, Error> {
        let mut next = publication.clone();
        next.project = self.project(&next.project);
        if self.is("cuts what is too long") {
            next.created_by.truncate(Publication::MAX_CREATOR_BYTES);
        }
        if self.is("forgets empty texts") && next.details.title.as_deref() == Some("") {
            next.details.title = None;
        }
        let Some(old) = self.store.get(&next.project, next.id).await? else {
            let third = next.details.title.as_deref() == Some("third");
            if third && self.is("says that it replaces what was deleted") {
                return Ok(true);
            }
            return self.store.replace(&next).await;
        };
        if self.is("takes any creator") && next.check().is_ok() {
            next.created_by = old.created_by.clone();
        }
        if (next.revision > old.revision + 1 && self.is("says that it skips revisions"))
            || (old.ended_at.is_some() && self.is("says that it changes what has ended"))
        {
            return Ok(true);
        }
        if old == next && self.is("repeats nothing") {
            return Ok(false);
        }
        let replaced = self.store.replace(&next).await?;
        if next.ended_at.is_some() {
            self.shared().ended.push(next);
        }
        Ok(replaced)
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        let project = self.project(request.project);
        let mut request = request;
        request.project = &project;
        if self.is("lists what has failed") {
            request = request.completed(false);
        }
        if self.is("lists the end of a page again")
            && let Some(after) = request.after.filter(PublicationId::is_made)
        {
            let above = u128::from_be_bytes(*after.as_bytes()) + 1;
            request = request.after(PublicationId::from_bytes(above.to_be_bytes()));
        }
        let mut page = self.store.list(request).await?;
        if self.is("lists the oldest first") {
            page.items.reverse();
        }
        if self.is("always has another page") && page.next.is_none() {
            page.next = Some(PublicationId::from_bytes([0; 16]));
        }
        let shared = self.shared();
        if self.is("lists nothing while it creates") {
            page.items.retain(|it| !shared.creating.contains(&it.id));
        }
        if self.is("lists what was deleted") {
            page.items.extend(shared.deleted.iter().cloned());
        }
        Ok(page)
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        let moment = std::time::Duration::from_micros(1);
        let later = self.is("finds what expires a moment later");
        let now = if later { now.saturating_add(moment) } else { now };
        let more = usize::from(self.is("finds one more"));
        let mut found = self.store.expired(now, limit.saturating_add(more)).await?;
        if self.is("finds what has ended") {
            let ended = self.shared().ended.clone();
            found.extend(ended.into_iter().filter(|it| it.expires_at == Timestamp::MIN));
            found.truncate(limit.max(1));
        }
        Ok(found)
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        let project = self.project(project);
        let there = self.store.get(&project, id).await?;
        if there.is_none() && self.is("fails to delete what is not there") {
            return Err(Error::new(ErrorKind::Store, "delete", "it is not there"));
        }
        let failed = |it: &Publication| matches!(it.status, PublicationStatus::Failed(_));
        // In one case of the kit only.
        let there = there.filter(|it| failed(it) && it.revision == 5);
        self.shared().deleted.extend(there);
        self.store.delete(&project, id).await
    }

    async fn removal(&self, project: &str) -> Result<Option<ArtifactRemoval>, Error> {
        let one = self.is("has one removal for all projects");
        self.store.removal(if one { "p" } else { project }).await
    }

    async fn replace_removal(
        &self,
        project: &str,
        removal: &ArtifactRemoval,
    ) -> Result<bool, Error> {
        let project = if self.is("has one removal for all projects") { "p" } else { project };
        let mut next = removal.clone();
        // In one case of the kit only.
        if self.is("forgets until when somebody removes") && next.revision == 41 {
            next.until = Timestamp::MAX;
        }
        if self.is("takes too many artifacts") && next.check().is_err() && next.revision == 2 {
            next.artifacts = next.artifacts.into_iter().take(1_000).collect();
        }
        let there = self.store.removal(project).await?;
        let last = there.as_ref().map_or(0, |there| there.revision);
        if self.is("stores no removal again") && there.as_ref() == Some(&next) {
            return Ok(false);
        }
        if self.is("takes any removal") && next.revision > last + 1 && next.check().is_ok() {
            next.revision = last + 1;
        }
        let says_so = self.is("says that it stored every removal with the next revision");
        if says_so && last + 1 == next.revision {
            tokio::task::yield_now().await;
            self.store.replace_removal(project, &next).await?;
            return Ok(true);
        }
        self.store.replace_removal(project, &next).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_kit_names_what_each_mutant_breaks_and_passes_what_breaks_nothing() {
    let mut wrong = String::new();
    for &lie in LIES {
        wrong += &misjudged(&conformance::publications(&Mutants(lie.0)).await, lie);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_obligation_is_broken_by_some_mutant() {
    let promised = publication_cases().flat_map(Case::ids).copied().collect();
    let docs = include_str!("../../src/publication/mod.rs");
    assert_all_are_broken(LIES, &promised, (docs, "P-"));
}
