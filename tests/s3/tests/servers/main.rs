//! What each server does with the requests of a store, and what `object_store` says about it.
//!
//! A store must be right with every answer that stands here. Tests of Ceph need `scripts/with-s3`.

mod bodies;
mod conditions;
mod keys;
mod lists;
mod races;
mod relay;
mod tags;

use std::sync::Arc;

use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutResult, UpdateVersion};
use snapfold_s3::Server;

/// Runs each function as a test of each server, with the name of the server in the test's name.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod ceph {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::Bucket::of(snapfold_s3::Server::ceph())).await;
            })*
        }
        mod s3s {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::Bucket::of(snapfold_s3::Server::s3s().await)).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// A client and a prefix that no other test uses.
#[derive(Clone)]
struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    // The server in this process ends with it.
    _server: Server,
}

impl Bucket {
    fn of(server: Server) -> Self {
        Self { store: server.store(), prefix: server.prefix(), _server: server }
    }

    /// `name` below the prefix. Not encoded: what it holds is what the server gets.
    fn key(&self, name: &str) -> Path {
        Path::parse(format!("{}/{name}", self.prefix)).expect("a path")
    }

    async fn put(&self, name: &str, body: impl Into<Vec<u8>>) -> PutResult {
        let body: Vec<u8> = body.into();
        self.store.put(&self.key(name), body.into()).await.expect("a put")
    }

    async fn create(&self, name: &str, body: &'static str) -> Result<PutResult, Error> {
        self.store.put_opts(&self.key(name), body.into(), PutMode::Create.into()).await
    }

    async fn update(&self, name: &str, tag: &str, body: &'static str) -> Result<PutResult, Error> {
        let version = UpdateVersion { e_tag: Some(tag.to_owned()), version: None };
        self.store.put_opts(&self.key(name), body.into(), PutMode::Update(version).into()).await
    }

    async fn get(&self, name: &str) -> Vec<u8> {
        let got = self.store.get(&self.key(name)).await.expect("a get");
        got.bytes().await.expect("a body").to_vec()
    }
}

/// The tag of what was put, as `object_store` reports it: with quotes.
fn tag(put: PutResult) -> String {
    put.e_tag.expect("a tag")
}

fn unquoted(tag: &str) -> &str {
    tag.trim_matches('"')
}

/// What a store can tell apart: the variant, and for `Generic` the status or the kind of failure.
fn kind(error: &Error) -> String {
    match error {
        Error::AlreadyExists { .. } => "AlreadyExists".to_owned(),
        Error::Precondition { .. } => "Precondition".to_owned(),
        Error::NotFound { .. } => "NotFound".to_owned(),
        Error::NotModified { .. } => "NotModified".to_owned(),
        Error::Generic { .. } => format!("Generic {}", cause(error)),
        other => format!("{other:?}"),
    }
}

fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    if let Some(http) = causes.find_map(|cause| cause.downcast_ref::<HttpError>()) {
        return format!("{:?}", http.kind());
    }
    // The type that has the status is private: the text is all there is.
    let text = error.to_string();
    let status = text.split("status code: ").nth(1).and_then(|rest| rest.split(' ').next());
    status.unwrap_or(&text).to_owned()
}
