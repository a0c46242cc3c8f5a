//! Any bytes in the place of a file of API keys: it is read or refused. Who is admitted is what the
//! file says, nobody is if it cannot be read, and no error quotes it.

use std::time::Duration;

use serde_json::Value;
use snapfold::ErrorKind;
use snapfold::service::http::{ApiKey, ApiKeyFile, Permission};

use super::request::{get, runtime};
use super::scratch::Scratch;
use super::shop::{self, KNOWN, Shop};

/// The input: the file.
pub fn run(input: &[u8]) {
    let dir = Scratch::new();
    let put = |content: &[u8]| dir.write(&vec![("keys.json".to_owned(), content.to_vec())]);
    put(b"{\"format\":1,\"keys\":[]}");
    runtime().block_on(async {
        let path = dir.0.join("keys.json");
        let opened = ApiKeyFile::open(&path).await.unwrap();
        let opened = opened.clock(shop::clock()).reread_after(Duration::ZERO);
        let (shop, reads) = (Shop::new().await, shop::reads());
        let delivery = shop.guarded_by(opened.clone());
        let ask = async || {
            let bearer = format!("Bearer {}", reads.text);
            get(&delivery, KNOWN[0].path, &bearer).await.status.as_u16()
        };
        assert_eq!(ask().await, 401);

        put(input);
        let keys = match opened.keys().await {
            Ok(keys) => keys,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
                let hash = as_json(&reads.stored())["sha256"].clone();
                for value in [hash.as_str().unwrap(), &reads.stored().name] {
                    assert!(!format!("{error:?} {error:#}").contains(value), "{error:?}");
                }
                assert!(ApiKeyFile::open(&path).await.is_err());
                assert_eq!(ask().await, 503);
                let added = opened.add(shop::ops().stored()).await.unwrap_err();
                assert_eq!(added.kind(), ErrorKind::InvalidInput, "{added:?}");
                assert_eq!(std::fs::read(&path).unwrap(), input);
                return;
            }
        };
        let expected = match keys.iter().find(|key| is_known(key) && !is_over(key)) {
            Some(key) if opens(key) => 200,
            Some(_) => 403,
            None => 401,
        };
        assert_eq!(ask().await, expected, "{keys:?}");

        // Another key is added and revoked, and the others stay as they are.
        let ops = shop::ops().stored();
        let id = ops.id.clone();
        let others = |keys: &[ApiKey]| -> Vec<Value> {
            all(keys).into_iter().filter(|key| key["id"] != *id).collect()
        };
        opened.add(ops.clone()).await.unwrap();
        let added = ApiKeyFile::open(&path).await.unwrap().keys().await.unwrap();
        assert_eq!(added.iter().filter(|key| **key == ops).count(), 1, "{added:?}");
        assert!(opened.revoke(&id).await.unwrap());
        let revoked = ApiKeyFile::open(&path).await.unwrap().keys().await.unwrap();
        assert_eq!(others(&added), others(&keys));
        assert_eq!(all(&revoked), others(&keys));
        assert_eq!(ask().await, expected, "{keys:?}");
    });
}

/// The file of a server with both keys.
pub fn sample() -> Vec<u8> {
    let keys = [shop::reads(), shop::ops()].map(|key| as_json(&key.stored()));
    let mut document = serde_json::json!({ "format": 1, "keys": keys });
    document["keys"][0]["expires_at"] = "2027-12-31T00:00:00Z".into();
    document["keys"][1]["quota"] = serde_json::json!({ "requests": 100, "seconds": 60 });
    serde_json::to_vec_pretty(&document).unwrap()
}

/// Whether it is the key that is presented.
fn is_known(key: &ApiKey) -> bool {
    let reads = shop::reads().stored();
    (&key.id, key.hash) == (&reads.id, reads.hash)
}

fn is_over(key: &ApiKey) -> bool {
    key.expires_at.is_some_and(|end| end <= shop::now())
}

/// Whether it opens the state that is asked for.
fn opens(key: &ApiKey) -> bool {
    key.scopes.iter().any(|scope| scope.allows(Permission::Read, "north", Some("shelf")))
}

fn all(keys: &[ApiKey]) -> Vec<Value> {
    keys.iter().map(as_json).collect()
}

fn as_json(key: &ApiKey) -> Value {
    serde_json::to_value(key).unwrap()
}
