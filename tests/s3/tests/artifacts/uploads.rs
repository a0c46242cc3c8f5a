//! Signed uploads: what Ceph refuses, what it lets pass, and that `finish` refuses the rest.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use object_store::ObjectStoreExt as _;
use snapfold::Timestamp;
use snapfold_s3::{Fault, Gate};

use crate::*;

const NO_COPY: &str = "x-amz-copy-source-if-unmodified-since";

#[tokio::test]
async fn a_url_takes_one_upload_until_that_is_finished() {
    let (site, right) = (Site::new(), content(5_000, 1));
    let artifact = Artifact::of(&right).content_type("image/png");
    let upload = Upload::new("t", "u", &artifact);
    let signed = site.sign(upload).await;
    assert!(signed.single_use);
    assert_eq!(site.send(&signed, right.clone()).await, "200");
    for again in [right.clone(), content(5_000, 2), Bytes::new()] {
        assert_eq!(site.send(&signed, again).await, "412 PreconditionFailed");
    }
    site.holds(&artifact.id, None).await;
    assert_eq!(site.store().finish(upload).await.unwrap(), ArtifactOutcome::Stored);
    site.holds(&artifact.id, Some(&right)).await;
    assert_eq!(site.store().head("t", &artifact.id).await.unwrap().unwrap(), artifact);

    // There is nothing at the place of the upload now. What comes late changes nothing.
    assert_eq!(site.send(&signed, content(5_000, 2)).await, "200");
    assert_eq!(site.store().finish(upload).await.unwrap(), ArtifactOutcome::Existing);
    site.holds(&artifact.id, Some(&right)).await;
    assert_eq!(site.objects().await.len(), 1);
}

#[tokio::test]
async fn what_was_signed_must_be_sent_as_it_was_signed() {
    let (site, right) = (Site::new(), content(100, 1));
    let artifact = Artifact::of(&right).content_type("image/png");
    let upload = Upload::new("t", "u", &artifact);
    let signed = site.sign(upload).await;
    let names: Vec<_> = signed.headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["content-type", "if-none-match", "x-amz-checksum-sha256", NO_COPY]);
    for at in 0..names.len() {
        let mut other = signed.clone();
        other.headers[at].1 = "other".to_owned();
        assert_eq!(site.send(&other, right.clone()).await, "403 SignatureDoesNotMatch", "{at}");
        other.headers.remove(at);
        assert_eq!(site.send(&other, right.clone()).await, "403 SignatureDoesNotMatch", "{at}");
    }
    for (from, to) in [("/u/t/", "/a/t/"), ("/u/t/", "/u/s/"), ("/t/u/", "/t/v/")] {
        let mut other = signed.clone();
        other.url = other.url.replacen(from, to, 1);
        assert_eq!(site.send(&other, right.clone()).await, "403 SignatureDoesNotMatch", "{to}");
    }
    let mut longer = signed.clone();
    longer.url = longer.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    assert_eq!(site.send(&longer, right.clone()).await, "403 SignatureDoesNotMatch");
    for method in ["GET", "DELETE", "POST"] {
        let answer = site.request(method, &signed.url, &signed.headers, right.clone()).await;
        assert_eq!(answer.status(), 403, "{method}");
    }
    assert_eq!(site.objects().await.len(), 0);
    assert_eq!(site.store().finish(upload).await.unwrap(), ArtifactOutcome::Missing);
    assert_eq!(site.send(&signed, right).await, "200");
}

/// The only test that waits: nobody can set the clock of Ceph.
#[tokio::test]
async fn urls_end() {
    let (site, right) = (Site::new(), content(100, 1));
    let artifact = Artifact::of(&right);
    let store = site.store();
    store.put("t", &artifact, in_one_piece(right.clone())).await.unwrap();
    let second = Duration::from_secs(1);
    let upload = store.upload(Upload::new("t", "u", &artifact), second).await.unwrap();
    let download = store.download("t", &artifact.id, second, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(site.send(&upload, right).await, "403 AccessDenied");
    assert_eq!(told(site.get(&download.url).await).await, "403 AccessDenied");
    assert_eq!(site.objects().await.len(), 1);
}

#[tokio::test]
async fn a_url_is_valid_for_as_long_as_the_store_says() {
    let (site, artifact) = (Site::new(), Artifact::of(b"x"));
    for millis in [1_000, 1_999, 60_000] {
        let valid_for = Duration::from_millis(millis);
        let upload = site.store().upload(Upload::new("t", "u", &artifact), valid_for).await;
        let upload = upload.unwrap();
        let download = site.store().download("t", &artifact.id, valid_for, None).await.unwrap();
        for (url, expires_at) in
            [(upload.url, upload.expires_at), (download.url, download.expires_at.unwrap())]
        {
            let end = end_of(&url);
            assert!(expires_at <= end, "{expires_at} is after {end}");
            assert!(end.saturating_sub(Duration::from_secs(2)) <= expires_at);
        }
    }
}

/// Until when a server accepts a URL. What is signed are whole seconds.
fn end_of(url: &str) -> Timestamp {
    let value = |name: &str| {
        let (_, rest) = url.split_once(&format!("{name}=")).unwrap();
        rest.split('&').next().unwrap().to_owned()
    };
    let date = value("X-Amz-Date");
    let part = |from: usize, to: usize| &date[from..to];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    );
    let start: Timestamp = text.parse().unwrap();
    start.saturating_add(Duration::from_secs(value("X-Amz-Expires").parse().unwrap()))
}

#[tokio::test]
async fn wrong_content_arrives_but_is_not_stored() {
    let (site, right) = (Site::new(), content(5_000, 1));
    let artifact = Artifact::of(&right);
    let upload = Upload::new("t", "u", &artifact);
    let signed = site.sign(upload).await;
    let other = content(5_000, 2);
    let longer = content(9_000, 3);
    let size = |found| ArtifactOutcome::WrongSize { found };
    for (wrong, expected) in [
        (other.clone(), ArtifactOutcome::WrongHash { found: ArtifactId::of(&other) }),
        (right.slice(1..), size(4_999)),
        (Bytes::new(), size(0)),
        (longer, size(9_000)),
    ] {
        // Ceph 18 does not look at the hash, although it was signed.
        assert_eq!(site.send(&signed, wrong).await, "200");
        assert_eq!(site.objects().await.len(), 1);
        assert_eq!(site.store().finish(upload).await.unwrap(), expected);
        assert_eq!(site.objects().await.len(), 0);
        assert_eq!(site.store().finish(upload).await.unwrap(), ArtifactOutcome::Missing);
        site.holds(&artifact.id, None).await;
    }
    assert_eq!(site.send(&signed, right.clone()).await, "200");
    assert_eq!(site.store().finish(upload).await.unwrap(), ArtifactOutcome::Stored);
    site.holds(&artifact.id, Some(&right)).await;
}

#[tokio::test]
async fn an_upload_can_be_finished_again_and_by_many() {
    let (site, right) = (Site::new(), content(5_000, 1));
    let artifact = Artifact::of(&right);
    let upload = Upload::new("t", "u", &artifact);
    let signed = site.sign(upload).await;
    assert_eq!(site.send(&signed, right.clone()).await, "200");
    let store = site.store();
    for outcome in join_all((0..8).map(|_| store.finish(upload))).await {
        assert!(outcome.unwrap().is_stored());
    }
    assert_eq!(store.finish(upload).await.unwrap(), ArtifactOutcome::Existing);
    site.holds(&artifact.id, Some(&right)).await;
    assert_eq!(site.objects().await.len(), 1);
}

#[tokio::test]
async fn tenants_with_the_same_upload_have_nothing_in_common() {
    let (site, right) = (Site::new(), content(5_000, 1));
    let artifact = Artifact::of(&right);
    let [own, other] = ["t", "t/u"].map(|tenant| Upload::new(tenant, "u", &artifact));
    let (mine, theirs) = (site.sign(own).await, site.sign(other).await);
    assert_eq!(site.send(&theirs, content(5_000, 2)).await, "200");
    assert_eq!(site.send(&mine, right.clone()).await, "200");
    assert_eq!(site.store().finish(own).await.unwrap(), ArtifactOutcome::Stored);
    assert_eq!(site.store().head("t/u", &artifact.id).await.unwrap(), None);
    let wrong = site.store().finish(other).await.unwrap();
    assert!(matches!(wrong, ArtifactOutcome::WrongHash { .. }), "{wrong:?}");
    site.holds(&artifact.id, Some(&right)).await;
    let leak = site.store().download("t/u", &artifact.id, MINUTE, None).await.unwrap();
    assert_eq!(told(site.get(&leak.url).await).await, "404 NoSuchKey");
}

/// Amazon S3 refuses headers of its own that were not signed. Ceph obeys them.
#[tokio::test]
async fn an_upload_for_ceph_cannot_copy_what_the_client_may_not_read() {
    for (rules, steals) in [(ObjectUrlRules::S3, true), (ObjectUrlRules::Ceph, false)] {
        let (site, secret) = (Site::new(), content(5_000, 1));
        let artifact = Artifact::of(&secret);
        let store = site.signing(rules);
        store.put("t", &artifact, in_one_piece(secret)).await.unwrap();
        let upload = Upload::new("thief", "u", &artifact);
        let mut signed = store.upload(upload, MINUTE).await.unwrap();
        let source = format!("/{}/{}/a/t/{}", site.server.bucket(), site.root, artifact.id);
        signed.headers.push(("x-amz-copy-source", source));
        let expected = if steals { "200" } else { "412 PreconditionFailed" };
        assert_eq!(site.send(&signed, Bytes::new()).await, expected);
        assert_eq!(store.finish(upload).await.unwrap().is_stored(), steals);
        let later = "Fri, 01 Jan 2100 00:00:00 GMT".to_owned();
        signed.headers.push((NO_COPY, later));
        let refused = site.send(&signed, Bytes::new()).await;
        assert!(steals || refused.starts_with('4'), "{refused}");
    }
}

/// The bytes that are stored are those that were checked, whatever is at the place of the upload
/// by then.
#[tokio::test]
async fn an_upload_that_is_replaced_before_the_end_is_stored_as_it_was_checked() {
    for (bytes, method, part) in
        [(5_000, "GET", "/u/t/"), (5_000, "PUT", "/a/t/"), (9 << 20, "POST", "uploadId=")]
    {
        let site = Site::new();
        let relay = Relay::before(site.server.clone()).await;
        let right = content(bytes, 1);
        let artifact = Artifact::of(&right);
        let signed = site.sign(Upload::new("t", "u", &artifact)).await;
        assert_eq!(site.send(&signed, right.clone()).await, "200");
        let gate = Gate::closed();
        let fault = Fault::HoldAnswer(gate.clone());
        let fault = if method == "GET" { fault } else { Fault::Hold(gate.clone()) };
        relay.next(method, part, fault);
        let (store, known) = (site.with(relay.server().store()), artifact.clone());
        let finish = tokio::spawn(async move { store.finish(Upload::new("t", "u", &known)).await });
        gate.arrived().await;
        let at = site.objects().await.pop().unwrap().location;
        assert!(at.as_ref().contains("/u/t/"), "{at}");
        site.objects.put(&at, content(bytes, 2).into()).await.unwrap();
        gate.open();
        assert_eq!(finish.await.unwrap().unwrap(), ArtifactOutcome::Stored, "{method}");
        site.holds(&artifact.id, Some(&right)).await;
        assert_eq!(site.objects().await.len(), 1);
    }
}
