//! Calls without a server: what the parts of an answer cost.

use std::time::Instant;

use axum::body::Body;
use http::Request;
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use tower_service::Service as _;

use crate::by_hand::rendered;
use crate::cart::{IDS, Shop, key, path};
use crate::counted::allocations;
use crate::serve::deliveries;
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
    const CALLS: usize = 20_000;
    const TOGETHER: usize = 20;
    const NAMES: [&str; 3] = ["open", "key", "key and quota"];
    let shop = Shop::new();
    let (open, limited, secret) = deliveries(&shop);
    let scope = Scope::new([Permission::Read]).kinds(["cart"]);
    let (key, own) = ApiKey::generate("bench", [scope]).unwrap();
    let builder = Delivery::builder(shop.kinds()).prefix("/api/v1");
    let keyed = builder.authenticator(ApiKeys::new().with(key)).build().unwrap();
    let mut times = Turns::new("a call, 1 KB, warm: ns", &NAMES);
    let mut counts = Turns::new("a call, 1 KB, warm: allocations", &NAMES);
    let contestants = [(&open, &own), (&keyed, &own), (&limited, &secret)];
    for _ in 0..turns {
        for (at, (delivery, secret)) in contestants.iter().enumerate() {
            let mut delivery = (*delivery).clone();
            let (mut took, mut allocated) = (Vec::new(), 0);
            for _ in 0..CALLS / TOGETHER {
                let requests = [(); TOGETHER].map(|()| request("small", secret, false));
                let (before, began) = (allocations(), Instant::now());
                for request in requests {
                    let Ok(response) = delivery.call(request).await;
                    assert_eq!(response.status(), 200);
                }
                took.push(began.elapsed().as_secs_f64() / TOGETHER as f64);
                allocated += allocations() - before;
            }
            times.add(at, median(&mut took) * 1e9);
            counts.add(at, allocated as f64 / CALLS as f64);
        }
    }
    times.print(0);
    counts.print(1);
    println!("  the quota takes {:.0} ns, with its headers", times.median(2) - times.median(1));
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
