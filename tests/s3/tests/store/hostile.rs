//! Keys, roots and rights that a store may meet on Ceph.

use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::store::{DeleteOptions, KeysRequest, Selection, SnapshotStoreExt as _};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotStore as _};
use snapfold_s3::history::{Answer, Call};
use snapfold_s3::{Server, samples};

async fn open(server: &Server, root: &str) -> Result<ObjectStoreSnapshots, Error> {
    ObjectStoreSnapshots::open(server.store(), root).await
}

/// All that an error says, with its causes.
fn told(error: &Error) -> String {
    format!("{error} {error:#} {error:?}")
}

#[tokio::test]
async fn keys_of_any_bytes_are_stored_listed_and_deleted() {
    let server = Server::ceph();
    let root = server.prefix().to_string();
    let store = open(&server, &root).await.unwrap();
    let limit = usize::try_from(store.capabilities().max_key_bytes).unwrap();
    // Every byte that UTF-8 has: 0 to 0x7f, and all that begin or continue a longer character.
    let mut texts: Vec<String> = (0..=0x7f_u8).map(|byte| char::from(byte).to_string()).collect();
    let continued = (0x80..=0xbf).map(|code| char::from_u32(code).unwrap());
    let begun = (0xc0..0x800).step_by(0x40).chain((0x800..0x1_0000).step_by(0x1000));
    let begun = begun.chain((0x1_0000..0x11_0000).step_by(0x4_0000)).filter_map(char::from_u32);
    texts.push(continued.collect());
    texts.push(begun.collect());
    for text in ["..", "~2e", "%2F", "%2e%2e", "a/../b", "//", "a b", "?x=1"] {
        texts.push(text.to_owned());
    }
    let mut keys = Vec::new();
    for text in &texts {
        keys.push(AggregateKey::new("account", text).unwrap());
    }
    for tenant in ["..", ".", "~", "%2F", " ", "a/b", "x", "r", "snapfold", "\u{1f600}"] {
        keys.push(AggregateKey::new("..", "..").unwrap().with_tenant(tenant).unwrap());
        keys.push(AggregateKey::new("%2F", "~").unwrap().with_tenant(tenant).unwrap());
    }
    // The longest, of bytes that take three each and of such that take one.
    keys.push(AggregateKey::new("k", &"\u{7}".repeat(limit - 1)).unwrap());
    keys.push(AggregateKey::new("k", &"x".repeat(3 * limit - 10)).unwrap());
    let too_long = AggregateKey::new("k", &"\u{7}".repeat(limit + 2)).unwrap();
    let refused = store.put(vec![samples::record(&too_long, 1, 0)], Default::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);

    let records = keys.iter().zip(0..).map(|(key, number)| samples::record(key, 1, number));
    store.put(records.collect(), Default::default()).await.unwrap();
    let other = open(&server, &root).await.unwrap();
    for (key, number) in keys.iter().zip(0..) {
        let found = Call::Get.try_on(&other, key, 1).await.unwrap();
        assert_eq!(found, Answer::Found(number), "{key:?}");
    }
    let mut pages = other.key_pages(KeysRequest::new().limit(50));
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        listed.extend(page);
    }
    listed.sort_unstable();
    keys.sort_unstable();
    assert!(listed == keys, "{} of {} keys are listed", listed.len(), keys.len());

    let deleted = other.delete(&keys[0], Selection::All, DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted.snapshots, 1);
    let ids = [samples::id(1)];
    let all: Vec<_> = keys.iter().map(|key| (key, &ids[..])).collect();
    let deleted = other.delete_many(&all, DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted.iter().map(|it| it.snapshots).sum::<u64>(), keys.len() as u64 - 1);
    assert!(other.keys(KeysRequest::new()).await.unwrap().items.is_empty());
    assert!(samples::record_objects(&server, &root).await.is_empty());
}

#[tokio::test]
async fn stores_below_different_roots_of_one_bucket_do_not_see_each_other() {
    let server = Server::ceph();
    let base = server.prefix().to_string();
    // Each is the beginning of others as a text, but none is a folder of another.
    let roots = ["a", "ab", "a-", "a.b", "b/a", "b/ab"].map(|root| format!("{base}/{root}"));
    let mut stores = Vec::new();
    for (root, number) in roots.iter().zip(0..) {
        let store = open(&server, root).await.unwrap();
        let stored = Call::Put(number).try_on(&store, &samples::key("same"), 1).await.unwrap();
        assert_eq!(stored, Answer::Stored);
        let own = samples::key(&format!("own {number}"));
        Call::Put(number).try_on(&store, &own, 1).await.unwrap();
        stores.push(store);
    }
    for (store, number) in stores.iter().zip(0..) {
        let found = Call::Get.try_on(store, &samples::key("same"), 1).await.unwrap();
        assert_eq!(found, Answer::Found(number));
        let keys = store.keys(KeysRequest::new()).await.unwrap().items;
        assert_eq!(keys, [samples::key(&format!("own {number}")), samples::key("same")]);
        assert_eq!(store.sweep().await.unwrap().listed, 2);
        assert_eq!(store.repair().await.unwrap().aggregates, 2);
    }
    let same = samples::key("same");
    stores[0].delete(&same, Selection::All, DeleteOptions::default()).await.unwrap();
    assert_eq!(Call::Get.try_on(&stores[0], &same, 1).await.unwrap(), Answer::Absent);
    for (store, number) in stores.iter().zip(0..).skip(1) {
        assert_eq!(Call::Get.try_on(store, &same, 1).await.unwrap(), Answer::Found(number));
    }
    // What lies around other stores is not empty.
    for root in [base.clone(), format!("{base}/b")] {
        let refused = open(&server, &root).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
}

#[tokio::test]
async fn wrong_credentials_and_missing_buckets_are_named_and_no_secret_is_told() {
    let server = Server::ceph();
    let root = server.prefix().to_string();
    let secret = "wrong-secret-5eed";
    let cases = [
        (server.with_secret_key(secret), "does not accept the credentials"),
        (
            server.with_access_key("nobody").with_secret_key(secret),
            "does not accept the credentials",
        ),
        (server.with_bucket("no-such-bucket"), "bucket"),
    ];
    for (server, word) in cases {
        for read_only in [false, true] {
            let options = ObjectStoreOptions::new().read_only(read_only);
            let opened = ObjectStoreSnapshots::open_with(server.store(), &root, options).await;
            let error = opened.unwrap_err();
            let text = told(&error);
            assert_eq!(error.kind(), ErrorKind::Store, "{text}");
            assert_eq!(error.retry(), Retry::Never, "{text}");
            assert!(error.to_string().contains(word), "{text}");
            for secret in [secret, server.environment()[2].1] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}
