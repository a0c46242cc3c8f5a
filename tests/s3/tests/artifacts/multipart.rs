//! Large artifacts are sent in parts and appear with the last request.

use futures_util::{StreamExt as _, stream};
use snapfold::artifact::ArtifactContent;
use snapfold_s3::{Fault, Gate};

use crate::*;

const LARGE: usize = 20 << 20;

fn in_pieces(content: &Bytes) -> ArtifactContent {
    let pieces: Vec<_> = content.chunks(1 << 20).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces).boxed()
}

async fn lab() -> (Site, Relay) {
    let site = Site::new();
    let relay = Relay::before(site.server.clone()).await;
    (site, relay)
}

#[tokio::test]
async fn a_large_artifact_is_sent_in_parts() {
    let (site, relay) = lab().await;
    let right = content(LARGE, 1);
    let artifact = Artifact::of(&right).content_type("image/png");
    let store = site.with(relay.server().store());
    let outcome = store.put("t", &artifact, in_pieces(&right)).await.unwrap();
    assert_eq!(outcome, ArtifactOutcome::Stored);
    assert_eq!(["HEAD", "POST", "PUT"].map(|method| relay.count(method)), [1, 2, 3]);
    site.holds(&artifact.id, Some(&right)).await;
    assert_eq!(store.head("t", &artifact.id).await.unwrap(), Some(artifact.clone()));
    let range = Some((8 << 20) - 5..(8 << 20) + 5);
    let found = store.get("t", &artifact.id, range).await.unwrap().unwrap();
    let middle = found.bytes(10).await.unwrap().unwrap();
    assert_eq!(middle, right.slice((8 << 20) - 5..(8 << 20) + 5));
    assert_eq!(site.unfinished().await, 0);
}

#[tokio::test]
async fn a_large_artifact_with_a_wrong_end_leaves_nothing() {
    let (site, right) = (Site::new(), content(LARGE, 1));
    let artifact = Artifact::of(&right);
    let mut wrong = right.to_vec();
    wrong[LARGE - 1] ^= 1;
    let outcome = site.store().put("t", &artifact, in_pieces(&wrong.into())).await.unwrap();
    assert!(matches!(outcome, ArtifactOutcome::WrongHash { .. }), "{outcome:?}");
    assert_eq!(site.objects().await.len(), 0);
    assert_eq!(site.unfinished().await, 0);
}

/// What is left is what the docs say: parts, which a rule of the bucket removes.
#[tokio::test]
async fn a_large_put_that_is_dropped_in_the_middle_leaves_nothing_visible() {
    let (site, relay) = lab().await;
    let right = content(LARGE, 1);
    let artifact = Artifact::of(&right);
    let gate = Gate::closed();
    relay.next("PUT", "partNumber=2", Fault::Hold(gate.clone()));
    let store = site.with(relay.server().store());
    let (known, pieces) = (artifact.clone(), in_pieces(&right));
    let put = tokio::spawn(async move { store.put("t", &known, pieces).await });
    gate.arrived().await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    site.holds(&artifact.id, None).await;
    gate.open();
    gate.passed().await;
    site.holds(&artifact.id, None).await;
    assert_eq!((site.objects().await.len(), site.unfinished().await), (0, 1));

    let outcome = site.store().put("t", &artifact, in_pieces(&right)).await.unwrap();
    assert_eq!(outcome, ArtifactOutcome::Stored);
    site.holds(&artifact.id, Some(&right)).await;
}

#[tokio::test]
async fn a_large_put_that_is_dropped_at_its_end_appears_whole_or_not_at_all() {
    let (site, relay) = lab().await;
    let right = content(9 << 20, 1);
    let artifact = Artifact::of(&right);
    let gate = Gate::closed();
    relay.next("POST", "uploadId=", Fault::Hold(gate.clone()));
    let store = site.with(relay.server().store());
    let (known, pieces) = (artifact.clone(), in_pieces(&right));
    let put = tokio::spawn(async move { store.put("t", &known, pieces).await });
    gate.arrived().await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    site.holds(&artifact.id, None).await;
    gate.open();
    gate.passed().await;
    // The server had the request, and the client was gone.
    site.holds(&artifact.id, Some(&right)).await;
    assert_eq!(site.unfinished().await, 0);
}
