//! One process that serves all contestants, each on a port of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::io::Read as _;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use snapfold::MemoryStore;
use snapfold::ledger::StoreLedger;
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, RequestQuota, Scope};
use tower_service::Service;

use crate::by_hand::guarded as guarded_by_hand;
use crate::by_hand::{Names, Prepared, loading, prepared, rendered};
use crate::cart::{IDS, Shop, key, path};

/// The names of the contestants, in the order in which their ports are printed.
pub const CONTESTANTS: [&str; 6] = [
    "by hand, prepared",
    "by hand, key, quota, audit",
    "delivery, open",
    "delivery, open, nested in axum",
    "delivery, key, quota, audit",
    "by hand, load, encode, hash",
];

/// Serves until the standard input ends. Prints a line with the entity tag of each state, one with an
/// API key, and one with each port.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let shop = Shop::new();
        let (open, guarded, secret) = deliveries(&shop);
        let by_hand = by_hand(&shop, &open).await;
        let with_key = guarded_by_hand(all_prepared(&shop, &open).await, &secret);
        for (id, _) in IDS {
            println!("{}", answer(&open, id).await.1["etag"].to_str().unwrap());
        }
        println!("{secret}");
        let nested = Router::new().nest_service("/api/v1", open.clone());
        let to_load = loading(shop.engine.clone());
        // In the order of `CONTESTANTS`. Those by hand have a router because they need one.
        serve_on_a_port(by_hand).await;
        serve_on_a_port(with_key).await;
        serve_on_a_port(open).await;
        serve_on_a_port(nested).await;
        serve_on_a_port(guarded).await;
        serve_on_a_port(to_load).await;
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await.unwrap().unwrap();
    });
}

/// Serves as hyper does for a tower service. `axum::serve` does the same for a router.
pub async fn serve_on_a_port<S, B>(service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let builder = Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                // A client that closes its connection is no error here.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// The handler that sends what is ready: what `delivery` answers.
pub async fn by_hand(shop: &Shop, delivery: &Delivery) -> Router {
    prepared(all_prepared(shop, delivery).await)
}

async fn all_prepared(shop: &Shop, delivery: &Delivery) -> HashMap<Names, Prepared> {
    let mut ready = HashMap::new();
    for (id, length) in IDS {
        let (body, headers) = answer(delivery, id).await;
        assert!(body.len().abs_diff(length) < length / 20, "{id}: {} bytes", body.len());
        // All contestants answer with the same bytes and headers.
        let by_hand = rendered(&shop.engine, &key(id), false).await;
        assert_eq!((&body, &headers), (&by_hand.0, &by_hand.1));
        let names = ("~".to_owned(), "cart".to_owned(), id.to_owned());
        ready.insert(names, Prepared::new(body, headers));
    }
    ready
}

/// A delivery for everybody, one with keys, a quota and an audit trail of all reads, and a key of it.
pub fn deliveries(shop: &Shop) -> (Delivery, Delivery, String) {
    let builder = || Delivery::builder(shop.kinds()).prefix("/api/v1");
    let scope = Scope::new([Permission::Read]).kinds(["cart"]);
    let (key, secret) = ApiKey::generate("bench", [scope]).unwrap();
    let guarded = builder().authenticator(ApiKeys::new().with(key)).quota(quota());
    let guarded = guarded.audit(StoreLedger::new(MemoryStore::new())).audit_reads(true);
    (builder().open_to_everybody().build().unwrap(), guarded.build().unwrap(), secret)
}

/// A quota that is never exceeded.
pub fn quota() -> RequestQuota {
    RequestQuota::new(1_000_000_000, std::time::Duration::from_secs(60))
}

async fn answer(delivery: &Delivery, id: &str) -> (Bytes, http::HeaderMap) {
    let request = Request::get(path(id)).body(Body::empty()).unwrap();
    let Ok(response) = delivery.clone().call(request).await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    (body, parts.headers)
}
