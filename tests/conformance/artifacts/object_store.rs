//! Artifacts in an object store: on servers that check everything, and on those that check nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::object_store::memory::InMemory;
use ::object_store::path::Path;
use ::object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use snapfold::artifact::{
    Artifact, ArtifactOutcome, ArtifactStore, SignedDownload, SignedUpload, Upload, in_one_piece,
};
use snapfold::conformance::{self, ArtifactFactory, ArtifactSite};
use snapfold::engine::ManualClock;
use snapfold::object_store::{ObjectStoreArtifacts, ObjectUrl, ObjectUrlRules, ObjectUrlSigner};
use snapfold::{BoxError, ErrorKind, Timestamp};

use super::server::{Effect, Server};

/// URLs that name the object, and all that was to be signed.
#[derive(Debug)]
struct PlainSigner;

#[async_trait]
impl ObjectUrlSigner for PlainSigner {
    async fn sign(&self, url: ObjectUrl<'_>) -> Result<String, BoxError> {
        let signed = format!("{} {:?} {:?}", url.valid_for.as_secs(), url.query, url.headers);
        Ok(format!("object:{}?{} {signed}", url.path, url.method))
    }
}

fn path(url: &str) -> Result<Path, BoxError> {
    let path = url.strip_prefix("object:").and_then(|url| url.split_once('?')).ok_or("a URL")?.0;
    Ok(Path::parse(path)?)
}

/// A bucket, and whether its server lets a URL be used twice.
struct Bucket {
    server: Arc<Server>,
    checks: bool,
}

struct Buckets {
    checks: bool,
}

fn artifacts(server: &Arc<Server>) -> ObjectStoreArtifacts {
    let server: Arc<dyn ObjectStore> = Arc::clone(server) as _;
    let store = ObjectStoreArtifacts::new(server, "root/of it").unwrap();
    store.part_bytes(64 << 10).signer(Arc::new(PlainSigner), ObjectUrlRules::S3)
}

#[async_trait]
impl ArtifactFactory for Buckets {
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
        Ok(Arc::new(Bucket { server: Server::new(), checks: self.checks }))
    }
}

#[async_trait]
impl ArtifactSite for Bucket {
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
        Ok(Arc::new(artifacts(&self.server)))
    }

    async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
        let mode = if self.checks { PutMode::Create } else { PutMode::Overwrite };
        let options = PutOptions { mode, ..PutOptions::default() };
        Ok(self.server.put_opts(&path(&upload.url)?, content.into(), options).await.is_ok())
    }

    async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
        match self.server.get(&path(&download.url)?).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(::object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

async fn conforms(checks: bool) {
    let card = conformance::artifacts(&Buckets { checks }).await.into_result().unwrap();
    assert_eq!(card.skipped().count(), 0, "{card}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_checks_conditions_keeps_every_obligation() {
    conforms(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ignores_conditions_keeps_every_obligation() {
    conforms(false).await;
}

fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>().into()
}

const MINUTE: Duration = Duration::from_secs(60);
/// A part and a bit: it is sent in two parts.
const LARGE: usize = (64 << 10) + 5;

/// A store, and a server with an upload of this content.
async fn uploaded(artifact: &Artifact, sent: Bytes) -> (ObjectStoreArtifacts, Arc<Server>, Path) {
    let server = Server::new();
    let store = artifacts(&server);
    let signed = store.upload(Upload::new("t", "u", artifact), MINUTE).await.unwrap();
    let at = path(&signed.url).unwrap();
    server.put(&at, sent.into()).await.unwrap();
    server.requests();
    (store, server, at)
}

#[tokio::test]
async fn an_upload_that_is_replaced_after_it_was_read_is_stored_as_it_was_read() {
    for bytes in [100, LARGE] {
        let right = content(bytes);
        let artifact = Artifact::of(&right);
        for instant in ["PUT a", "POST a", "COPY a", "HEAD a", "GET u"] {
            let (store, server, at) = uploaded(&artifact, right.clone()).await;
            let wrong = Bytes::from(vec![7; bytes]);
            server.on(move |request| {
                (request == instant).then(|| Effect::Meddled(at.clone(), wrong.clone()))
            });
            let outcome = store.finish(Upload::new("t", "u", &artifact)).await.unwrap();
            let found = store.get("t", &artifact.id, None).await.unwrap();
            assert_eq!(found.is_some(), outcome.is_stored(), "{instant}");
            if let Some(found) = found {
                assert_eq!(found.bytes(bytes).await.unwrap().unwrap(), right, "{instant}");
            }
        }
    }
}

#[tokio::test]
async fn each_call_makes_the_requests_in_the_docs() {
    for bytes in [100, LARGE] {
        let right = content(bytes);
        let artifact = Artifact::of(&right);
        let upload = Upload::new("t", "u", &artifact);
        let (store, server, _) = uploaded(&artifact, right.clone()).await;
        let write: &[&str] =
            if bytes < LARGE { &["PUT a"] } else { &["POST a", "PART", "PART", "COMPLETE"] };
        assert_eq!(store.finish(upload).await.unwrap(), ArtifactOutcome::Stored);
        let expected = [&["HEAD a", "GET u"], write, &["DELETE"]].concat();
        assert_eq!(server.requests(), expected);
        assert_eq!(store.finish(upload).await.unwrap(), ArtifactOutcome::Existing);
        assert_eq!(server.requests(), ["HEAD a", "DELETE"]);
        store.delete("t", &artifact.id).await.unwrap();
        assert_eq!(server.requests(), ["DELETE"]);
        assert_eq!(store.finish(upload).await.unwrap(), ArtifactOutcome::Missing);
        assert_eq!(server.requests(), ["HEAD a", "GET u", "HEAD a"]);
        let put = store.put("t", &artifact, in_one_piece(right.clone())).await.unwrap();
        assert_eq!(put, ArtifactOutcome::Stored);
        assert_eq!(server.requests(), [&["HEAD a"], write].concat());
        store.put("t", &artifact, in_one_piece(right)).await.unwrap();
        assert_eq!(server.requests(), ["HEAD a"]);
        let end = bytes as u64;
        for (range, expected) in [
            (None, vec!["GET a"]),
            (Some(1..5), vec!["GET a"]),
            (Some(1..u64::MAX), vec!["GET a"]),
            (Some(5..5), vec!["HEAD a"]),
            (Some(end..end + 1), vec!["GET a", "HEAD a"]),
        ] {
            store.get("t", &artifact.id, range).await.unwrap().unwrap();
            assert_eq!(server.requests(), expected);
        }
        store.list("t", None, 5).await.unwrap();
        store.sweep(Timestamp::MAX).await.unwrap();
        assert_eq!(server.requests(), ["LIST", "LIST"]);
        store.upload(upload, MINUTE).await.unwrap();
        store.download("t", &artifact.id, MINUTE, None).await.unwrap();
        assert_eq!(server.requests(), [""; 0]);
    }
}

#[tokio::test]
async fn wrong_content_leaves_no_parts_behind() {
    let (right, server) = (content(LARGE), Server::new());
    let (store, artifact) = (artifacts(&server), Artifact::of(&right));
    for (wrong, end) in [(right.slice(1..), "ABORT"), (content(LARGE + 1), "ABORT")] {
        let outcome = store.put("t", &artifact, in_one_piece(wrong)).await.unwrap();
        assert!(matches!(outcome, ArtifactOutcome::WrongSize { .. }), "{outcome:?}");
        assert_eq!(server.requests().last().unwrap(), end);
    }
    let outcome = store.put("t", &artifact, in_one_piece(vec![0; LARGE])).await.unwrap();
    assert!(matches!(outcome, ArtifactOutcome::WrongHash { .. }), "{outcome:?}");
    assert_eq!(server.requests().last().unwrap(), "ABORT");
}

/// A request that fails, with or without having done its work, at most once.
fn fails_once(server: &Server, at: &'static str, effect: Effect) {
    let left = AtomicUsize::new(1);
    server.on(move |request| {
        let hit = request == at && left.swap(0, Ordering::SeqCst) == 1;
        hit.then(|| effect.clone())
    });
}

#[tokio::test]
async fn a_call_that_fails_at_any_request_can_be_repeated() {
    for bytes in [100, LARGE] {
        let right = content(bytes);
        let artifact = Artifact::of(&right);
        for request in ["HEAD a", "GET u", "PUT a", "POST a", "COMPLETE"] {
            for effect in [Effect::Refused, Effect::Unacknowledged] {
                let (store, server, _) = uploaded(&artifact, right.clone()).await;
                fails_once(&server, request, effect);
                let upload = Upload::new("t", "u", &artifact);
                if let Err(error) = store.finish(upload).await {
                    assert!(error.is_retryable(), "{request}: {error}");
                    let again = store.finish(upload).await.unwrap();
                    assert!(again.is_stored(), "{request}");
                }
                let found = store.get("t", &artifact.id, None).await.unwrap().unwrap();
                assert_eq!(found.bytes(bytes).await.unwrap().unwrap(), right);
                let waiting = store.sweep(Timestamp::MAX).await.unwrap();
                assert_eq!(waiting, 0, "{request}");
            }
        }
    }
}

#[tokio::test]
async fn an_outage_is_not_a_missing_artifact() {
    let server = Server::new();
    let store = artifacts(&server);
    server.on(|_| Some(Effect::Refused));
    let artifact = Artifact::of(b"x");
    let errors = [
        store.head("t", &artifact.id).await.err(),
        store.get("t", &artifact.id, None).await.err(),
        store.get("t", &artifact.id, Some(0..5)).await.err(),
        store.put("t", &artifact, in_one_piece("x")).await.err(),
        store.finish(Upload::new("t", "u", &artifact)).await.err(),
    ];
    for error in errors {
        let error = error.expect("the server is out of order");
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn a_list_without_an_order_and_foreign_objects_are_noticed() {
    let server = Server::new();
    let store = artifacts(&server);
    for n in 0..3_u8 {
        store.put("t", &Artifact::of(&[n]), in_one_piece(vec![n])).await.unwrap();
    }
    let foreign = Path::parse("root/of it/a/t/readme.txt").unwrap();
    server.put(&foreign, "x".into()).await.unwrap();
    assert_eq!(store.list("t", None, 9).await.unwrap().items.len(), 3);
    server.lists_backwards.store(true, Ordering::SeqCst);
    assert_eq!(store.list("t", None, 9).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Keeps what it signs.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait]
impl ObjectUrlSigner for Recorder {
    async fn sign(&self, url: ObjectUrl<'_>) -> Result<String, BoxError> {
        if url.path.as_ref().contains("fails") {
            return Err("no credentials".into());
        }
        self.0.lock().unwrap().push(format!("{url:?}"));
        Ok(format!("https://example.com/{}?signature", url.path))
    }
}

#[tokio::test]
async fn urls_are_signed_as_the_server_understands_them() {
    let artifact = Artifact::of(b"abc").content_type("image/png");
    let upload = Upload::new("t", "u", &artifact);
    for (rules, single_use, named) in [
        (ObjectUrlRules::S3, true, true),
        (ObjectUrlRules::Ceph, true, true),
        (ObjectUrlRules::Google, true, true),
        (ObjectUrlRules::Azure, false, false),
    ] {
        let recorder = Arc::new(Recorder::default());
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let store = ObjectStoreArtifacts::new(Arc::new(InMemory::new()), "").unwrap();
        let store = store.signer(Arc::clone(&recorder) as _, rules).clock(Arc::new(clock));
        let signed = store.upload(upload, MINUTE).await.unwrap();
        assert_eq!((signed.method, signed.single_use), ("PUT", single_use));
        assert_eq!(signed.expires_at, Timestamp::from_seconds(1_060));
        assert!(signed.headers.contains(&("content-type", "image/png".to_owned())));
        assert_eq!(signed.url, format!("https://example.com/u/t/u/{}?signature", artifact.id));
        let covered = recorder.0.lock().unwrap().pop().unwrap();
        for (name, _) in &signed.headers {
            assert_eq!(covered.contains(&format!("{name:?}")), single_use, "{name}: {covered}");
        }
        let download = store.download("t", &artifact.id, MINUTE, None).await.unwrap();
        assert_eq!(download.expires_at, Some(Timestamp::from_seconds(1_060)));
        let download = store.download("t", &artifact.id, MINUTE, Some("a.png")).await;
        assert_eq!(download.is_ok(), named, "{rules:?}: {download:?}");
        let failing = store.download("fails", &artifact.id, MINUTE, None).await.unwrap_err();
        assert!(format!("{failing:#}").ends_with("no credentials"), "{failing:#}");
    }
}

#[tokio::test]
async fn a_url_ends_with_a_second_because_whole_seconds_are_signed() {
    let recorder = Arc::new(Recorder::default());
    let clock = ManualClock::at(Timestamp::from_micros(1_000_999_999));
    let store = ObjectStoreArtifacts::new(Arc::new(InMemory::new()), "").unwrap();
    let store = store.signer(Arc::clone(&recorder) as _, ObjectUrlRules::S3).clock(Arc::new(clock));
    let artifact = Artifact::of(b"abc");
    let valid_for = Duration::from_millis(1_999);
    let signed = store.upload(Upload::new("t", "u", &artifact), valid_for).await.unwrap();
    assert_eq!(signed.expires_at, Timestamp::from_seconds(1_001));
    let covered = recorder.0.lock().unwrap().pop().unwrap();
    assert!(covered.contains("valid_for: 1s"), "{covered}");
    let download = store.download("t", &artifact.id, valid_for, None).await.unwrap();
    assert_eq!(download.expires_at, Some(Timestamp::from_seconds(1_001)));
}

#[tokio::test]
async fn public_urls_have_no_end_and_need_no_signer() {
    let store = ObjectStoreArtifacts::new(Arc::new(InMemory::new()), "r").unwrap();
    let artifact = Artifact::of(b"abc");
    let refused = store.download("t", &artifact.id, MINUTE, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let store = store.public_at("https://cdn.example.com/x/");
    assert!(store.capabilities().signs_downloads && !store.capabilities().signs_uploads);
    let download = store.download("a b", &artifact.id, MINUTE, None).await.unwrap();
    let url = format!("https://cdn.example.com/x/r/a/a~20b/{}", artifact.id);
    assert_eq!(download, SignedDownload::new(url, None));
}

#[tokio::test]
async fn a_part_at_a_time_is_in_memory() {
    let server = Server::new();
    let store = artifacts(&server);
    let right = content(20 * (64 << 10));
    let artifact = Artifact::of(&right);
    // How far the content is read before the parts that are sent.
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let pieces: Vec<_> = right.chunks(1_000).map(Bytes::copy_from_slice).collect();
    let watched = Arc::clone(&server);
    let pieces = futures_util::stream::iter(pieces).map(move |piece| {
        let sent = watched.requests().iter().filter(|request| *request == "PART").count();
        let ahead = count.fetch_add(piece.len(), Ordering::SeqCst) + piece.len();
        count.fetch_sub(sent * (64 << 10), Ordering::SeqCst);
        assert!(ahead <= 2 * (64 << 10) + 1_000, "{ahead} bytes in memory");
        Ok(piece)
    });
    let outcome = store.put("t", &artifact, pieces.boxed()).await.unwrap();
    assert_eq!(outcome, ArtifactOutcome::Stored);
    let head = GetOptions { head: true, ..GetOptions::default() };
    let place = Path::parse(format!("root/of it/a/t/{}", artifact.id)).unwrap();
    assert_eq!(server.get_opts(&place, head).await.unwrap().meta.size, artifact.size);
    assert!(read.load(Ordering::SeqCst) <= 64 << 10);
}
