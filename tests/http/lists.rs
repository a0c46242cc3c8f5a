//! Lists, page by page.

use serde_json::Value;
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::service::http::Delivery;

use crate::support::{Shop, get, stock};

/// All items of a list, and how many pages it had.
async fn walked(delivery: &Delivery, first: &str) -> (Vec<Value>, usize) {
    let (mut path, mut items, mut pages) = (first.to_owned(), Vec::new(), 0);
    loop {
        let page = get(delivery, &path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let page = page.json();
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        pages += 1;
        match page["links"]["next"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => return (items, pages),
        }
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| format!("{}/{}", item["type"], item["id"])).collect()
}

#[tokio::test]
async fn every_aggregate_of_a_tenant_is_listed_once() {
    let shop = Shop::new();
    for tenant in ["", "north"] {
        for n in 0..13 {
            let key = stock(&format!("id {n}")).with_tenant(tenant).unwrap();
            shop.grow(&key, 1);
            shop.engine.create(&key).await.unwrap();
        }
    }
    let counter = shop.kinds.get("counter").unwrap();
    for n in 0..7 {
        let key = snapfold::AggregateKey::new("counter", &n.to_string()).unwrap();
        shop.counters.append(&key, crate::support::at(1), 1);
        counter.create(&key, CreateOptions::new(), &AdminContext::default()).await.unwrap();
    }
    let delivery = shop.open();
    let (all, _) = walked(&delivery, "/projects/~/entities").await;
    assert_eq!(all.len(), 20);
    for size in [1, 2, 3, 7, 13, 19, 20, 1_000] {
        let (items, _) =
            walked(&delivery, &format!("/projects/~/entities?page[size]={size}")).await;
        assert_eq!(ids(&items), ids(&all), "{size}");
    }
    for item in &all {
        let entity = get(&delivery, item["links"]["self"].as_str().unwrap()).await;
        assert_eq!(entity.status, 200);
    }
    let only = "/projects/~/entities?filter%5Bkind%5D=stock&page%5Bsize%5D=5";
    let (stocks, pages) = walked(&delivery, only).await;
    assert_eq!((stocks.len(), pages), (13, 3));
    let (north, _) = walked(&delivery, "/projects/north/entities?page[size]=4").await;
    assert_eq!(north.len(), 13);
    assert!(walked(&delivery, "/projects/south/entities").await.0.is_empty());

    // A cursor is one of its list only.
    let page = get(&delivery, "/projects/~/entities?page[size]=2").await.json();
    let next = page["links"]["next"].as_str().unwrap();
    let foreign = next.replace("/projects/~/", "/projects/north/");
    assert_eq!(get(&delivery, &foreign).await.status, 400);
    assert_eq!(get(&shop.open(), next).await.status, 400);
    let secret =
        |byte| shop.builder().open_to_everybody().cursor_secret([byte; 32]).build().unwrap();
    let page = get(&secret(1), "/projects/~/entities?page[size]=2").await.json();
    let next = page["links"]["next"].as_str().unwrap();
    assert_eq!(get(&secret(1), next).await.status, 200);
    assert_eq!(get(&secret(2), next).await.status, 400);
    for query in
        ["page[size]=0", "page[size]=1001", "page[size]=x", "page[after]=AAAA", "page[after]="]
    {
        let answer = get(&delivery, &format!("/projects/~/entities?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["parameter"].as_str().unwrap().starts_with("page["));
    }
}

#[tokio::test]
async fn versions_and_snapshots_are_listed_page_by_page() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 250);
    for version in (10..=250).step_by(10) {
        let options = CreateOptions::new().at_version(version).label(format!("v{version}"));
        shop.engine.create_with(&key, options).await.unwrap();
    }
    let delivery = shop.open();
    let alice = "/projects/~/entities/stock/alice";
    let (versions, pages) = walked(&delivery, &format!("{alice}/versions")).await;
    let expected: Vec<_> = (1..=250).map(|version| Value::from(version.to_string())).collect();
    assert_eq!(versions.iter().map(|item| item["id"].clone()).collect::<Vec<_>>(), expected);
    assert_eq!(pages, 3);
    let (snapshots, pages) = walked(&delivery, &format!("{alice}/snapshots?page[size]=10")).await;
    let found: Vec<_> = snapshots.iter().map(|it| it["attributes"]["version"].as_u64()).collect();
    assert_eq!(found, (1..=25).rev().map(|n| Some(n * 10)).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    assert_eq!(snapshots[0]["attributes"]["labels"][0], "v250");
    assert_eq!(get(&delivery, "/projects/~/entities/stock/nobody/versions").await.status, 404);
    let (none, _) = walked(&delivery, "/projects/~/entities/stock/nobody/snapshots").await;
    assert!(none.is_empty());
}
