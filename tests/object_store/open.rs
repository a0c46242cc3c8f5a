//! Servers and buckets that are not what they should be.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as ObjectError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::store::{PutOptions as Options, PutOutcome};
use snapfold::{Error, ErrorKind, Retry, SnapshotStore};

use crate::support::unreliable::{Mishap, Unreliable};
use crate::support::{ROOT, get, id, key, names, opened, put, record, run};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    IgnoresIfNoneMatch,
    IgnoresIfMatch,
    /// As Ceph 16 does.
    WantsBareTags,
    RefusesIfMatch,
    HasNoTags,
    HasNoConditions,
    HasNoUpdates,
    AllowsNothing,
    AllowsNoWrites,
    KnowsNobody,
}

/// An object store that has its own manner.
#[derive(Clone)]
struct Server {
    inner: Arc<InMemory>,
    manner: Manner,
}

impl Server {
    fn new(manner: Manner) -> Self {
        Self { inner: Arc::new(InMemory::new()), manner }
    }

    fn refuse(&self, path: &Path) -> Result<()> {
        let (path, source) = (path.to_string(), "403".into());
        match self.manner {
            Manner::AllowsNothing => Err(ObjectError::PermissionDenied { path, source }),
            Manner::KnowsNobody => Err(ObjectError::Unauthenticated { path, source }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ObjectStore for Server {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        self.refuse(path)?;
        let precondition =
            || ObjectError::Precondition { path: path.to_string(), source: "412".into() };
        let missing = |what: &str| ObjectError::NotImplemented {
            operation: what.to_owned(),
            implementer: "server".to_owned(),
        };
        match (self.manner, &mut options.mode) {
            (Manner::AllowsNoWrites, _) => {
                return Err(ObjectError::PermissionDenied {
                    path: path.to_string(),
                    source: "403".into(),
                });
            }
            (Manner::IgnoresIfNoneMatch, mode @ PutMode::Create)
            | (Manner::IgnoresIfMatch, mode @ PutMode::Update(_)) => *mode = PutMode::Overwrite,
            (Manner::RefusesIfMatch, PutMode::Update(_)) => return Err(precondition()),
            (Manner::HasNoConditions, PutMode::Create | PutMode::Update(_)) => {
                return Err(missing("conditions"));
            }
            (Manner::HasNoUpdates, PutMode::Update(_)) => return Err(missing("updates")),
            (Manner::WantsBareTags, PutMode::Update(version)) => {
                let tag = version.e_tag.take().unwrap_or_default();
                if tag.contains('"') {
                    return Err(precondition());
                }
                version.e_tag = Some(format!("\"{tag}\""));
            }
            _ => {}
        }
        let mut put = self.inner.put_opts(path, payload, options).await?;
        if self.manner == Manner::HasNoTags {
            put.e_tag = None;
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.refuse(path)?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

async fn open(
    objects: &(impl ObjectStore + Clone),
) -> std::result::Result<ObjectStoreSnapshots, Error> {
    ObjectStoreSnapshots::open(Arc::new(objects.clone()), ROOT).await
}

#[test]
fn a_server_that_would_lose_snapshots_is_refused_with_the_reason() {
    let use_another = "so that concurrent writers would lose snapshots: use another server";
    let cases = [
        (Manner::IgnoresIfNoneMatch, "ignores If-None-Match on writes"),
        (Manner::IgnoresIfMatch, "ignores If-Match on writes"),
        (Manner::RefusesIfMatch, "refuses If-Match although the ETag is right"),
        (Manner::HasNoTags, "returns no ETag for a write"),
        (Manner::HasNoConditions, "has no conditional writes"),
        (Manner::HasNoUpdates, "has no conditional writes"),
    ];
    for (manner, words) in cases {
        run(0, async {
            let server = Server::new(manner);
            let error = open(&server).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unsupported, Retry::Never));
            let text = error.to_string();
            assert!(text.contains(words) && text.contains(use_another), "{manner:?}: {text}");
            // Nothing stays behind, and nobody takes the root for a store.
            assert!(names(&server, "").await.is_empty(), "{manner:?}");
        });
    }
}

#[test]
fn a_server_that_allows_too_little_is_refused_with_the_reason() {
    let cases = [
        (Manner::AllowsNothing, "the credentials do not allow this"),
        (Manner::AllowsNoWrites, "the credentials do not allow this"),
        (Manner::KnowsNobody, "the server does not accept the credentials"),
    ];
    for (manner, words) in cases {
        run(0, async {
            let error = open(&Server::new(manner)).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
            assert!(error.to_string().contains(words), "{manner:?}: {error}");
        });
    }
}

#[test]
fn a_server_that_wants_bare_tags_works() {
    run(0, async {
        let server = Server::new(Manner::WantsBareTags);
        let [one, other] = [opened(&server).await, opened(&server).await];
        for version in 1..5 {
            assert_eq!(put(&one, &record(&key("a"), id(version), 1, 50)).await, PutOutcome::Stored);
            assert!(get(&other, &key("a"), id(version)).await.is_some());
            assert_eq!(
                put(&other, &record(&key("a"), id(10 + version), 1, 50)).await,
                PutOutcome::Stored
            );
        }
    });
}

#[test]
fn a_write_whose_success_was_reported_as_a_failure_is_no_reason_to_refuse_a_server() {
    run(0, async {
        // The one with the right tag is the third conditional write.
        for conditional in 0..5 {
            let objects = Unreliable::new(0, Vec::new());
            objects.after(conditional, "app", Mishap::Misreported);
            match open(&objects).await {
                Ok(store) => {
                    put(&store, &record(&key("a"), id(1), 1, 50)).await;
                    put(&store, &record(&key("a"), id(2), 1, 50)).await;
                }
                // It may ask to try again.
                Err(error) => assert_eq!(error.retry(), Retry::Later, "{conditional}: {error}"),
            }
        }
    });
}

#[test]
fn an_unreliable_server_is_opened_or_asks_to_try_again() {
    for seed in 0..500 {
        run(seed, async {
            let rates = Mishap::ALL.map(|mishap| (mishap, 0.005));
            let permanent = [Mishap::Denied, Mishap::DeniedAfter];
            let rates = rates.into_iter().filter(|(mishap, _)| !permanent.contains(mishap));
            let objects = Unreliable::new(seed, rates.collect());
            objects.on(true);
            let first = open(&objects).await;
            if let Err(error) = first {
                assert!(error.is_retryable(), "seed {seed}: {error}");
            }
            objects.on(false);
            objects.arrive();
            let store = opened(&objects).await;
            put(&store, &record(&key("a"), id(1), 1, 50)).await;
        });
    }
}

#[test]
fn a_bucket_with_other_objects_is_refused() {
    run(0, async {
        let objects = InMemory::new();
        objects.put(&Path::from("app/photo.jpg"), "x".into()).await.unwrap();
        let objects = Server { inner: Arc::new(objects), manner: Manner::WantsBareTags };
        let error = open(&objects).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidInput, Retry::Never));
        assert!(error.to_string().contains("objects that are not snapfold's"), "{error}");
        // Beside it there is room; and a root that another one begins with is not below it.
        let beside = ObjectStoreSnapshots::open(Arc::new(objects.clone()), "ap").await.unwrap();
        put(&beside, &record(&key("a"), id(1), 1, 50)).await;
        let whole = ObjectStoreSnapshots::open(Arc::new(objects), "").await.unwrap_err();
        assert_eq!(whole.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_marker_that_is_something_else_is_refused() {
    let cases = [
        ("snapfold object store, format 2\n", ErrorKind::Unsupported, "update snapfold"),
        ("snapfold object store, format 1", ErrorKind::Unsupported, "update snapfold"),
        ("hello", ErrorKind::InvalidInput, "is not the marker of a store"),
        ("", ErrorKind::InvalidInput, "is not the marker of a store"),
    ];
    for (marker, kind, words) in cases {
        run(0, async {
            let objects = Arc::new(InMemory::new());
            let before = ObjectStoreSnapshots::open(objects.clone(), ROOT).await.unwrap();
            objects.put(&Path::from("app/snapfold"), marker.into()).await.unwrap();
            for read_only in [false, true] {
                let options = ObjectStoreOptions::new().read_only(read_only);
                let opened = ObjectStoreSnapshots::open_with(objects.clone(), ROOT, options).await;
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), kind, "{marker:?}: {error}");
                assert!(error.to_string().contains(words), "{marker:?}: {error}");
            }
            // A handle from before goes on.
            put(&before, &record(&key("a"), id(1), 1, 50)).await;
        });
    }
}

#[test]
fn a_store_that_is_not_there_is_not_made_read_only() {
    run(0, async {
        let objects = Arc::new(InMemory::new());
        let options = ObjectStoreOptions::new().read_only(true);
        let open = || ObjectStoreSnapshots::open_with(objects.clone(), ROOT, options.clone());
        let error = open().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
        assert!(error.to_string().contains("no store below this root"), "{error}");
        let writer = ObjectStoreSnapshots::open(objects.clone(), ROOT).await.unwrap();
        put(&writer, &record(&key("a"), id(1), 1, 50)).await;
        let reader = open().await.unwrap();
        assert!(get(&reader, &key("a"), id(1)).await.is_some());
        let refused = reader.put(vec![record(&key("a"), id(2), 1, 50)], Options::default()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn two_that_open_a_new_store_at_the_same_time_both_succeed() {
    for seed in 0..200 {
        run(seed, async {
            let objects = Unreliable::new(seed, Vec::new());
            // Only slow.
            objects.on(true);
            let (one, other) = tokio::join!(open(&objects), open(&objects));
            let (one, other) = (one.unwrap(), other.unwrap());
            put(&one, &record(&key("a"), id(1), 1, 50)).await;
            assert!(get(&other, &key("a"), id(1)).await.is_some());
        });
    }
}
