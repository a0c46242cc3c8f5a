//! Deleting snapshots.

use futures_util::future::join_all;
use snapfold::AggregateKey;
use snapfold::store::{Mark, MarkChange, Selection};

use super::yard::{Yard, alice};
use crate::support::at;

/// The links of the listed snapshots, newest first.
async fn links(yard: &Yard) -> Vec<String> {
    let listed = yard.get(&alice("snapshots")).await.json();
    let data = listed["data"].as_array().unwrap();
    data.iter().map(|item| item["links"]["self"].as_str().unwrap().to_owned()).collect()
}

async fn pin(yard: &Yard, key: &AggregateKey, version: u64) {
    let listed = yard.engine.snapshots(key, version..=version).await.unwrap();
    let pin = Mark::pin("audit", at(0));
    let ids = [listed[0].id()];
    let set = MarkChange::Set(&pin);
    yard.engine.mark(key, Selection::Ids(&ids), set).await.unwrap();
}

#[tokio::test]
async fn one_snapshot_is_deleted_if_it_is_the_expected_one() {
    let yard = Yard::new();
    let key = yard.alice(9, &[3, 6, 9]).await;
    let one = links(&yard).await.swap_remove(1);
    let tag = yard.get(&one).await.header("etag").to_owned();
    let weak = format!("W/{tag}");
    for (headers, status) in [
        (&[("if-match", "\"other\"")][..], 412),
        (&[("if-match", &*weak)], 412),
        (&[("if-match", "unquoted")], 412),
        (&[("if-match", "\u{f6}")], 412),
        (&[("if-match", "")], 412),
        (&[("if-none-match", &*tag)], 412),
        (&[("if-none-match", "*")], 412),
        (&[("if-match", &*tag), ("if-none-match", &*tag)], 412),
    ] {
        let answer = yard.ask("DELETE", &one, headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    assert_eq!(yard.stored(&key).await, [9, 6, 3]);
    // What the tag stands for changes with the marks.
    pin(&yard, &key, 6).await;
    assert_eq!(yard.ask("DELETE", &one, &[("if-match", &tag)], "").await.status, 412);
    let pinned = yard.ask("DELETE", &one, &[], "").await;
    assert_eq!(pinned.status, 409);
    assert!(pinned.text().contains("pinned"));
    assert_eq!(yard.stored(&key).await, [9, 6, 3]);

    let one = links(&yard).await.swap_remove(2);
    let tag = yard.get(&one).await.header("etag").to_owned();
    let both = format!("\"x\", {tag}");
    let deleted = yard.ask("DELETE", &one, &[("if-match", &both)], "").await;
    assert_eq!((deleted.status.as_u16(), &deleted.json()["meta"]["deleted"]), (200, &1.into()));
    for headers in [&[][..], &[("if-match", &*tag)]] {
        assert_eq!(yard.ask("DELETE", &one, headers, "").await.status, 404);
    }
    assert_eq!(yard.get(&one).await.status, 404);
    for id in ["9", "x", "9-1", "09-1-0000000000000000", "9-1-zzzzzzzzzzzzzzzz", "%2e"] {
        let answer = yard.ask("DELETE", &alice(&format!("snapshots/{id}")), &[], "").await;
        assert_eq!(answer.status, 404, "{id}");
    }
    assert_eq!(yard.stored(&key).await, [9, 6]);
    yard.check_loads(&key, 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_delete_the_expected_one_one_does() {
    let yard = Yard::new();
    let key = yard.alice(30, &(1..=30).collect::<Vec<_>>()).await;
    for one in links(&yard).await {
        let tag = yard.get(&one).await.header("etag").to_owned();
        let condition = [("if-match", &*tag)];
        let all = join_all((0..8).map(|_| yard.ask("DELETE", &one, &condition, ""))).await;
        let count = |status| all.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(404)), (1, 7), "{one}");
    }
    assert!(yard.stored(&key).await.is_empty());
    yard.check_loads(&key, 30).await;
}

#[tokio::test]
async fn those_below_a_version_are_deleted_and_those_that_stay_are_counted() {
    let yard = Yard::new();
    let key = yard.alice(9, &[2, 4, 6, 9]).await;
    pin(&yard, &key, 4).await;
    let path = alice("snapshots");
    for query in ["", "?before", "?before=x", "?before=-1", "?before=6&before=7", "?version=6"] {
        let answer = yard.ask("DELETE", &format!("{path}{query}"), &[], "").await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(yard.stored(&key).await, [9, 6, 4, 2]);
    let deleted = yard.ask("DELETE", &format!("{path}?before=6"), &[], "").await;
    assert_eq!(deleted.status, 200);
    let meta = &deleted.json()["meta"];
    assert_eq!((&meta["deleted"], &meta["pinned"]), (&1.into(), &1.into()));
    assert_eq!(yard.stored(&key).await, [9, 6, 4]);
    let max = format!("{path}?before={}", u64::MAX);
    assert_eq!(yard.ask("DELETE", &max, &[], "").await.json()["meta"]["deleted"], 2);
    assert_eq!(yard.stored(&key).await, [4]);
    yard.check_loads(&key, 9).await;
}
