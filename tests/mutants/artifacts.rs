//! The kit for artifact stores can fail. Each mutant is a store that keeps every obligation but the
//! ones named beside it, and the kit has to report just those; one it lets pass would let a real store
//! show content that nobody checked, or one tenant the artifacts of another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use snapfold::artifact::{
    Artifact, ArtifactCapabilities, ArtifactCheck, ArtifactContent, ArtifactId, ArtifactOutcome,
    ArtifactStore, FoundArtifact, ListedArtifact, MemoryArtifacts, SignedDownload, SignedUpload,
    Upload, in_one_piece,
};
use snapfold::conformance::{self, ArtifactFactory, ArtifactSite, Case, artifact_cases};
use snapfold::store::Page;
use snapfold::{BoxError, Error, ErrorKind, Timestamp};

use crate::verdict::{assert_all_are_broken, misjudged};

/// What is wrong with a store, and which obligations that breaks.
const LIES: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("does not distinguish the case of tenants", &["A-01"]),
    ("tells what others have", &["A-01"]),
    ("serves downloads of every tenant", &["A-01"]),
    ("fails to delete what is not there", &["A-02"]),
    ("panics at an empty page", &["A-02"]),
    ("signs nothing and says nothing", &["A-02"]),
    ("takes any content type", &["A-03"]),
    ("signs URLs that are never valid", &["A-03"]),
    ("cannot have long tenants", &["A-03"]),
    ("sees what others put at the second look", &["A-04"]),
    ("forgets what it stored when it is opened again", &["A-04"]),
    ("is stuck after a dropped put", &["A-05"]),
    ("shows content before it was checked", &["A-06"]),
    ("copies an upload that it has checked", &["A-06"]),
    ("changes its capabilities", &["A-07"]),
    ("believes the hash", &["A-10"]),
    ("believes the size", &["A-10"]),
    ("takes the type of the last put", &["A-11"]),
    ("says that it stored what was there", &["A-11"]),
    ("stores what came before an error", &["A-12"]),
    ("hides the error of the content", &["A-12"]),
    ("reads to the end", &["A-13"]),
    ("forgets a content type", &["A-20"]),
    ("loses a byte", &["A-21"]),
    ("fails beyond the end", &["A-22"]),
    ("counts the last byte of a range twice", &["A-22"]),
    ("lists what was deleted", &["A-30"]),
    ("deletes at the second call", &["A-30"]),
    ("lists the latest first", &["A-40"]),
    ("always has another page", &["A-40"]),
    ("lists the cursor again", &["A-40"]),
    ("has no sizes in lists", &["A-40"]),
    ("shows uploads", &["A-50"]),
    ("signs uploads for longer", &["A-50"]),
    ("signs downloads for longer", &["A-80"]),
    ("has one upload of each artifact", &["A-51"]),
    ("finishes once", &["A-60"]),
    ("takes an upload away before it is stored", &["A-05", "A-60"]),
    ("stores no small upload", &["A-61"]),
    ("calls a wrong upload too short", &["A-61"]),
    ("keeps wrong uploads", &["A-62"]),
    ("keeps uploads of what is stored", &["A-62"]),
    ("sweeps what is young", &["A-70"]),
    ("sweeps artifacts", &["A-70"]),
    ("does not count what it sweeps", &["A-70"]),
    ("serves another artifact", &["A-80"]),
];

type Place = (String, String, ArtifactId);

/// What all nodes of a site share.
#[derive(Debug, Default)]
struct Shared {
    uploads: Mutex<BTreeMap<Place, (Bytes, Timestamp)>>,
    /// Content that is shown without having been checked.
    forged: Mutex<BTreeMap<(String, ArtifactId), Bytes>>,
    types: Mutex<BTreeMap<ArtifactId, String>>,
    deleted: Mutex<BTreeSet<ArtifactId>>,
    opened: AtomicUsize,
    stuck: AtomicBool,
}

#[derive(Clone, Debug)]
struct Mutant {
    store: MemoryArtifacts,
    shared: Arc<Shared>,
    lie: &'static str,
    /// What this node has put or looked for.
    known: Arc<Mutex<BTreeSet<ArtifactId>>>,
    node: usize,
    calls: Arc<AtomicUsize>,
}

struct Mutants(&'static str);

struct Home(Mutant);

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Mutant {
    fn is(&self, lie: &str) -> bool {
        // A lie that is told and not in the list would never be tried.
        assert!(LIES.iter().any(|(name, _)| *name == lie), "{lie}");
        self.lie == lie
    }

    fn tenant(&self, tenant: &str) -> String {
        let folded = self.is("does not distinguish the case of tenants");
        if folded { tenant.to_lowercase() } else { tenant.to_owned() }
    }

    fn place(&self, upload: Upload<'_>) -> Place {
        let one = self.is("has one upload of each artifact") && upload.tenant == "t";
        let name = if one { "one" } else { upload.name };
        (upload.tenant.to_owned(), name.to_owned(), upload.artifact.id)
    }

    fn arrived(&self, place: &Place) -> Option<Bytes> {
        self.shared.uploads.lock().unwrap().get(place).map(|(content, _)| content.clone())
    }

    fn forged(&self, tenant: &str, id: &ArtifactId) -> Option<Bytes> {
        self.shared.forged.lock().unwrap().get(&(tenant.to_owned(), *id)).cloned()
    }

    fn forge(&self, tenant: &str, id: ArtifactId, content: Bytes) {
        self.shared.forged.lock().unwrap().insert((tenant.to_owned(), id), content);
    }

    /// Reads all content, however it is, and puts it as it is.
    async fn put_as(&self, tenant: &str, artifact: &Artifact, content: Bytes) {
        let other = Artifact::of(&content);
        if other.id == artifact.id {
            self.store.put(tenant, artifact, in_one_piece(content)).await.unwrap();
        } else {
            self.forge(tenant, artifact.id, content);
        }
    }

    async fn is_stored(&self, tenant: &str, id: &ArtifactId) -> bool {
        self.store.head(tenant, id).await.is_ok_and(|found| found.is_some())
    }
}

#[async_trait]
impl ArtifactFactory for Mutants {
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
        Ok(Arc::new(Home(Mutant {
            store: MemoryArtifacts::new(),
            shared: Arc::default(),
            lie: self.0,
            known: Arc::default(),
            node: 0,
            calls: Arc::default(),
        })))
    }
}

#[async_trait]
impl ArtifactSite for Home {
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
        let mut node = self.0.clone();
        node.known = Arc::default();
        node.node = node.shared.opened.fetch_add(1, Ordering::SeqCst);
        if node.node >= 4 && node.is("forgets what it stored when it is opened again") {
            node.store = MemoryArtifacts::new();
        }
        Ok(Arc::new(node))
    }

    async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
        // The names may contain anything, so the URL has their digits.
        let parts: Vec<_> = upload.url.split('/').collect();
        let text = |digits: &str| String::from_utf8(unhex(digits)).unwrap();
        let place = (text(parts[1]), text(parts[2]), parts[3].parse()?);
        self.0.shared.uploads.lock().unwrap().insert(place, (content, now()));
        Ok(true)
    }

    async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
        if self.0.is("serves downloads of every tenant")
            && self.0.store.serve(&download.url).is_none()
        {
            return Ok(Some(Bytes::from_static(b"of another tenant")));
        }
        let served = self.0.store.serve(&download.url);
        let other = served.is_some() && self.0.is("serves another artifact");
        Ok(if other { Some(Bytes::from_static(b"another")) } else { served })
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[async_trait]
impl ArtifactStore for Mutant {
    fn capabilities(&self) -> ArtifactCapabilities {
        let odd = self.calls.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        let changed = odd && self.is("changes its capabilities");
        // Small, so that the kit is fast.
        let capabilities = ArtifactCapabilities::new("mutant").durable(true);
        let signs = !self.is("signs nothing and says nothing");
        let capabilities = capabilities.signs_uploads(signs).signs_downloads(signs);
        capabilities.max_bytes(1_000_000 + u64::from(changed)).max_tenant_bytes(300)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        let owned = self.tenant(tenant);
        let (tenant, mut artifact, mut content) = (&*owned, artifact.clone(), content);
        if artifact.size > 1_000_000 {
            return Err(Error::new(ErrorKind::InvalidInput, "put", "too large"));
        }
        if self.is("cannot have long tenants") && tenant.len() > 200 {
            return Err(Error::new(ErrorKind::InvalidInput, "put", "the tenant is too long"));
        }
        if self.is("takes any content type") && artifact.check().is_err() {
            artifact = artifact.content_type("any");
        }
        artifact.check()?;
        self.known.lock().unwrap().insert(artifact.id);
        if self.is("tells what others have") && !self.is_stored(tenant, &artifact.id).await {
            for other in ["", "a"] {
                if tenant == "a/b" && self.is_stored(other, &artifact.id).await {
                    return Ok(ArtifactOutcome::Existing);
                }
            }
        }
        if self.is_stored(tenant, &artifact.id).await {
            if self.is("takes the type of the last put") {
                let types = (artifact.id, artifact.content_type.clone());
                self.shared.types.lock().unwrap().extend([types]);
            }
            if self.is("says that it stored what was there") {
                return Ok(ArtifactOutcome::Stored);
            }
        }
        if artifact.size == 2_000 && self.is("is stuck after a dropped put") {
            if self.shared.stuck.swap(true, Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Locked, "put", "it is stuck"));
            }
            let outcome = self.store.put(tenant, &artifact, content).await;
            self.shared.stuck.store(false, Ordering::SeqCst);
            return outcome;
        }
        if artifact.size == 3_000 && self.is("shows content before it was checked") {
            let whole = content.try_collect::<Vec<_>>().await?.concat();
            self.forge(tenant, artifact.id, whole.clone().into());
            tokio::task::yield_now().await;
            let outcome = self.store.put(tenant, &artifact, in_one_piece(whole)).await;
            self.shared.forged.lock().unwrap().clear();
            return outcome;
        }
        let known_size = artifact.size == 1_000;
        if known_size && (self.is("believes the hash") || self.is("believes the size")) {
            let whole = content.try_collect::<Vec<_>>().await?.concat();
            let same_size = whole.len() as u64 == artifact.size;
            let believed = same_size == self.is("believes the hash");
            if believed && Artifact::of(&whole).id != artifact.id {
                return Ok(ArtifactOutcome::Stored);
            }
            content = in_one_piece(whole);
        }
        let early = self.is("stores what came before an error");
        if known_size && (early || self.is("hides the error of the content")) {
            let mut whole = Vec::new();
            while let Some(piece) = content.next().await {
                match piece {
                    Ok(piece) => whole.extend_from_slice(&piece),
                    Err(error) if early => {
                        self.store.put(tenant, &artifact, in_one_piece(whole)).await?;
                        return Err(error);
                    }
                    Err(_) => return Err(Error::new(ErrorKind::Store, "put", "it failed")),
                }
            }
            content = in_one_piece(whole);
        }
        if self.is("reads to the end") {
            let mut check = ArtifactCheck::of(&artifact);
            let mut whole = Vec::new();
            let mut fits = true;
            while let Some(piece) = content.next().await {
                let piece = piece?;
                fits &= check.update(&piece);
                if fits {
                    whole.extend_from_slice(&piece);
                }
            }
            if !fits {
                return Ok(check.finish().unwrap_err());
            }
            content = in_one_piece(whole);
        }
        self.store.put(tenant, &artifact, content).await
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        let tenant = &*self.tenant(tenant);
        let mut found = self.store.head(tenant, id).await?;
        if let Some(found) = &mut found {
            if found.content_type == "x" && self.is("forgets a content type") {
                Artifact::UNKNOWN_TYPE.clone_into(&mut found.content_type);
            }
            if let Some(other) = self.shared.types.lock().unwrap().get(id) {
                other.clone_into(&mut found.content_type);
            }
        }
        if self.is("shows uploads") && found.is_none() {
            let uploads = self.shared.uploads.lock().unwrap();
            let mut own = uploads.iter().filter(|((of, _, what), _)| of == tenant && what == id);
            found = own.next().map(|(_, (content, _))| Artifact::new(*id, content.len() as u64));
        }
        Ok(found)
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        let tenant = &*self.tenant(tenant);
        if let Some(content) = self.forged(tenant, id) {
            let size = content.len() as u64;
            let artifact = Artifact::new(*id, size);
            return Ok(Some(FoundArtifact::new(artifact, 0..size, in_one_piece(content))));
        }
        let late = self.is("sees what others put at the second look");
        if late && tenant.is_empty() && self.known.lock().unwrap().insert(*id) {
            return Ok(None);
        }
        let Some(mut found) = self.store.get(tenant, id, range.clone()).await? else {
            return Ok(None);
        };
        let size = found.artifact.size;
        if let Some(range) = range {
            if range.start > size && self.is("fails beyond the end") {
                return Err(Error::new(ErrorKind::Store, "get", "the range is beyond the end"));
            }
            let longer = range.end < size && range.start < range.end;
            if longer && self.is("counts the last byte of a range twice") {
                return self.store.get(tenant, id, Some(range.start..range.end + 1)).await;
            }
        } else if size == 65_536 && self.is("loses a byte") {
            let bytes = found.bytes(65_536).await?.unwrap().slice(1..);
            found = self.store.get(tenant, id, None).await?.unwrap();
            found.content = in_one_piece(bytes);
        }
        if found.artifact.content_type == "x" && self.is("forgets a content type") {
            found.artifact = found.artifact.content_type(Artifact::UNKNOWN_TYPE);
        }
        Ok(Some(found))
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        let tenant = &*self.tenant(tenant);
        let stored = self.is_stored(tenant, id).await;
        if !stored && tenant.is_empty() && self.is("fails to delete what is not there") {
            return Err(Error::new(ErrorKind::Store, "delete", "there is nothing"));
        }
        if stored && self.is("deletes at the second call") {
            let mut deleted = self.shared.deleted.lock().unwrap();
            if deleted.insert(*id) {
                return Ok(());
            }
        }
        if stored && self.is("lists what was deleted") {
            self.shared.deleted.lock().unwrap().insert(*id);
        }
        self.store.delete(tenant, id).await
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        let tenant = &*self.tenant(tenant);
        let mut page = self.store.list(tenant, after, limit).await?;
        assert!(!page.items.is_empty() || !self.is("panics at an empty page"), "as it says");
        if self.is("lists the latest first") && limit == 1_000 {
            page.items.reverse();
        }
        if self.is("always has another page") && page.next.is_none() && limit == 23 {
            page.next = page.items.last().map(|last| last.id);
        }
        if self.is("lists the cursor again")
            && let Some(after) = after
            && self.is_stored(tenant, after).await
        {
            page.items.insert(0, ListedArtifact::new(*after, 0, now()));
        }
        if self.is("has no sizes in lists") {
            for item in &mut page.items {
                item.size = 0;
            }
        }
        if self.is("lists what was deleted") && limit == 100 {
            let deleted = self.shared.deleted.lock().unwrap();
            page.items.extend(deleted.iter().map(|id| ListedArtifact::new(*id, 0, now())));
        }
        Ok(page)
    }

    async fn upload(&self, upload: Upload<'_>, valid_for: Duration) -> Result<SignedUpload, Error> {
        upload.check()?;
        if !self.is("signs URLs that are never valid") {
            Upload::check_validity(valid_for)?;
        }
        if upload.artifact.size > 1_000_000 || upload.tenant.len() > 65_535 {
            return Err(Error::new(ErrorKind::InvalidInput, "sign", "too large"));
        }
        let (tenant, name, id) = self.place(upload);
        let url = format!("mutant:/{}/{}/{id}", hex(&tenant), hex(&name));
        let longer = if self.is("signs uploads for longer") { 5 } else { 1 };
        let valid_for = valid_for.min(Upload::MAX_VALIDITY) * longer;
        Ok(SignedUpload::new(url, now().saturating_add(valid_for)))
    }

    async fn finish(&self, upload: Upload<'_>) -> Result<ArtifactOutcome, Error> {
        upload.check()?;
        let (artifact, place) = (upload.artifact, self.place(upload));
        let remove = || self.shared.uploads.lock().unwrap().remove(&place);
        if self.is_stored(upload.tenant, &artifact.id).await {
            if !self.is("keeps uploads of what is stored") {
                remove();
            }
            let once = self.is("finishes once") && upload.name == "u";
            let again = once && !self.shared.deleted.lock().unwrap().insert(artifact.id);
            return Ok(if again { ArtifactOutcome::Missing } else { ArtifactOutcome::Existing });
        }
        let Some(content) = self.arrived(&place) else {
            return Ok(if self.is_stored(upload.tenant, &artifact.id).await {
                ArtifactOutcome::Existing
            } else {
                ArtifactOutcome::Missing
            });
        };
        let mut check = ArtifactCheck::of(artifact);
        check.update(&content);
        let outcome = match check.finish() {
            Err(_) if self.is("calls a wrong upload too short") && artifact.size == 1_000 => {
                ArtifactOutcome::WrongSize { found: 0 }
            }
            Err(wrong) => wrong,
            Ok(()) if self.is("stores no small upload") && artifact.size == 1 => {
                ArtifactOutcome::Stored
            }
            Ok(()) if self.is("copies an upload that it has checked") => {
                tokio::task::yield_now().await;
                match self.arrived(&place) {
                    Some(content) => {
                        self.put_as(upload.tenant, artifact, content).await;
                        ArtifactOutcome::Stored
                    }
                    None if self.is_stored(upload.tenant, &artifact.id).await => {
                        ArtifactOutcome::Existing
                    }
                    None => ArtifactOutcome::Missing,
                }
            }
            Ok(()) if self.is("takes an upload away before it is stored") => {
                remove();
                tokio::task::yield_now().await;
                self.store.put(upload.tenant, artifact, in_one_piece(content)).await?
            }
            Ok(()) => self.store.put(upload.tenant, artifact, in_one_piece(content)).await?,
        };
        if outcome.is_stored() || !self.is("keeps wrong uploads") {
            remove();
        }
        Ok(outcome)
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, Error> {
        if self.is("sweeps artifacts") {
            for item in self.store.list("t", None, 1_000).await?.items {
                self.store.delete("t", &item.id).await?;
            }
        }
        let young = self.is("sweeps what is young");
        let mut uploads = self.shared.uploads.lock().unwrap();
        let all = uploads.len();
        uploads.retain(|_, (_, at)| *at >= before && !young);
        let swept = (all - uploads.len()) as u64;
        Ok(if self.is("does not count what it sweeps") { 0 } else { swept })
    }

    async fn download(
        &self,
        tenant: &str,
        id: &ArtifactId,
        valid_for: Duration,
        file_name: Option<&str>,
    ) -> Result<SignedDownload, Error> {
        let mut signed = self.store.download(tenant, id, valid_for, file_name).await?;
        if self.is("signs downloads for longer") {
            signed.expires_at = Some(now().saturating_add(valid_for * 5));
        }
        Ok(signed)
    }
}

#[tokio::test(start_paused = true)]
async fn the_kit_names_what_each_mutant_breaks_and_passes_what_breaks_nothing() {
    let mut wrong = String::new();
    for &lie in LIES {
        wrong += &misjudged(&conformance::artifacts(&Mutants(lie.0)).await, lie);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_obligation_is_broken_by_some_mutant() {
    let promised = artifact_cases().flat_map(Case::ids).copied().collect();
    let docs = include_str!("../../src/artifact/mod.rs");
    assert_all_are_broken(LIES, &promised, (docs, "A-"));
}
