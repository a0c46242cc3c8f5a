//! Calls without a server: what the parts of an answer cost.

use std::convert::Infallible;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, RequestQuota, Scope};
use tower_service::Service;

use crate::by_hand::rendered;
use crate::cart::{IDS, Shop, key, path};
use crate::counted::allocations;
use crate::serve::{by_hand, deliveries, quota};
use crate::turns::Turns;

/// Measures everything that needs no server.
pub fn calls(turns: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        warm(turns).await;
        for (id, length) in IDS {
            first(turns, id, length >> 10).await;
        }
    });
}

/// Makes one kind of call: what a profiler shows is then the cost of that call.
pub fn profiled(which: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let shop = Shop::new();
        let (open, guarded, secret) = deliveries(&shop);
        match which {
            "open" => repeat(open, &secret, count).await,
            "guarded" => repeat(guarded, &secret, count).await,
            "nested" => repeat(Router::new().nest_service("/api/v1", open), &secret, count).await,
            _ => repeat(by_hand(&shop, &open).await, &secret, count).await,
        }
    });
}

async fn repeat<S, B>(mut service: S, secret: &str, count: usize)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    for _ in 0..count {
        let Ok(response) = service.call(request("small", secret, false)).await;
        assert_eq!(response.status(), 200);
    }
}

fn request(id: &str, secret: &str, gzip: bool) -> Request<Body> {
    let mut request = Request::get(path(id)).header("accept", "application/json");
    request = request.header("authorization", format!("Bearer {secret}"));
    if gzip {
        request = request.header("accept-encoding", "gzip");
    }
    request.body(Body::empty()).unwrap()
}

/// A call for a state that did not change, without and with keys, without and with a quota.
async fn warm(turns: usize) {
    const NAMES: [&str; 6] = [
        "by hand, prepared",
        "open",
        "open, nested in axum",
        "key",
        "key, quota",
        "key, quota, audit",
    ];
    let shop = Shop::new();
    let (open, audited, secret) = deliveries(&shop);
    let keyed = |quota: Option<RequestQuota>| {
        let scope = Scope::new([Permission::Read]).kinds(["cart"]);
        let (key, secret) = ApiKey::generate("bench", [scope]).unwrap();
        let builder = Delivery::builder(shop.kinds()).prefix("/api/v1");
        let mut builder = builder.authenticator(ApiKeys::new().with(key));
        if let Some(quota) = quota {
            builder = builder.quota(quota);
        }
        (builder.build().unwrap(), secret)
    };
    let ((plain, own), (limited, other)) = (keyed(None), keyed(Some(quota())));
    let nested = Router::new().nest_service("/api/v1", open.clone());
    let mut times = Turns::new("a call, 1 KB, warm: ns", &NAMES);
    let mut counts = Turns::new("a call, 1 KB, warm: allocations", &NAMES);
    let prepared = by_hand(&shop, &open).await;
    for _ in 0..turns {
        let mut add = |at, (time, count)| {
            times.add(at, time);
            counts.add(at, count);
        };
        add(0, timed(prepared.clone(), &own).await);
        add(1, timed(open.clone(), &own).await);
        add(2, timed(nested.clone(), &own).await);
        add(3, timed(plain.clone(), &own).await);
        add(4, timed(limited.clone(), &other).await);
        add(5, timed(audited.clone(), &secret).await);
    }
    times.print(0);
    counts.print(1);
    println!("  the quota takes {:.0} ns, with its headers", times.median(4) - times.median(3));
}

/// The time of a call in ns, and its allocations.
async fn timed<S, B>(mut service: S, secret: &str) -> (f64, f64)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    const CALLS: usize = 20_000;
    const TOGETHER: usize = 20;
    let (mut took, mut allocated) = (Vec::new(), 0);
    for _ in 0..CALLS / TOGETHER {
        let requests = [(); TOGETHER].map(|()| request("small", secret, false));
        let (before, began) = (allocations(), Instant::now());
        for request in requests {
            let Ok(response) = service.call(request).await;
            assert_eq!(response.status(), 200);
        }
        took.push(began.elapsed().as_secs_f64() / TOGETHER as f64);
        allocated += allocations() - before;
    }
    (median(&mut took) * 1e9, allocated as f64 / CALLS as f64)
}

/// The first GET after a commit: load, encode, hash, gzip.
async fn first(turns: usize, id: &str, length: usize) {
    let calls = if length > 1 { 100 } else { 1_000 };
    let title = format!("first GET after a commit, {length} KB: us");
    let mut table = Turns::new(&title, &["by hand", "delivery"]);
    let (ours, theirs) = (Shop::new(), Shop::new());
    let (mut delivery, _, secret) = deliveries(&ours);
    let key = key(id);
    for turn in 0..=turns {
        let mut times = [Vec::new(), Vec::new()];
        for call in 0..calls {
            let event = (turn * calls + call) as u64;
            ours.commit(&key, event);
            theirs.commit(&key, event);
            let request = request(id, &secret, true);
            let began = Instant::now();
            let by_hand = rendered(&theirs.engine, &key, true).await;
            times[0].push(began.elapsed().as_secs_f64());
            let began = Instant::now();
            let Ok(response) = delivery.call(request).await;
            times[1].push(began.elapsed().as_secs_f64());
            if call == 0 {
                assert_eq!(*response.headers(), by_hand.1);
            }
        }
        // The first turn warms up.
        for (at, took) in times.iter_mut().enumerate().filter(|_| turn > 0) {
            table.add(at, median(took) * 1e6);
        }
    }
    table.print(1);
}

/// What else runs interrupts a few calls, and so does not count.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
