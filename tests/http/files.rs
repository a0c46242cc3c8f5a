//! States as files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use snapfold::ErrorKind;
use snapfold::manager::AdminContext;
use snapfold::service::http::{ApiKeys, CachePolicy, DeliveryMode, DeliveryModes, StaticExport};

use crate::support::{Shop, get, stock};

/// Every file below a folder, with its content.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

const IDS: [&str; 8] = ["alice", "Alice", "a b", "..", "", "index", "a/../../b", "ö"];

async fn shop() -> Shop {
    let shop = Shop::new();
    for (n, id) in (1..).zip(IDS.into_iter().map(str::to_owned).chain(["x".repeat(300)])) {
        for tenant in ["north", "south"] {
            let key = stock(&id).with_tenant(tenant).unwrap();
            shop.grow(&key, n);
            shop.engine.create(&key).await.unwrap();
        }
    }
    shop
}

#[tokio::test]
async fn each_state_is_a_file_with_the_bytes_that_are_served() {
    let (shop, folder) = (shop().await, tempfile::tempdir().unwrap());
    let export = StaticExport::new(shop.kinds.clone(), folder.path()).project("north");
    let report = export.run().await.unwrap();
    assert_eq!((report.files, report.written, report.removed), (9, 9, 0));
    let files = tree(folder.path());
    assert!(files.keys().all(|name| name.starts_with("north/")), "{:?}", files.keys());
    let index: Value = serde_json::from_slice(&files["north/stock/index.json"]).unwrap();
    let delivery = shop.open();
    let listed = get(&delivery, "/projects/north/entities?filter[kind]=stock").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 9);
    for item in listed["data"].as_array().unwrap() {
        let served = get(&delivery, item["links"]["self"].as_str().unwrap()).await;
        let of_id =
            index["files"].as_object().unwrap().iter().find(|(_, it)| it["id"] == item["id"]);
        let (name, entry) = of_id.unwrap();
        let content = &files[&format!("north/stock/{name}")];
        assert_eq!(content, &served.body, "{name}");
        let hash: [u8; 32] = Sha256::digest(content).into();
        let hash = format!("{hash:02x?}").replace(['[', ']', ',', ' '], "");
        assert_eq!(entry["sha256"], hash);
        assert_eq!(entry["bytes"], content.len());
        assert!(name.len() < 255 && name.to_lowercase() == *name, "{name}");
    }
    let names: std::collections::BTreeSet<_> =
        files.keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(names.len(), files.len(), "a file system without case mixes them up");
    assert!(files.contains_key("north/stock/alice.json"));

    // Again, and by another process: the same bytes, and nothing is written.
    let again = export.run().await.unwrap();
    assert_eq!((again.files, again.written, again.removed), (9, 0, 0));
    assert_eq!(tree(folder.path()), files);
    let other = tempfile::tempdir().unwrap();
    let elsewhere = Shop::over(shop.stocks.clone(), shop.counters.clone(), shop.store.clone());
    StaticExport::new(elsewhere.kinds, other.path()).project("north").run().await.unwrap();
    assert_eq!(tree(other.path()), files);
}

#[tokio::test]
async fn a_run_writes_what_changed_and_removes_what_is_gone() {
    let (shop, folder) = (shop().await, tempfile::tempdir().unwrap());
    let export = StaticExport::new(shop.kinds.clone(), folder.path()).project("north");
    export.run().await.unwrap();
    let before = tree(folder.path());
    // Files that the export did not write are left alone.
    let foreign = folder.path().join("north/stock/robots.txt");
    std::fs::write(&foreign, "of somebody else").unwrap();
    let [alice, bob] = ["alice", "a b"].map(|id| stock(id).with_tenant("north").unwrap());
    shop.grow(&alice, 50);
    shop.engine.admin().erase(&bob, &AdminContext::new("dpo")).await.unwrap();
    let report = export.run().await.unwrap();
    assert_eq!((report.files, report.written, report.removed), (8, 1, 1));
    let after = tree(folder.path());
    assert_eq!(after.len(), before.len());
    assert!(foreign.exists());
    let changed: Vec<_> = before.iter().filter(|(name, it)| after.get(*name) != Some(it)).collect();
    assert_eq!(changed.len(), 3, "{changed:?}");
    // A file that was cut is written again.
    std::fs::write(folder.path().join("north/stock/alice.json"), "{").unwrap();
    assert_eq!(export.run().await.unwrap().written, 1);
    assert_eq!(tree(folder.path()), after);
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_not_touched() {
    let (shop, folder) = (shop().await, tempfile::tempdir().unwrap());
    let kind = folder.path().join("north/stock");
    std::fs::create_dir_all(&kind).unwrap();
    for (name, content) in [
        ("thesis.doc", "years of work"),
        ("alice.json", "{\"mine\":true}"),
        ("index.json", "{\"format\":2}"),
    ] {
        std::fs::write(kind.join(name), content).unwrap();
        let before = tree(folder.path());
        let export = StaticExport::new(shop.kinds.clone(), folder.path()).project("north");
        let error = export.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let unchanged = |name: &&String| name.starts_with("north/stock");
        let after = tree(folder.path());
        assert_eq!(
            after.iter().filter(|(name, _)| unchanged(name)).collect::<Vec<_>>(),
            before.iter().filter(|(name, _)| unchanged(name)).collect::<Vec<_>>(),
        );
        std::fs::remove_file(kind.join(name)).unwrap();
    }
    // An index that was changed by hand removes nothing outside its folder.
    let export = StaticExport::new(shop.kinds.clone(), folder.path()).project("north");
    export.run().await.unwrap();
    let outside = folder.path().join("outside.json");
    std::fs::write(&outside, "{}").unwrap();
    let path = kind.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let entry = index["files"]["alice.json"].clone();
    index["files"]["../../outside.json"] = entry.clone();
    index["files"]["gone.json"] = entry;
    std::fs::write(&path, index.to_string()).unwrap();
    assert_eq!(export.run().await.unwrap().removed, 0);
    assert!(outside.exists());
}

#[tokio::test]
async fn modes_choose_the_projects_and_withdraw_those_that_became_guarded() {
    let (shop, folder) = (shop().await, tempfile::tempdir().unwrap());
    let export = |modes| StaticExport::new(shop.kinds.clone(), folder.path()).modes(modes);
    let north = DeliveryModes::new().public_files("north");
    assert_eq!(north.of("south"), DeliveryMode::GuardedRoutes);
    let both = north.clone().public_files("south");
    assert_eq!(export(both).run().await.unwrap().files, 18);
    // Neither the files of others nor what only looks like an index.
    for (name, content) in [("south/stock/mine.json", "{}"), ("south/other/index.json", "[]")] {
        std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let stays = |name: &str| name.starts_with("north/") || name.ends_with("index.json");
    let mut expected = tree(folder.path());
    expected.retain(|name, _| stays(name) || name == "south/stock/mine.json");

    // A guarded project is refused before anything is changed.
    let before = tree(folder.path());
    let error = export(north.clone()).project("south").run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(tree(folder.path()), before);

    let report = export(north.clone()).run().await.unwrap();
    assert_eq!((report.files, report.written, report.removed), (9, 0, 9));
    let mut after = tree(folder.path());
    let index = after.insert("south/stock/index.json".to_owned(), Vec::new()).unwrap();
    expected.insert("south/stock/index.json".to_owned(), Vec::new());
    assert_eq!(after, expected);
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["files"], serde_json::json!({}));
    assert_eq!(export(north.clone()).run().await.unwrap().removed, 0);
    // Public again.
    let both = export(north.public_files("south")).run().await.unwrap();
    assert_eq!((both.files, both.written), (18, 9));

    // Without a named project nothing is public.
    let elsewhere = tempfile::tempdir().unwrap();
    let none = StaticExport::new(shop.kinds.clone(), elsewhere.path()).modes(DeliveryModes::new());
    assert_eq!(none.run().await.unwrap().files, 0);
    assert!(tree(elsewhere.path()).is_empty());
}

#[tokio::test]
async fn a_delivery_that_would_tell_everybody_what_is_guarded_is_not_built() {
    let shop = Shop::new();
    let public = || CachePolicy::public(std::time::Duration::from_secs(30));
    let modes = || DeliveryModes::new().public_files("north");
    let guarded = || shop.builder().authenticator(ApiKeys::new()).modes(modes());
    for refused in [
        shop.builder().open_to_everybody().modes(modes()),
        guarded().cache_policy(public()),
        guarded().tenant_cache_policy("south", public()),
    ] {
        let error = refused.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let delivery = guarded().tenant_cache_policy("north", public()).build().unwrap();
    // The routes of public files are guarded as well: they have earlier states.
    let answer = get(&delivery, "/projects/north/entities/stock/alice").await;
    assert_eq!(answer.status, 401);
}
