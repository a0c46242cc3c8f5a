//! Which keys can be used.

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use snapfold_s3::Server;

use crate::{Bucket, kind};

crate::on_both! {
    every_printable_byte_of_a_key_arrives_as_it_is
    keys_that_differ_in_case_are_different
    a_key_of_100_bytes_can_be_written_and_listed
}

/// The bytes of snapfold's keys, `[A-Za-z0-9._~-]`, and all others that `Path` takes.
async fn every_printable_byte_of_a_key_arrives_as_it_is(bucket: Bucket) {
    let bytes = (b' '..=b'~').filter(|byte| *byte != b'/').map(char::from);
    let mut keys: Vec<Path> = bytes.map(|c| bucket.key(&format!("{c}x{c}y{c}"))).collect();
    for key in &keys {
        bucket.store.put(key, key.to_string().into()).await.unwrap();
    }
    for key in &keys {
        let body = bucket.store.get(key).await.unwrap().bytes().await.unwrap();
        assert_eq!(body, key.to_string());
    }
    let mut listed = names(&bucket).await;
    listed.sort();
    keys.sort();
    assert_eq!(listed, keys);
}

async fn names(bucket: &Bucket) -> Vec<Path> {
    let listed = bucket.store.list(Some(&bucket.prefix)).map_ok(|object| object.location);
    listed.try_collect().await.unwrap()
}

async fn keys_that_differ_in_case_are_different(bucket: Bucket) {
    bucket.put("a", "small").await;
    bucket.put("A", "large").await;
    assert_eq!(bucket.get("a").await, b"small");
    assert_eq!(bucket.get("A").await, b"large");
}

/// A key of `length` bytes, the prefix included, whose last segment is `segment` bytes long.
fn long(bucket: &Bucket, length: usize, segment: usize) -> Path {
    let mut key = bucket.prefix.to_string();
    let last = format!("/{}", "s".repeat(segment));
    while key.len() + 201 < length - last.len() {
        key = format!("{key}/{}", "m".repeat(200));
    }
    let rest = length - last.len() - key.len();
    if rest > 0 {
        key = format!("{key}/{}", "r".repeat(rest - 1));
    }
    let key = Path::parse(key + &last).unwrap();
    assert_eq!(key.as_ref().len(), length);
    key
}

async fn a_key_of_100_bytes_can_be_written_and_listed(bucket: Bucket) {
    let key = long(&bucket, 100, 50);
    bucket.store.put(&key, PutPayload::from_static(b"v")).await.unwrap();
    assert_eq!(names(&bucket).await, [key]);
}

#[tokio::test]
async fn ceph_takes_keys_of_1024_bytes_and_segments_of_any_length() {
    let bucket = Bucket::of(Server::ceph());
    let keys = [long(&bucket, 1024, 1007), long(&bucket, 1024, 300)];
    for key in &keys {
        bucket.store.put(key, PutPayload::from_static(b"v")).await.unwrap();
        bucket.store.head(key).await.unwrap();
    }
    let mut listed = names(&bucket).await;
    listed.sort();
    let mut keys = keys.to_vec();
    keys.sort();
    assert_eq!(listed, keys);

    let too_long = long(&bucket, 1025, 300);
    let refused = bucket.store.put(&too_long, PutPayload::from_static(b"v")).await.unwrap_err();
    assert_eq!(kind(&refused), "Generic 400");
    let refused = bucket.store.head(&too_long).await.unwrap_err();
    assert_eq!(kind(&refused), "Generic 400");
}

/// It needs a file whose name has all of the key, in Base64.
#[tokio::test]
async fn s3s_fails_on_keys_of_200_bytes_and_may_have_written_them() {
    let bucket = Bucket::of(Server::s3s().await);
    let key = long(&bucket, 200, 50);
    let failed = bucket.store.put(&key, PutPayload::from_static(b"v")).await.unwrap_err();
    assert_eq!(kind(&failed), "Generic 500");
    assert_eq!(names(&bucket).await, [key]);
}

#[tokio::test]
async fn ceph_takes_a_key_below_another_key() {
    let bucket = Bucket::of(Server::ceph());
    bucket.put("a", "above").await;
    bucket.put("a/b", "below").await;
    assert_eq!(bucket.get("a").await, b"above");
    assert_eq!(bucket.get("a/b").await, b"below");
}

/// Keys are folders and files to it.
#[tokio::test]
async fn s3s_fails_on_a_key_below_another_key() {
    let bucket = Bucket::of(Server::s3s().await);
    bucket.put("a", "above").await;
    let below = bucket.store.put(&bucket.key("a/b"), PutPayload::from_static(b"below")).await;
    assert_eq!(kind(&below.unwrap_err()), "Generic 500");
}
