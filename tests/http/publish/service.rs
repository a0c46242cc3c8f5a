//! The service without its transport.

use std::sync::Arc;

use snapfold::artifact::{MemoryArtifacts, in_one_piece};
use snapfold::engine::ManualClock;
use snapfold::publication::{
    PublicationDetails, PublicationPart, PublicationStatus, StorePublications,
};
use snapfold::record::Record;
use snapfold::service::publish::{
    PublishError, PublishOptions, PublishRefusal, PublishRequest, Publisher, WrongPart,
};
use snapfold::store::{ListRequest, SnapshotStore as _};
use snapfold::{ErrorKind, MemoryStore, SnapshotEngine};

use crate::support::{Shop, Stock, at, stock};

const RECORD: &str = "application/vnd.snapfold.record";

fn publisher(records: Option<&MemoryStore>) -> Publisher {
    let clock = ManualClock::at(at(0));
    let artifacts = MemoryArtifacts::with_clock(Arc::new(clock.clone()));
    let publications = StorePublications::new(MemoryStore::new());
    let builder = Publisher::builder(Arc::new(publications), Arc::new(artifacts)).clock(clock);
    match records {
        Some(store) => builder.records(store.clone(), ["stock"]).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

async fn publish(
    publisher: &Publisher,
    project: &str,
    content: impl Into<bytes::Bytes>,
) -> Result<PublicationStatus, PublishError> {
    let part = PublicationPart::new().content_type(RECORD);
    let request = PublishRequest::new(PublicationDetails::default()).part("record", part);
    let id = publisher.publish(project, request, "ci").await?.publication.id;
    publisher.receive(project, id, "record", Some(RECORD), in_one_piece(content)).await?;
    Ok(publisher.finalize(project, id, "ci").await?.status)
}

#[tokio::test]
async fn a_published_record_is_stored_and_no_load_uses_it() {
    let shop = Shop::new();
    let key = stock("alice").with_tenant("north").unwrap();
    shop.grow(&key, 5);
    let created = shop.engine.create(&key).await.unwrap();
    let admin = shop.kinds.get("stock").unwrap();
    let record: Record = admin.record(&key, created.meta().unwrap().id()).await.unwrap().unwrap();
    let target = MemoryStore::new();
    let publisher = publisher(Some(&target));
    let status = publish(&publisher, "north", record.clone().into_bytes()).await.unwrap();
    assert_eq!(status, PublicationStatus::Completed);
    let listed = target.list(ListRequest::new(&key)).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_retired());
    let engine = SnapshotEngine::<Stock>::builder(shop.stocks.clone(), target.clone());
    let loaded = engine.build().unwrap().load(&key).await.unwrap();
    assert_eq!(loaded.provenance.events_replayed, 5);

    let mut damaged = record.as_bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for (project, content) in [
        ("north", damaged),
        ("north", b"no record".to_vec()),
        ("south", record.as_bytes().to_vec()),
    ] {
        let error = publish(&publisher, project, content).await.unwrap_err();
        let PublishError::Refused(PublishRefusal::Incomplete(wrong)) = error else {
            panic!("{error:?}");
        };
        assert!(matches!(wrong["record"], WrongPart::Record { .. }), "{wrong:?}");
    }
    assert_eq!(target.list(ListRequest::new(&key)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn without_a_store_for_them_records_are_artifacts_like_others() {
    let status = publish(&publisher(None), "north", "no record").await.unwrap();
    assert_eq!(status, PublicationStatus::Completed);
}

#[tokio::test]
async fn what_exceeds_a_limit_is_invalid() {
    let publisher = publisher(None);
    let invalid = async |project: &str, request: PublishRequest| match publisher
        .publish(project, request, "ci")
        .await
        .unwrap_err()
    {
        PublishError::Failed(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        other => panic!("{other:?}"),
    };
    let plain = || PublishRequest::new(PublicationDetails::default());
    invalid(&"p".repeat(161), plain()).await;
    invalid("north", plain().key("")).await;
    invalid("north", plain().key("k".repeat(1_025))).await;
    for name in ["", ".", "..", "a/b", "a b", "\u{f6}", &"a".repeat(65)] {
        invalid("north", plain().part(name, PublicationPart::new())).await;
    }
    let typed = PublicationPart::new().content_type("a\nb");
    invalid("north", plain().part("a", typed)).await;
    let store = Arc::new(StorePublications::new(MemoryStore::new()));
    for seconds in [0, 604_801] {
        let options = PublishOptions::new().validity(std::time::Duration::from_secs(seconds));
        let builder = Publisher::builder(store.clone(), Arc::new(MemoryArtifacts::new()));
        let error = builder.options(options).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
