//! Publications in a store that fails, and in one that was damaged.

use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall};
use snapfold::publication::{
    Publication, PublicationCreated, PublicationFailure, PublicationId, PublicationStatus,
    PublicationStore, PublicationsRequest, StorePublications,
};
use snapfold::record::RecordBuilder;
use snapfold::store::{KeysRequest, ListRequest, Lookup, PutOptions, Query};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotStore, Timestamp};

use super::publication;

/// What is seen of a publication, in three ways that must agree.
async fn seen(publications: &StorePublications, of: &Publication) -> Option<Publication> {
    let found = publications.get("p", of.id).await.unwrap();
    let all = PublicationsRequest::new("p").completed(false).limit(256);
    let listed = publications.list(all).await.unwrap().items.into_iter().find(|it| it.id == of.id);
    assert_eq!(listed, found);
    let open = publications.expired(of.expires_at, usize::MAX).await.unwrap();
    let open = open.into_iter().find(|it| it.id == of.id);
    assert_eq!(open, found.clone().filter(|it| it.ended_at.is_none()));
    found
}

#[tokio::test(start_paused = true)]
async fn every_call_to_a_failing_store_has_its_effect_or_none() {
    let mut failed = 0;
    for seed in 0..400 {
        let faults = Faults::new(seed).rate(Fault::Refused, 0.12).rate(Fault::Unacknowledged, 0.12);
        let store = FaultyStore::new(MemoryStore::new(), faults);
        let publications = StorePublications::new(store.clone());
        let mut new = publication(i64::try_from(seed).unwrap());
        new.request_key = (seed % 2 == 0).then_some([7; 32]);
        let created = publications.create(&new).await;
        store.stop();
        let found = seen(&publications, &new).await;
        assert!(found.is_none() || found.as_ref() == Some(&new));
        if created.is_ok() {
            assert!(found.is_some(), "{created:?}");
        } else {
            failed += 1;
            // What was begun does not stop the next one with the key.
            let mut other = publication(1_000);
            other.request_key = new.request_key;
            match publications.create(&other).await.unwrap() {
                PublicationCreated::New => assert!(found.is_none() || seed % 2 == 1),
                PublicationCreated::Existing(holder) => assert_eq!(*holder, new),
                other => panic!("{other:?}"),
            }
            let again = publications.create(&new).await.unwrap();
            assert!(!matches!(again, PublicationCreated::New) || found.is_none());
        }
        let Some(mut now) = seen(&publications, &new).await else { continue };
        for step in 0..4 {
            let mut next = now.clone();
            next.revision += 1;
            next.details.title = Some(format!("step {step}"));
            if step == 3 {
                next.status = PublicationStatus::Failed(PublicationFailure::Refused);
                next.ended_at = Some(next.created_at);
            }
            store.start();
            let replaced = publications.replace(&next).await;
            store.stop();
            let found = seen(&publications, &new).await.unwrap();
            assert!(found == now || found == next);
            match replaced {
                Ok(replaced) => assert!(replaced && found == next),
                Err(_) => failed += 1,
            }
            assert!(publications.replace(&next).await.unwrap());
            now = next;
        }
        store.start();
        let deleted = publications.delete("p", new.id).await;
        store.stop();
        let found = seen(&publications, &new).await;
        assert!(found.is_none() || found.as_ref() == Some(&now));
        assert!(deleted.is_err() || found.is_none());
        publications.delete("p", new.id).await.unwrap();
        assert_eq!(seen(&publications, &new).await, None);
    }
    assert!(failed > 300, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_creator_that_stops_between_two_writes_does_not_block_the_key() {
    // The puts are: the marks, the claim, the publication, the shorter claim.
    for (put, stored) in [(0, false), (1, false), (2, true), (3, true)] {
        let store = FaultyStore::new(MemoryStore::new(), Faults::new(1));
        let publications = StorePublications::new(store.clone());
        let (mut new, mut other) = (publication(1), publication(2));
        (new.request_key, other.request_key) = (Some([1; 32]), Some([1; 32]));
        for at in 0..=put {
            let fault = if at == put { Fault::Refused } else { Fault::Delayed };
            store.fail_next(StoreCall::Put, fault).unwrap();
        }
        assert_eq!(publications.create(&new).await.is_ok(), put == 3);
        // What was claimed is stored by whoever comes next.
        let created = StorePublications::new(store.clone()).create(&other).await.unwrap();
        let expected = PublicationCreated::Existing(new.clone().into());
        assert_eq!(created, if stored { expected } else { PublicationCreated::New }, "{put}");
        assert_eq!(seen(&publications, &new).await, stored.then_some(new));
        assert_eq!(seen(&publications, &other).await.is_some(), !stored);
    }
}

#[tokio::test]
async fn what_was_begun_in_vain_is_cleared_an_hour_after_its_expiry_and_cannot_come_back() {
    let store = FaultyStore::new(MemoryStore::new(), Faults::new(1));
    let publications = StorePublications::new(store.clone());
    let new = publication(1);
    store.fail_next(StoreCall::Put, Fault::Delayed).unwrap();
    store.fail_next(StoreCall::Put, Fault::Refused).unwrap();
    tokio::time::pause();
    publications.create(&new).await.unwrap_err();
    let marker = AggregateKey::from_stored("", "snapfold.publication-open", "").unwrap();
    let count = async || store.list(ListRequest::new(&marker)).await.unwrap().items.len();
    let hour = std::time::Duration::from_secs(60 * 60);
    let end = new.expires_at.saturating_add(hour);
    let moment = std::time::Duration::from_micros(1);
    for (now, left) in [(new.expires_at, 1), (end.saturating_sub(moment), 1), (end, 0)] {
        assert_eq!(publications.expired(now, 10).await.unwrap(), []);
        assert_eq!(count().await, left, "{now}");
    }
    // Its creator was only late.
    assert_eq!(publications.create(&new).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(seen(&publications, &new).await, None);
}

#[tokio::test]
async fn a_deleted_publication_leaves_nothing_of_what_it_said() {
    let store = MemoryStore::new();
    let publications = StorePublications::new(store.clone());
    let mut now = publication(1);
    now.request_key = Some([3; 32]);
    now.details.title = Some("a secret".into());
    publications.create(&now).await.unwrap();
    for _ in 0..3 {
        now.revision += 1;
        now.created_by.clear();
        assert!(publications.replace(&now).await.unwrap());
    }
    publications.delete("p", now.id).await.unwrap();
    let keys = store.keys(KeysRequest::new().reserved(true)).await.unwrap().items;
    assert!(keys.len() >= 3);
    for key in keys {
        for meta in store.list(ListRequest::new(&key)).await.unwrap().items {
            let query = Query::latest(&key, meta.id().generation).at_most(meta.version);
            let Lookup::Found(found) = store.get(query).await.unwrap() else { continue };
            let says = found.record.as_bytes().windows(8).any(|text| text == b"a secret");
            assert!(!says, "{key}");
        }
    }
}

#[tokio::test]
async fn damaged_and_newer_documents_are_told_apart() {
    let new = publication(1);
    for (body, kind) in [
        (&b"\x01{}"[..], ErrorKind::CorruptStore),
        (b"\x01{\"id\":5}", ErrorKind::CorruptStore),
        (b"", ErrorKind::CorruptStore),
        (b"\x00more", ErrorKind::CorruptStore),
        (b"\x02", ErrorKind::CorruptStore),
        (b"\x03anything", ErrorKind::Unsupported),
    ] {
        let store = MemoryStore::new();
        let publications = StorePublications::new(store.clone());
        publications.create(&new).await.unwrap();
        let keys = store.keys(KeysRequest::new().reserved(true)).await.unwrap().items;
        let key = keys.into_iter().find(|key| key.kind() == "snapfold.publication").unwrap();
        let id = store.list(ListRequest::new(&key)).await.unwrap().items[0].id();
        let record = RecordBuilder::new(key, id.generation, 1, Timestamp::from_micros(0));
        let record = record.build(body).unwrap();
        store.put(vec![record], PutOptions::default().replace(true)).await.unwrap();
        let all = PublicationsRequest::new("p").completed(false);
        let errors = [
            publications.get("p", new.id).await.err(),
            publications.list(all).await.err(),
            publications.expired(Timestamp::MAX, 5).await.err(),
            publications.create(&new).await.err(),
            publications.replace(&new).await.err(),
            publications.delete("p", new.id).await.err(),
        ];
        for error in errors {
            let error = error.expect("it cannot be read");
            assert_eq!(error.kind(), kind, "{error:#}");
        }
    }
}

#[tokio::test]
async fn two_publications_with_nearly_the_same_id_are_not_mistaken_for_each_other() {
    let publications = StorePublications::new(MemoryStore::new());
    let new = publication(1);
    let mut bytes = *new.id.as_bytes();
    bytes[15] ^= 1;
    let mut other = new.clone();
    other.id = PublicationId::from_bytes(bytes);
    publications.create(&new).await.unwrap();
    assert_eq!(publications.create(&other).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(publications.get("p", other.id).await.unwrap(), None);
    publications.delete("p", other.id).await.unwrap();
    other.revision = 2;
    assert!(!publications.replace(&other).await.unwrap());
    assert_eq!(seen(&publications, &new).await, Some(new));
}
