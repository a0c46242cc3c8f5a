//! An object store in memory that waits as a network does, writes down its requests, and does what
//! tests want.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

/// What a request is answered with.
type Reply = Box<dyn Fn(&str) -> Option<Effect> + Send + Sync>;

/// What happens at a request, such as `PUT a/t/..`.
#[derive(Clone)]
pub enum Effect {
    /// It fails before it does anything.
    Refused,
    /// It does what it should, and fails.
    Unacknowledged,
    /// Somebody else writes an object first.
    Meddled(Path, Bytes),
}

#[derive(Default)]
pub struct Server {
    objects: InMemory,
    requests: Arc<Mutex<Vec<String>>>,
    effects: Mutex<Option<Reply>>,
    pub lists_backwards: AtomicBool,
}

impl Server {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Decides what happens at each request.
    pub fn on(&self, effect: impl Fn(&str) -> Option<Effect> + Send + Sync + 'static) {
        *self.effects.lock().unwrap() = Some(Box::new(effect));
    }

    /// The requests since the last call: a method, and the letter of a folder.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Begins a request. Returns whether its answer gets lost.
    async fn begin(&self, method: &str, path: &Path) -> Result<bool> {
        tokio::task::yield_now().await;
        let folder = path.parts().nth(2).map_or(String::new(), |part| part.as_ref().to_owned());
        let request = format!("{method} {folder}");
        self.requests.lock().unwrap().push(request.clone());
        let effect = self.effects.lock().unwrap().as_ref().and_then(|effect| effect(&request));
        match effect {
            None => Ok(false),
            Some(Effect::Unacknowledged) => Ok(true),
            Some(Effect::Refused) => Err(lost()),
            Some(Effect::Meddled(path, content)) => {
                self.objects.put(&path, content.into()).await?;
                Ok(false)
            }
        }
    }
}

fn lost() -> Error {
    Error::Generic { store: "test", source: "the connection was lost".into() }
}

/// Waits, and loses the answer if it is to be lost.
async fn answer<T>(lose: bool, result: Result<T>) -> Result<T> {
    tokio::task::yield_now().await;
    if lose { Err(lost()) } else { result }
}

#[async_trait]
impl ObjectStore for Server {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        let lose = self.begin("PUT", at).await?;
        answer(lose, self.objects.put_opts(at, bytes, how).await).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let lose = self.begin("POST", at).await?;
        let upload = self.objects.put_multipart_opts(at, how).await?;
        let requests = Arc::clone(&self.requests);
        let effect = self.effects.lock().unwrap().as_ref().and_then(|effect| effect("COMPLETE"));
        let parts = Parts { upload, requests, effect };
        answer(lose, Ok(Box::new(parts) as Box<dyn MultipartUpload>)).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        let head = how.head;
        let lose = self.begin(if head { "HEAD" } else { "GET" }, at).await?;
        let result = answer(lose, self.objects.get_opts(at, how).await).await?;
        let (meta, range) = (result.meta.clone(), result.range.clone());
        let (attributes, extensions) = (result.attributes.clone(), result.extensions.clone());
        // In pieces, each after a while. There are none for a HEAD.
        let pieces = result.into_stream().map_ok(move |bytes| {
            let bytes = if head { Bytes::new() } else { bytes };
            let pieces = bytes.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece)));
            stream::iter(pieces.collect::<Vec<_>>()).then(async |piece| {
                tokio::task::yield_now().await;
                piece
            })
        });
        let payload = GetResultPayload::Stream(pieces.try_flatten().boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let requests = Arc::clone(&self.requests);
        let at = at.then(move |path| {
            requests.lock().unwrap().push("DELETE".to_owned());
            async move {
                tokio::task::yield_now().await;
                path
            }
        });
        self.objects.delete_stream(at.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.lock().unwrap().push("LIST".to_owned());
        let objects = self.objects.list(prefix);
        if self.lists_backwards.load(Ordering::SeqCst) {
            let all = objects.collect::<Vec<_>>();
            return stream::once(all).flat_map(|all| stream::iter(all.into_iter().rev())).boxed();
        }
        objects
            .then(async |object| {
                tokio::task::yield_now().await;
                object
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        let lose = self.begin("COPY", to).await?;
        answer(lose, self.objects.copy_opts(from, to, how).await).await
    }
}

/// A multipart upload whose end gets lost if that is the effect.
struct Parts {
    upload: Box<dyn MultipartUpload>,
    requests: Arc<Mutex<Vec<String>>>,
    effect: Option<Effect>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, bytes: PutPayload) -> UploadPart {
        self.requests.lock().unwrap().push("PART".to_owned());
        let part = self.upload.put_part(bytes);
        Box::pin(async move {
            tokio::task::yield_now().await;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.requests.lock().unwrap().push("COMPLETE".to_owned());
        tokio::task::yield_now().await;
        match self.effect {
            Some(Effect::Refused) => Err(lost()),
            Some(Effect::Unacknowledged) => answer(true, self.upload.complete().await).await,
            _ => self.upload.complete().await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.requests.lock().unwrap().push("ABORT".to_owned());
        self.upload.abort().await
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server for tests")
    }
}
