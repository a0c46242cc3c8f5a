//! Bodies and parts of them.

use std::ops::Range;

use object_store::{Error, GetOptions, GetRange};
use snapfold_s3::Server;

use crate::{Bucket, kind};

crate::on_both! {
    a_body_of_64_mib_comes_back_as_it_was
    a_range_that_is_longer_than_the_object_gives_what_there_is
    a_range_that_starts_behind_the_object_is_refused
    a_range_of_an_empty_object_is_refused
}

async fn a_body_of_64_mib_comes_back_as_it_was(bucket: Bucket) {
    let mut body = vec![0; 64 << 20];
    for (part, fill) in body.chunks_mut(1 << 20).zip(0..) {
        part.fill(fill);
    }
    bucket.put("a", body.clone()).await;
    assert!(bucket.get("a").await == body);
}

/// The size of the object, the range and the bytes that are told.
async fn range(bucket: &Bucket, range: GetRange) -> Result<(u64, Range<u64>, Vec<u8>), Error> {
    let options = GetOptions { range: Some(range), ..GetOptions::default() };
    let got = bucket.store.get_opts(&bucket.key("a"), options).await?;
    let (size, range) = (got.meta.size, got.range.clone());
    Ok((size, range, got.bytes().await?.to_vec()))
}

async fn a_range_that_is_longer_than_the_object_gives_what_there_is(bucket: Bucket) {
    bucket.put("a", "0123456789").await;
    let whole = range(&bucket, GetRange::Bounded(0..131_072)).await.unwrap();
    assert_eq!(whole, (10, 0..10, b"0123456789".to_vec()));
    let end = range(&bucket, GetRange::Bounded(7..131_072)).await.unwrap();
    assert_eq!(end, (10, 7..10, b"789".to_vec()));
    bucket.put("a", vec![7; 131_073]).await;
    let most = range(&bucket, GetRange::Bounded(0..131_072)).await.unwrap();
    assert_eq!(most, (131_073, 0..131_072, vec![7; 131_072]));
}

async fn a_range_that_starts_behind_the_object_is_refused(bucket: Bucket) {
    bucket.put("a", "0123456789").await;
    for behind in [GetRange::Bounded(10..20), GetRange::Offset(10)] {
        assert_eq!(kind(&range(&bucket, behind).await.unwrap_err()), "Generic 416");
    }
}

async fn a_range_of_an_empty_object_is_refused(bucket: Bucket) {
    bucket.put("a", "").await;
    assert_eq!(bucket.get("a").await, b"");
    let refused = range(&bucket, GetRange::Bounded(0..131_072)).await.unwrap_err();
    assert_eq!(kind(&refused), "Generic 416");
}

#[tokio::test]
async fn ceph_gives_the_whole_object_for_a_longer_suffix() {
    let bucket = Bucket::of(Server::ceph());
    bucket.put("a", "0123456789").await;
    let whole = range(&bucket, GetRange::Suffix(30)).await.unwrap();
    assert_eq!(whole, (10, 0..10, b"0123456789".to_vec()));
}
