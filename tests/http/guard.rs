//! Who may read what.

use std::time::Duration;

use snapfold::engine::ManualClock;
use snapfold::service::http::{ApiKey, ApiKeys, Permission, RequestQuota, Scope};

use crate::support::{Shop, at, get, get_with, stock};

#[tokio::test]
async fn a_delivery_needs_a_guard_or_says_that_it_has_none() {
    let error = Shop::new().builder().build().unwrap_err();
    assert_eq!(error.kind(), snapfold::ErrorKind::InvalidInput);
    for prefix in ["api", "/api/", "/", "/a b", "/a?b", "/a<b"] {
        let builder = Shop::new().builder().open_to_everybody().prefix(prefix);
        assert!(builder.build().is_err(), "{prefix}");
    }
}

#[tokio::test]
async fn a_key_opens_what_it_is_for_until_it_ends() {
    let shop = Shop::new();
    for tenant in ["", "north", "south"] {
        shop.grow(&stock("alice").with_tenant(tenant).unwrap(), 3);
    }
    let clock = ManualClock::at(at(0));
    let keys = ApiKeys::new().clock(clock.clone());
    let (north, north_secret) =
        ApiKey::generate("north", [Scope::new([Permission::Read]).tenants(["north"])]).unwrap();
    let scope = Scope::new(Permission::ALL.to_vec()).all_tenants().kinds(["counter"]);
    let (counters, counters_secret) = ApiKey::generate("counters", [scope]).unwrap();
    let north_id = north.id.clone();
    keys.add(north.clone().expires_at(at(100)));
    keys.add(counters);
    let delivery = shop.builder().authenticator(keys.clone()).build().unwrap();
    let status = async |secret: &str, path: &str| -> u16 {
        let value = format!("Bearer {secret}");
        get_with(&delivery, path, &[("authorization", &value)]).await.status.as_u16()
    };
    let path = |tenant: &str| format!("/projects/{tenant}/entities/stock/alice");
    assert_eq!(status(&north_secret, &path("north")).await, 200);
    assert_eq!(status(&north_secret, &path("south")).await, 403);
    assert_eq!(status(&north_secret, &path("nowhere")).await, 403);
    assert_eq!(status(&north_secret, "/projects/north/entities").await, 200);
    assert_eq!(status(&counters_secret, &path("north")).await, 403);
    assert_eq!(status(&counters_secret, "/projects/north/entities").await, 403);
    let filtered = "/projects/north/entities?filter[kind]=counter";
    assert_eq!(status(&counters_secret, filtered).await, 200);
    // Wrong in every character, cut, of another key, of another scheme.
    for place in 0..north_secret.len() {
        let mut wrong = north_secret.clone().into_bytes();
        wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
        let wrong = String::from_utf8(wrong).unwrap();
        assert_eq!(status(&wrong, &path("north")).await, 401, "{place}");
    }
    assert_eq!(status(&north_secret[..50], &path("north")).await, 401);
    assert_eq!(status("", &path("north")).await, 401);
    let none = get(&delivery, &path("north")).await;
    assert_eq!((none.status.as_u16(), none.header("www-authenticate")), (401, "Bearer"));
    let basic = format!("Basic {north_secret}");
    let basic = get_with(&delivery, &path("north"), &[("authorization", &basic)]).await;
    assert_eq!(basic.status, 401);
    // A project that does not exist cannot be told from one of somebody else.
    let foreign = async |tenant: &str| {
        let value = format!("Bearer {north_secret}");
        let answer = get_with(&delivery, &path(tenant), &[("authorization", &value)]).await;
        (answer.headers, answer.body)
    };
    assert_eq!(foreign("south").await, foreign("nowhere").await);

    clock.set(at(99));
    assert_eq!(status(&north_secret, &path("north")).await, 200);
    clock.set(at(100));
    assert_eq!(status(&north_secret, &path("north")).await, 401);
    keys.add(north);
    assert_eq!(status(&north_secret, &path("north")).await, 200);
    assert!(keys.revoke(&north_id) && !keys.revoke(&north_id));
    assert_eq!(status(&north_secret, &path("north")).await, 401);
}

#[test]
fn no_secret_is_printed() {
    let (key, secret) = ApiKey::generate("ops", [Scope::new([Permission::Read])]).unwrap();
    let keys = ApiKeys::new().with(key.clone());
    let printed = format!("{key:?} {key:#?} {keys:?}");
    let hash = format!("{:02x?}", key.hash).replace(['[', ']', ',', ' '], "");
    for hidden in [&secret[17..], &hash, &format!("{:?}", key.hash)] {
        assert!(!printed.contains(hidden), "{printed}");
    }
    assert!(printed.contains(&*key.id));
}

#[tokio::test]
async fn how_a_state_was_loaded_is_shown_to_those_who_may_see_it() {
    let shop = Shop::new();
    shop.grow(&stock("alice"), 3);
    for (actions, is_shown) in [(vec![Permission::Read], false), (Permission::ALL.to_vec(), true)] {
        let (key, secret) = ApiKey::generate("k", [Scope::new(actions)]).unwrap();
        let keys = ApiKeys::new().with(key);
        let delivery = shop.builder().authenticator(keys).build().unwrap();
        let value = format!("bearer {secret}");
        let path = "/projects/~/entities/stock/alice";
        let answer = get_with(&delivery, path, &[("authorization", &value)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.has("server-timing"), is_shown);
    }
}

#[tokio::test]
async fn each_principal_has_its_own_quota() {
    let (shop, clock) = (Shop::new(), ManualClock::at(at(0)));
    shop.grow(&stock("alice"), 3);
    let keys = ApiKeys::new();
    let minute = Duration::from_secs(60);
    let new = |quota: Option<RequestQuota>| {
        let (key, secret) = ApiKey::generate("k", [Scope::new([Permission::Read])]).unwrap();
        keys.add(quota.map_or(key.clone(), |quota| key.quota(quota)));
        format!("Bearer {secret}")
    };
    let (one, two) = (new(None), new(None));
    let large = new(Some(RequestQuota::new(1_000, minute)));
    let delivery = shop
        .builder()
        .authenticator(keys.clone())
        .quota(RequestQuota::new(6, minute))
        .failed_authentications(RequestQuota::new(10, minute))
        .clock(clock.clone());
    let delivery = delivery.build().unwrap();
    let path = "/projects/~/entities/stock/alice";
    let ask = async |key: &str| get_with(&delivery, path, &[("authorization", key)]).await;
    for left in (0..6).rev() {
        let answer = ask(&one).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"default\";q=6;w=60");
        let back = (6 - left) * 10;
        assert_eq!(answer.header("ratelimit"), format!("\"default\";r={left};t={back}"));
    }
    let refused = ask(&one).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "10"));
    assert_eq!(refused.header("ratelimit"), "\"default\";r=0;t=10");
    // Others are not affected, and nobody gains by asking again.
    assert_eq!(ask(&two).await.header("ratelimit"), "\"default\";r=5;t=10");
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(ask(&one).await.status, 429);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&one).await.status, 200);
    assert_eq!(ask(&one).await.status, 429);
    for _ in 0..900 {
        assert_eq!(ask(&large).await.status, 200);
    }
    // What is prepared for the quota of most is not said to others.
    assert_eq!(ask(&large).await.header("ratelimit-policy"), "\"default\";q=1000;w=60");
    let list = get_with(&delivery, "/projects/~/entities", &[("authorization", &two)]).await;
    assert_eq!(list.header("ratelimit-policy"), "\"default\";q=6;w=60");
    // Answers that are no states are counted as well.
    let missing = "/projects/~/entities/stock/nobody";
    let missing = get_with(&delivery, missing, &[("authorization", &two)]).await;
    assert_eq!((missing.status.as_u16(), missing.has("ratelimit")), (404, true));
    // So are those that are refused.
    let foreign = "/projects/north/entities/stock/alice";
    let foreign = get_with(&delivery, foreign, &[("authorization", &two)]).await;
    assert_eq!((foreign.status.as_u16(), foreign.has("ratelimit")), (403, true));
    // Wrong keys have one quota together, which does not stop the right ones.
    let wrong: Vec<_> = futures_util::future::join_all((0..1_000).map(|_| ask("Bearer x"))).await;
    let counted = |status| wrong.iter().filter(|answer| answer.status == status).count();
    assert_eq!((counted(401), counted(429)), (10, 990));
    assert!(wrong.iter().all(|answer| !answer.has("ratelimit")));
    assert_eq!(ask(&large).await.status, 200);
}
