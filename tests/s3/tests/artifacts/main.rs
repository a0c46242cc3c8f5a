//! Artifacts on Ceph: with clients that use signed URLs as a browser would, and that lie.
//!
//! What Ceph checks of a signed upload stands in `uploads`. A store relies on none of it. What is
//! published with such uploads stands in `publish`, also on moto, which checks much less.

mod downloads;
mod killed;
mod kit;
mod multipart;
mod press;
mod publish;
mod relay;
mod sweep;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::signer::{HeaderName, HeaderValue, SignedUrlOptions, Signer};
use object_store::{ObjectMeta, ObjectStore};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use snapfold::BoxError;
use snapfold::artifact::{
    Artifact, ArtifactId, ArtifactOutcome, ArtifactStore, SignedUpload, Upload, in_one_piece,
};
use snapfold::object_store::{ObjectStoreArtifacts, ObjectUrl, ObjectUrlRules, ObjectUrlSigner};
use snapfold_s3::{Relay, Server};

const MINUTE: Duration = Duration::from_secs(60);

/// As the docs of [`ObjectUrlSigner`] have it.
#[derive(Debug)]
struct S3Signer(Arc<dyn Signer>);

#[async_trait]
impl ObjectUrlSigner for S3Signer {
    async fn sign(&self, url: ObjectUrl<'_>) -> Result<String, BoxError> {
        let mut options = SignedUrlOptions::new().with_query(url.query);
        for (name, value) in url.headers {
            let value = HeaderValue::from_str(&value)?;
            options = options.with_signed_header(HeaderName::from_static(name), value);
        }
        let method = url.method.parse()?;
        Ok(self.0.signed_url_opts(method, url.path, url.valid_for, &options).await?.into())
    }
}

/// A server, a root that no other test uses, and clients. Making one takes milliseconds, so clones
/// and places on the same server share them.
#[derive(Clone)]
struct Site {
    server: Server,
    root: Path,
    objects: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    /// Without credentials.
    http: Client,
}

impl Site {
    fn new() -> Self {
        Self::on(Server::ceph())
    }

    fn on(server: Server) -> Self {
        let (root, objects, signer) = (server.prefix(), server.store(), server.signer());
        let http = Client::builder().no_proxy().redirect(Policy::none()).build();
        Self { server, root, objects, signer, http: http.expect("a client") }
    }

    /// Another root on the same server.
    fn elsewhere(&self) -> Self {
        Self { root: self.server.prefix(), ..self.clone() }
    }

    /// A store of what is here, which sends its requests with this client.
    fn with(&self, client: Arc<dyn ObjectStore>) -> ObjectStoreArtifacts {
        ObjectStoreArtifacts::new(client, self.root.as_ref()).expect("a root")
    }

    fn unsigned(&self) -> ObjectStoreArtifacts {
        self.with(Arc::clone(&self.objects))
    }

    fn signing(&self, rules: ObjectUrlRules) -> ObjectStoreArtifacts {
        self.unsigned().signer(Arc::new(S3Signer(Arc::clone(&self.signer))), rules)
    }

    fn store(&self) -> ObjectStoreArtifacts {
        self.signing(ObjectUrlRules::Ceph)
    }

    async fn sign(&self, upload: Upload<'_>) -> SignedUpload {
        self.store().upload(upload, MINUTE).await.expect("a URL")
    }

    /// Sends content as it was asked for.
    async fn send(&self, signed: &SignedUpload, content: impl Into<Bytes>) -> String {
        told(self.request(signed.method, &signed.url, &signed.headers, content).await).await
    }

    async fn request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&'static str, String)],
        content: impl Into<Bytes>,
    ) -> Response {
        let method: Method = method.parse().expect("a method");
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let content: Bytes = content.into();
        if !content.is_empty() {
            request = request.body(content);
        } else if url.contains("SignedHeaders=") && headers.len() > 1 {
            request = request.header("content-length", "0");
        }
        request.send().await.expect("an answer")
    }

    async fn get(&self, url: &str) -> Response {
        self.request("GET", url, &[], Bytes::new()).await
    }

    /// A URL for what `object_store` has no call for.
    async fn of_bucket(&self, method: Method, query: &[(&str, &str)]) -> String {
        let options = SignedUrlOptions::new().with_query(query.iter().copied());
        let bucket = Path::default();
        self.signer.signed_url_opts(method, &bucket, MINUTE, &options).await.expect("a URL").into()
    }

    /// All objects below the root, in the order of their names.
    async fn objects(&self) -> Vec<ObjectMeta> {
        self.objects.list(Some(&self.root)).try_collect().await.expect("a list")
    }

    /// How many multipart uploads were neither completed nor aborted.
    async fn unfinished(&self) -> usize {
        let query = [("uploads", ""), ("prefix", self.root.as_ref())];
        let answer = self.get(&self.of_bucket(Method::GET, &query).await).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.expect("a list").matches("<Upload>").count()
    }

    /// Fails unless exactly this is stored for the tenant `t`, or nothing if `content` is `None`.
    async fn holds(&self, id: &ArtifactId, content: Option<&Bytes>) {
        let seen = self.seen(id, content.map_or(0, Bytes::len)).await;
        assert!(seen.as_ref() == content, "{:?}", seen.map(|seen| Artifact::of(&seen)));
    }

    /// What is visible of an artifact of the tenant `t`, which all reads agree about.
    async fn seen(&self, id: &ArtifactId, limit: usize) -> Option<Bytes> {
        let store = self.unsigned();
        let listed = store.list("t", None, 1_000).await.expect("a list").items;
        let listed = listed.into_iter().find(|item| item.id == *id);
        let head = store.head("t", id).await.expect("a head");
        assert_eq!(listed.map(|item| item.size), head.as_ref().map(|head| head.size));
        let found = store.get("t", id, None).await.expect("a get");
        assert_eq!(head, found.as_ref().map(|found| found.artifact.clone()));
        Some(found?.bytes(limit).await.expect("the content").expect("no more than the limit"))
    }
}

/// The status of an answer, and what S3 calls the error.
async fn told(answer: Response) -> String {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    let body = String::from_utf8_lossy(&body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(|| status.to_string(), |(code, _)| format!("{status} {code}"))
}

/// Content that no shift by the size of a part leaves the same.
fn content(bytes: usize, seed: u32) -> Bytes {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let word = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    let block: Vec<u8> = std::iter::repeat_with(word).flatten().take(bytes.min(9_973)).collect();
    let mut content = block.repeat(bytes.div_ceil(9_973));
    content.truncate(bytes);
    content.into()
}
