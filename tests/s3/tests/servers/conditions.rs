//! Conditional writes by one client.

use object_store::ObjectStoreExt as _;

use crate::{Bucket, kind, tag, unquoted};

crate::on_both! {
    creating_twice_refuses_the_second
    an_update_with_a_stale_tag_is_refused
    an_update_with_the_right_tag_without_quotes_passes
    an_update_with_a_weak_tag_is_refused
    an_update_of_an_absent_key_is_refused
    an_update_passes_when_an_earlier_body_and_so_its_tag_is_back
    a_create_after_a_delete_passes
}

async fn creating_twice_refuses_the_second(bucket: Bucket) {
    bucket.create("a", "first").await.unwrap();
    let refused = bucket.create("a", "second").await.unwrap_err();
    assert_eq!(kind(&refused), "AlreadyExists");
    // Also when it is the same body.
    let refused = bucket.create("a", "first").await.unwrap_err();
    assert_eq!(kind(&refused), "AlreadyExists");
    assert_eq!(bucket.get("a").await, b"first");
}

async fn an_update_with_a_stale_tag_is_refused(bucket: Bucket) {
    let stale = tag(bucket.create("a", "first").await.unwrap());
    bucket.put("a", "second").await;
    for stale in [stale.as_str(), unquoted(&stale)] {
        let refused = bucket.update("a", stale, "third").await.unwrap_err();
        assert_eq!(kind(&refused), "Precondition");
    }
    assert_eq!(bucket.get("a").await, b"second");
}

async fn an_update_with_the_right_tag_without_quotes_passes(bucket: Bucket) {
    let first = tag(bucket.create("a", "first").await.unwrap());
    let second = tag(bucket.update("a", unquoted(&first), "second").await.unwrap());
    assert_ne!(second, first);
    assert_eq!(bucket.get("a").await, b"second");
}

/// Ceph compares the header with its bare tag.
#[tokio::test]
async fn ceph_refuses_an_update_with_the_right_tag_in_quotes() {
    let bucket = Bucket::of(snapfold_s3::Server::ceph());
    let first = tag(bucket.create("a", "first").await.unwrap());
    let refused = bucket.update("a", &first, "second").await.unwrap_err();
    assert_eq!(kind(&refused), "Precondition");
    assert_eq!(bucket.get("a").await, b"first");
}

#[tokio::test]
async fn s3s_takes_an_update_with_the_right_tag_in_quotes() {
    let bucket = Bucket::of(snapfold_s3::Server::s3s().await);
    let first = tag(bucket.create("a", "first").await.unwrap());
    bucket.update("a", &first, "second").await.unwrap();
    assert_eq!(bucket.get("a").await, b"second");
}

async fn an_update_with_a_weak_tag_is_refused(bucket: Bucket) {
    let first = tag(bucket.create("a", "first").await.unwrap());
    let refused = bucket.update("a", &format!("W/{first}"), "second").await.unwrap_err();
    assert_eq!(kind(&refused), "Precondition");
}

/// With 412 here and 404 on Amazon, which `object_store` reports alike.
async fn an_update_of_an_absent_key_is_refused(bucket: Bucket) {
    let other = tag(bucket.create("other", "first").await.unwrap());
    for tag in [other.as_str(), unquoted(&other), "*"] {
        let refused = bucket.update("absent", tag, "second").await.unwrap_err();
        assert_eq!(kind(&refused), "Precondition");
    }
    let absent = bucket.store.get(&bucket.key("absent")).await.unwrap_err();
    assert_eq!(kind(&absent), "NotFound");
}

/// A tag is the MD5 of the body: it does not count the writes.
async fn an_update_passes_when_an_earlier_body_and_so_its_tag_is_back(bucket: Bucket) {
    let first = tag(bucket.create("a", "first").await.unwrap());
    bucket.put("a", "second").await;
    let again = tag(bucket.put("a", "first").await);
    assert_eq!(again, first);
    bucket.update("a", unquoted(&first), "third").await.unwrap();
}

async fn a_create_after_a_delete_passes(bucket: Bucket) {
    bucket.create("a", "first").await.unwrap();
    bucket.store.delete(&bucket.key("a")).await.unwrap();
    bucket.create("a", "second").await.unwrap();
    assert_eq!(bucket.get("a").await, b"second");
}
