//! A sweep goes by the clock of the server.

use object_store::ObjectStoreExt as _;
use snapfold::Timestamp;

use crate::*;

/// When each upload arrived, by its name.
async fn arrivals(site: &Site) -> Vec<Timestamp> {
    let objects = site.objects().await;
    let uploads = objects.iter().filter(|object| object.location.as_ref().contains("/u/"));
    uploads.map(|upload| Timestamp::from_micros(upload.last_modified.timestamp_micros())).collect()
}

#[tokio::test]
async fn a_sweep_removes_what_arrived_before_a_time_of_the_server() {
    let (site, right) = (Site::new(), content(100, 1));
    let artifact = Artifact::of(&right);
    let store = site.store();
    let kept = content(100, 2);
    store.put("t", &Artifact::of(&kept), in_one_piece(kept.clone())).await.unwrap();
    let [early, late] =
        [("a/b", "1"), ("t", "2")].map(|(tenant, name)| Upload::new(tenant, name, &artifact));
    assert_eq!(site.send(&site.sign(early).await, right.clone()).await, "200");
    // Until the clock of the server has moved on.
    let second = loop {
        assert_eq!(site.send(&site.sign(late).await, right.clone()).await, "200");
        let at = arrivals(&site).await;
        assert_eq!(at.len(), 2);
        if at[0] < at[1] {
            break at[1];
        }
        site.objects.delete(&site.objects().await.pop().unwrap().location).await.unwrap();
    };
    let first = arrivals(&site).await[0];
    assert_eq!(store.sweep(first).await.unwrap(), 0);
    assert_eq!(store.sweep(second).await.unwrap(), 1);
    assert_eq!(store.finish(early).await.unwrap(), ArtifactOutcome::Missing);
    assert_eq!(arrivals(&site).await, [second]);
    assert_eq!(store.finish(late).await.unwrap(), ArtifactOutcome::Stored);
    assert_eq!(store.sweep(Timestamp::MAX).await.unwrap(), 0);
    site.holds(&artifact.id, Some(&right)).await;
    site.holds(&Artifact::of(&kept).id, Some(&kept)).await;
}
