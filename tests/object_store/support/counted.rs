//! [`Counted`]: counts requests, and can stop at one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How many objects a server lists for one request.
const LISTED_AT_ONCE: u64 = 1_000;

/// Counts the requests to another object store. Clones share the counts.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn ObjectStore>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<(&'static str, String)>,
    /// After so many more requests, none is sent any more; and those up to there are not answered.
    left: Option<u64>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, seen: Arc::default() }
    }

    /// Returns the requests since the last call, as a method with its number.
    pub(crate) fn take(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (method, _) in self.seen.lock().unwrap().requests.drain(..) {
            *counts.entry(method).or_default() += 1;
        }
        counts
    }

    /// Lets so many requests through, the last of which is not answered, and none after that.
    pub(crate) fn stop_after(&self, requests: Option<u64>) {
        self.seen.lock().unwrap().left = requests;
    }

    /// Counts a request. Returns whether it is answered.
    async fn sent(&self, method: &'static str, path: &Path) -> bool {
        let left = {
            let mut seen = self.seen.lock().unwrap();
            let left = seen.left;
            seen.left = left.map(|left| left.saturating_sub(1));
            if left != Some(0) {
                seen.requests.push((method, path.to_string()));
            }
            left
        };
        if left == Some(0) {
            std::future::pending::<()>().await;
        }
        left != Some(1)
    }

    async fn answered<T>(&self, is_answered: bool, result: Result<T>) -> Result<T> {
        if !is_answered {
            std::future::pending::<()>().await;
        }
        result
    }

    fn listed(
        &self,
        prefix: Option<&Path>,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let prefix = prefix.cloned().unwrap_or_default();
        let all = async move {
            let is_answered = this.sent("list", &prefix).await;
            this.answered(is_answered, Ok(())).await.unwrap();
            // Each further page is a request at the time when it is asked for.
            let mut count = 0;
            listed.inspect(move |_| {
                if count > 0 && count % LISTED_AT_ONCE == 0 {
                    let page = ("list", prefix.to_string());
                    this.seen.lock().unwrap().requests.push(page);
                }
                count += 1;
            })
        };
        all.flatten_stream().boxed()
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let method = if options.mode == PutMode::Overwrite { "put" } else { "put if" };
        let is_answered = self.sent(method, path).await;
        let put = self.inner.put_opts(path, payload, options).await;
        self.answered(is_answered, put).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let is_answered = self.sent("multipart", path).await;
        let upload = self.inner.put_multipart_opts(path, options).await;
        self.answered(is_answered, upload).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let is_answered = self.sent("get", path).await;
        let got = self.inner.get_opts(path, options).await;
        self.answered(is_answered, got).await
    }

    /// A server deletes up to 1,000 objects for one request.
    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = async move {
            let is_answered = this.sent("delete", &Path::default()).await;
            let paths: Vec<_> = paths.collect().await;
            let deleted = this.inner.delete_stream(futures_util::stream::iter(paths).boxed());
            let deleted: Vec<_> = deleted.collect().await;
            this.answered(is_answered, Ok(())).await.unwrap();
            futures_util::stream::iter(deleted)
        };
        delete.flatten_stream().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}
