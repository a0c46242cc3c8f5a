//! The audit trail.

use std::time::Duration;

use futures_util::future::join_all;
use snapfold::MemoryStore;
use snapfold::ledger::{AuditEntry, AuditOutcome};
use snapfold::service::http::{Permission, Scope};

use super::yard::{ALICE, Yard, alice, call};

fn requests(entry: &AuditEntry) -> u64 {
    let meta: serde_json::Value = serde_json::from_str(&entry.meta).unwrap();
    meta["requests"].as_u64().unwrap()
}

fn id(key: &str) -> &str {
    key["Bearer snf_".len()..].split_once('_').unwrap().0
}

#[tokio::test]
async fn a_write_is_in_the_trail_of_its_tenant() {
    let yard = Yard::new();
    yard.alice(9, &[]).await;
    let key = [("idempotency-key", "k1")];
    yard.ask("POST", &alice("snapshots"), &key, r#"{"version":4,"reason":"before"}"#).await;
    yard.ask("POST", &alice("snapshots"), &key, r#"{"version":4,"reason":"before"}"#).await;
    yard.post(&alice("rebuild"), "").await;
    yard.post(&alice("prune"), r#"{"policy":"last 1"}"#).await;
    yard.post(&alice("prune"), r#"{"policy":"last 1","dryRun":false}"#).await;
    yard.ask("DELETE", &format!("{}?before=9", alice("snapshots")), &[], "").await;
    let listed = yard.get(&alice("snapshots")).await.json();
    let one = listed["data"][0]["links"]["self"].as_str().unwrap();
    yard.ask("DELETE", one, &[], "").await;
    let trail = yard.trail("north").await;
    let actions: Vec<_> = trail.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["create", "refold", "apply_plan", "delete_before", "delete_snapshot"]);
    for entry in &trail {
        assert_eq!((&*entry.actor, &entry.outcome), (id(&yard.ops), &AuditOutcome::Ok));
    }
    assert_eq!(trail[0].reason, "before");
    assert_eq!(trail[0].meta, r#"{"idempotencyKey":"k1","via":"http"}"#);
    assert_eq!(trail[4].version, Some(9));
}

#[tokio::test]
async fn refusals_are_summed_up_by_principal_and_minute() {
    let yard = Yard::new();
    yard.alice(3, &[]).await;
    let reader = yard.key(Scope::new([Permission::Read]).tenants(["north"]));
    let ask = async |key: &str, method: &str, path: &str| {
        call(&yard.delivery, method, path, &[("authorization", key)], String::new()).await.status
    };
    for n in 0..50 {
        assert_eq!(ask(&reader, "POST", &alice("snapshots")).await, 403);
        let path = ALICE.replace("north", &format!("t{n}"));
        assert_eq!(ask(&reader, "GET", &path).await, 403);
        assert_eq!(ask("Bearer x", "GET", ALICE).await, 401);
        assert_eq!(ask(&reader, "GET", ALICE).await, 200);
    }
    assert!(yard.trail("").await.is_empty());
    yard.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&yard.ops, "GET", &ALICE.replace("north", "south")).await, 403);
    // The request after the minute writes in the background.
    let mut trail = Vec::new();
    while trail.len() < 2 {
        tokio::task::yield_now().await;
        trail = yard.trail("").await;
    }
    let find = |trail: &[AuditEntry], actor: &str| {
        let of_it: Vec<_> = trail.iter().filter(|entry| entry.actor == actor).cloned().collect();
        assert_eq!(of_it.len(), 1, "{actor}");
        of_it[0].clone()
    };
    let refused = find(&trail, id(&reader));
    assert_eq!((requests(&refused), &*refused.action), (100, "access"));
    assert!(matches!(&refused.outcome, AuditOutcome::Failed { kind, .. } if kind == "Forbidden"));
    let unknown = find(&trail, "");
    assert_eq!(requests(&unknown), 50);
    assert!(
        matches!(&unknown.outcome, AuditOutcome::Failed { kind, .. } if kind == "Unauthorized")
    );
    yard.delivery.flush_audit().await.unwrap();
    yard.delivery.flush_audit().await.unwrap();
    let trail = yard.trail("").await;
    let of_ops: Vec<_> = trail.iter().filter(|entry| entry.actor == id(&yard.ops)).collect();
    assert_eq!(of_ops.iter().map(|entry| requests(entry)).sum::<u64>(), 1);
    assert_eq!(trail.len(), 3);
}

#[tokio::test]
async fn reads_are_summed_up_if_they_are_wanted() {
    for audits in [false, true] {
        let yard = Yard::over(MemoryStore::new(), |builder| builder.audit_reads(audits));
        yard.alice(3, &[]).await;
        join_all((0..30).map(|_| yard.get(ALICE))).await;
        yard.delivery.flush_audit().await.unwrap();
        let trail = yard.trail("").await;
        let reads: Vec<_> = trail.iter().filter(|entry| entry.action == "read").collect();
        assert_eq!(reads.len(), usize::from(audits));
        assert!(reads.iter().all(|entry| requests(entry) == 30 && entry.actor == id(&yard.ops)));
    }
}
