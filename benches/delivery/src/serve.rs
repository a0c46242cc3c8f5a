//! One process that serves all contestants, each on a port of its own.

use std::collections::HashMap;
use std::io::Read as _;

use axum::Router;
use axum::body::Body;
use http::Request;
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, RequestQuota, Scope};
use tower_service::Service as _;

use crate::by_hand::{Prepared, loading, prepared, rendered};
use crate::cart::{IDS, Shop, key, path};

/// The names of the contestants, in the order in which their ports are printed.
pub const CONTESTANTS: [&str; 4] = [
    "by hand, prepared",
    "delivery, open",
    "delivery, key and quota",
    "by hand, load, encode, hash",
];

/// Serves until the standard input ends. Prints a line with the entity tag of each state, one with an
/// API key, and one with each port.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let shop = Shop::new();
        let (open, guarded, secret) = deliveries(&shop);
        let mut ready = HashMap::new();
        for (id, length) in IDS {
            let (body, headers) = answer(&open, id).await;
            assert!(body.len().abs_diff(length) < length / 20, "{id}: {} bytes", body.len());
            // All contestants answer with the same bytes and headers.
            let by_hand = rendered(&shop.engine, &key(id), false).await;
            assert_eq!((&body, &headers), (&by_hand.0, &by_hand.1));
            println!("{}", headers["etag"].to_str().unwrap());
            let names = ("~".to_owned(), "cart".to_owned(), id.to_owned());
            ready.insert(names, Prepared::new(body, headers));
        }
        println!("{secret}");
        let mounted = |delivery| Router::new().nest_service("/api/v1", delivery);
        for router in
            [prepared(ready), mounted(open), mounted(guarded), loading(shop.engine.clone())]
        {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap().port());
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await.unwrap().unwrap();
    });
}

/// A delivery for everybody, one with keys and a quota, and a key of it.
pub fn deliveries(shop: &Shop) -> (Delivery, Delivery, String) {
    let builder = || Delivery::builder(shop.kinds()).prefix("/api/v1");
    let scope = Scope::new([Permission::Read]).kinds(["cart"]);
    let (key, secret) = ApiKey::generate("bench", [scope]).unwrap();
    // Here an audit trail belongs, once a delivery has one.
    let quota = RequestQuota::new(1_000_000_000, std::time::Duration::from_secs(60));
    let guarded = builder().authenticator(ApiKeys::new().with(key)).quota(quota);
    (builder().open_to_everybody().build().unwrap(), guarded.build().unwrap(), secret)
}

async fn answer(delivery: &Delivery, id: &str) -> (bytes::Bytes, http::HeaderMap) {
    let request = Request::get(path(id)).body(Body::empty()).unwrap();
    let Ok(response) = delivery.clone().call(request).await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    (body, parts.headers)
}
