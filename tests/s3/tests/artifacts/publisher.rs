//! The whole way of a publication, with snapshots, publications and artifacts in one bucket.

use std::collections::BTreeMap;

use snapfold::Timestamp;
use snapfold::engine::{ManualClock, SystemClock};
use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::publication::{
    PublicationDetails, PublicationId, PublicationPart, PublicationStatus, StorePublications,
};
use snapfold::service::publish::{
    PartUpload, PublishError, PublishRefusal, PublishRequest, Published, Publisher, WrongPart,
};

use crate::*;

/// Any number of nodes, each with clients of its own.
async fn node(site: &Site, hours_later: u64) -> Publisher {
    let root = format!("{}/publications", site.root);
    let store = ObjectStoreSnapshots::open(site.server.store(), &root).await.expect("a store");
    let now = Timestamp::from(std::time::SystemTime::now());
    let later = now.saturating_add(Duration::from_secs(hours_later * 3_600));
    let builder =
        Publisher::builder(Arc::new(StorePublications::new(store)), Arc::new(site.store()));
    let builder = match hours_later {
        0 => builder.clock(SystemClock::new()),
        _ => builder.clock(ManualClock::at(later)),
    };
    builder.build().expect("a publisher")
}

fn declared(content: &Bytes) -> PublicationPart {
    let artifact = Artifact::of(content);
    PublicationPart::new().size(artifact.size).sha256(artifact.id).content_type("image/png")
}

async fn begin(publisher: &Publisher, parts: &[(&str, PublicationPart)]) -> Published {
    let mut request = PublishRequest::new(PublicationDetails::default());
    for (name, part) in parts {
        request = request.part(*name, part.clone());
    }
    publisher.publish("t", request, "ci").await.expect("a publication")
}

fn signed<'p>(published: &'p Published, name: &str) -> &'p SignedUpload {
    match &published.uploads[name] {
        PartUpload::Signed(signed) => signed,
        other => panic!("{name}: {other:?}"),
    }
}

/// What is wrong with the artifacts of a publication that cannot be completed yet.
async fn wrong(publisher: &Publisher, id: PublicationId) -> BTreeMap<String, WrongPart> {
    match publisher.finalize("t", id, "ci").await {
        Err(PublishError::Refused(PublishRefusal::Incomplete(wrong))) => wrong,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_publication_goes_straight_to_the_bucket_and_only_what_is_right_is_seen() {
    let site = Site::new();
    let (one, other) = (node(&site, 0).await, node(&site, 0).await);
    let (plot, code, data) = (content(5_000, 1), content(70_000, 2), content(300, 3));
    let begun = begin(
        &one,
        &[("plot", declared(&plot)), ("code", declared(&code)), ("data", PublicationPart::new())],
    )
    .await;
    let id = begun.publication.id;
    assert_eq!(begun.uploads["data"], PartUpload::Direct);
    let mut missing = BTreeMap::new();
    for name in ["code", "data", "plot"] {
        missing.insert(name.to_owned(), WrongPart::Missing);
    }
    assert_eq!(wrong(&other, id).await, missing);

    // The client lies as far as Ceph lets it.
    let retyped =
        (signed(&begun, "plot").url.clone(), vec![("content-type", "text/html".to_owned())]);
    let answer = site.request("PUT", &retyped.0, &retyped.1, plot.clone()).await;
    assert_eq!(answer.status(), 403);
    let elsewhere = signed(&begun, "plot").url.replacen("/u/t/", "/a/t/", 1);
    let answer =
        site.request("PUT", &elsewhere, &signed(&begun, "plot").headers, plot.clone()).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(site.send(signed(&begun, "plot"), content(5_000, 9)).await, "200");
    assert_eq!(site.send(signed(&begun, "plot"), plot.clone()).await, "412 PreconditionFailed");
    assert_eq!(site.send(signed(&begun, "code"), content(9, 9)).await, "200");
    other.receive("t", id, "data", Some("text/csv"), in_one_piece(data.clone())).await.unwrap();
    let expected = BTreeMap::from([
        ("code".to_owned(), WrongPart::Size { found: 9 }),
        ("plot".to_owned(), WrongPart::Hash),
    ]);
    assert_eq!(wrong(&one, id).await, expected);
    assert_eq!(one.get("t", id).await.unwrap().unwrap().status, PublicationStatus::Generating);
    site.holds(&Artifact::of(&plot).id, None).await;

    // The same URLs take what is right.
    assert_eq!(site.send(signed(&begun, "plot"), plot.clone()).await, "200");
    assert_eq!(site.send(signed(&begun, "code"), code.clone()).await, "200");
    let (first, second) = tokio::join!(one.finalize("t", id, "ci"), other.finalize("t", id, "ci"));
    assert_eq!(first.unwrap(), second.unwrap());
    let completed = one.get("t", id).await.unwrap().unwrap();
    assert_eq!(completed.status, PublicationStatus::Completed);
    for (name, right) in [("plot", &plot), ("code", &code), ("data", &data)] {
        let found = other.open(&completed, name, None).await.unwrap().unwrap();
        assert_eq!(found.bytes(100_000).await.unwrap().as_ref(), Some(right));
        let stored = completed.parts[name].stored.as_ref().unwrap();
        let url = site.store().download("t", &stored.id, MINUTE, Some(name)).await.unwrap().url;
        assert_eq!(site.get(&url).await.bytes().await.unwrap(), right);
    }

    // What is there already is not sent again.
    let again = begin(&other, &[("plot", declared(&plot))]).await;
    assert_eq!(again.uploads["plot"], PartUpload::Stored);
    other.finalize("t", again.publication.id, "ci").await.unwrap();
}

#[tokio::test]
async fn what_nobody_finished_and_what_nobody_needs_is_removed() {
    let site = Site::new();
    let publisher = node(&site, 0).await;
    let (kept, given_up, late) = (content(100, 1), content(100, 2), content(100, 3));
    let begun = begin(&publisher, &[("a", declared(&kept))]).await;
    assert_eq!(site.send(signed(&begun, "a"), kept.clone()).await, "200");
    publisher.finalize("t", begun.publication.id, "ci").await.unwrap();
    let part = PublicationPart::new();
    let aborted = begin(&publisher, &[("a", part)]).await.publication.id;
    publisher.receive("t", aborted, "a", None, in_one_piece(given_up.clone())).await.unwrap();
    publisher.abort("t", aborted, "ci").await.unwrap();
    let pending = begin(&publisher, &[("a", declared(&late))]).await;
    assert_eq!(site.send(signed(&pending, "a"), late.clone()).await, "200");

    // Its time is not over.
    assert_eq!(publisher.sweep().await.unwrap().expired, 0);
    assert_eq!(publisher.collect("t").await.unwrap().artifacts, 1);
    site.holds(&Artifact::of(&given_up).id, None).await;
    let later = node(&site, 48).await;
    let swept = later.sweep().await.unwrap();
    assert_eq!((swept.expired, swept.uploads), (1, 1));
    assert_eq!(later.collect("t").await.unwrap().artifacts, 0);
    site.holds(&Artifact::of(&kept).id, Some(&kept)).await;
    let artifacts = site.objects().await;
    let named =
        |part: &str| artifacts.iter().filter(|it| it.location.as_ref().contains(part)).count();
    assert_eq!((named("/a/t/"), named("/u/")), (1, 0));
}
