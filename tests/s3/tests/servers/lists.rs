//! Listing and deleting.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectMeta;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::{Bucket, kind};

crate::on_both! {
    a_list_has_every_key_at_once_in_the_order_of_bytes_over_several_pages
    a_list_starts_after_a_key_that_need_not_be_there
    a_list_has_whole_segments_of_the_prefix
    a_list_has_sizes_and_times
    what_is_absent_can_be_deleted
    a_thousand_and_more_keys_are_deleted_at_once
}

async fn list(bucket: &Bucket) -> Vec<ObjectMeta> {
    bucket.store.list(Some(&bucket.prefix)).try_collect().await.unwrap()
}

fn names(objects: &[ObjectMeta]) -> Vec<Path> {
    objects.iter().map(|object| object.location.clone()).collect()
}

/// Writes keys that are not in order as numbers, and returns them in the order of bytes.
async fn fill(bucket: &Bucket, count: usize) -> Vec<Path> {
    let mut keys: Vec<Path> = (0..count).map(|i| bucket.key(&i.to_string())).collect();
    let puts = stream::iter(&keys).map(|key| bucket.store.put(key, "v".into()));
    puts.buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    keys.sort_by(|a, b| a.as_ref().as_bytes().cmp(b.as_ref().as_bytes()));
    keys
}

async fn a_list_has_every_key_at_once_in_the_order_of_bytes_over_several_pages(bucket: Bucket) {
    // A page has 1,000.
    let mut keys = fill(&bucket, 1_100).await;
    for name in ["-", ".x", "A", "Z", "_", "a-", "a.", "a/b", "a0", "z", "~"] {
        bucket.put(name, "v").await;
        keys.push(bucket.key(name));
    }
    keys.sort_by(|a, b| a.as_ref().as_bytes().cmp(b.as_ref().as_bytes()));
    assert_eq!(names(&list(&bucket).await), keys);
}

async fn a_list_starts_after_a_key_that_need_not_be_there(bucket: Bucket) {
    let keys = fill(&bucket, 30).await;
    for start in [bucket.key("15"), bucket.key("15.5")] {
        let after: Vec<Path> = keys.iter().filter(|key| **key > start).cloned().collect();
        assert!(!after.is_empty() && after.len() < keys.len());
        let listed = bucket.store.list_with_offset(Some(&bucket.prefix), &start);
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        assert_eq!(names(&listed), after);
    }
}

async fn a_list_has_whole_segments_of_the_prefix(bucket: Bucket) {
    for name in ["a/1", "ab/2", "b/3"] {
        bucket.put(name, "v").await;
    }
    let listed: Vec<_> = bucket.store.list(Some(&bucket.key("a"))).try_collect().await.unwrap();
    assert_eq!(names(&listed), [bucket.key("a/1")]);
    let listed = bucket.store.list_with_delimiter(Some(&bucket.prefix)).await.unwrap();
    assert_eq!(listed.common_prefixes, ["a", "ab", "b"].map(|name| bucket.key(name)));
}

async fn a_list_has_sizes_and_times(bucket: Bucket) {
    bucket.put("a", "12345").await;
    let listed = list(&bucket).await.remove(0);
    assert_eq!(listed.size, 5);
    // A header tells the time without the milliseconds.
    let told = bucket.store.head(&bucket.key("a")).await.unwrap().last_modified;
    assert_eq!(listed.last_modified.timestamp(), told.timestamp());
}

async fn what_is_absent_can_be_deleted(bucket: Bucket) {
    bucket.store.delete(&bucket.key("absent")).await.unwrap();
    bucket.put("a", "v").await;
    let keys = [bucket.key("absent"), bucket.key("a")];
    let deleted = bucket.store.delete_stream(stream::iter(keys.clone().map(Ok)).boxed());
    assert_eq!(deleted.try_collect::<Vec<_>>().await.unwrap(), keys);
    let absent = bucket.store.get(&bucket.key("a")).await.unwrap_err();
    assert_eq!(kind(&absent), "NotFound");
}

async fn a_thousand_and_more_keys_are_deleted_at_once(bucket: Bucket) {
    let keys = fill(&bucket, 1_001).await;
    let deleted = bucket.store.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
    assert_eq!(deleted.try_collect::<Vec<_>>().await.unwrap().len(), 1_001);
    assert_eq!(list(&bucket).await, []);
}
