//! Where tags are told, and what a GET does with them.

use futures_util::TryStreamExt as _;
use object_store::{Error, GetOptions, ObjectStoreExt as _};
use snapfold_s3::Server;

use crate::{Bucket, kind, tag, unquoted};

crate::on_both! {
    put_get_and_head_tell_the_same_tag_in_quotes
    the_name_of_what_is_absent_is_not_found_whatever_the_condition
}

async fn put_get_and_head_tell_the_same_tag_in_quotes(bucket: Bucket) {
    let put = tag(bucket.put("a", "first").await);
    assert_eq!(put, format!("\"{}\"", unquoted(&put)));
    let key = bucket.key("a");
    assert_eq!(bucket.store.head(&key).await.unwrap().e_tag.as_ref(), Some(&put));
    assert_eq!(bucket.store.get(&key).await.unwrap().meta.e_tag, Some(put));
}

async fn the_name_of_what_is_absent_is_not_found_whatever_the_condition(bucket: Bucket) {
    let other = tag(bucket.put("other", "first").await);
    let absent = get_unless(&bucket, "absent", &other).await.unwrap_err();
    assert_eq!(kind(&absent), "NotFound");
    let absent = bucket.store.head(&bucket.key("absent")).await.unwrap_err();
    assert_eq!(kind(&absent), "NotFound");
}

async fn get_unless(bucket: &Bucket, name: &str, tag: &str) -> Result<Vec<u8>, Error> {
    let options = GetOptions { if_none_match: Some(tag.to_owned()), ..GetOptions::default() };
    let got = bucket.store.get_opts(&bucket.key(name), options).await?;
    Ok(got.bytes().await?.to_vec())
}

#[tokio::test]
async fn ceph_sends_no_body_to_whoever_has_it() {
    let bucket = Bucket::of(Server::ceph());
    let first = tag(bucket.put("a", "first").await);
    for had in [first.as_str(), unquoted(&first)] {
        let unchanged = get_unless(&bucket, "a", had).await.unwrap_err();
        assert_eq!(kind(&unchanged), "NotModified");
    }
    bucket.put("a", "second").await;
    assert_eq!(get_unless(&bucket, "a", &first).await.unwrap(), b"second");
}

#[tokio::test]
async fn s3s_sends_the_body_whatever_the_condition() {
    let bucket = Bucket::of(Server::s3s().await);
    let first = tag(bucket.put("a", "first").await);
    assert_eq!(get_unless(&bucket, "a", &first).await.unwrap(), b"first");
}

async fn listed_tag(bucket: &Bucket) -> Option<String> {
    let mut all: Vec<_> = bucket.store.list(Some(&bucket.prefix)).try_collect().await.unwrap();
    all.remove(0).e_tag
}

#[tokio::test]
async fn ceph_lists_tags_as_a_put_tells_them() {
    let bucket = Bucket::of(Server::ceph());
    let first = tag(bucket.put("a", "first").await);
    assert_eq!(listed_tag(&bucket).await, Some(first));
}

#[tokio::test]
async fn s3s_lists_no_tags() {
    let bucket = Bucket::of(Server::s3s().await);
    bucket.put("a", "first").await;
    assert_eq!(listed_tag(&bucket).await, None);
}
