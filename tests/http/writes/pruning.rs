//! Retention policies.

use super::yard::{Yard, alice, counter};

#[tokio::test]
async fn a_dry_run_shows_what_is_then_done_and_nothing_else_is() {
    let yard = Yard::new();
    let key = yard.alice(12, &[2, 4, 6, 8]).await;
    let path = alice("prune");
    let dry = yard.post(&path, r#"{"policy":"last 2"}"#).await;
    assert_eq!(dry.status, 200, "{dry:?}");
    let dry = dry.json();
    assert_eq!((&dry["meta"]["dryRun"], &dry["meta"]["policy"]), (&true.into(), &"last 2".into()));
    let plan = &dry["data"]["attributes"];
    assert_eq!((&plan["kept"], &plan["dropped"]), (&2.into(), &2.into()));
    let each: Vec<_> = plan["snapshots"].as_array().unwrap().iter().collect();
    assert_eq!(each.len(), 4);
    for (judged, (version, action)) in
        each.iter().zip([(8, "keep"), (6, "keep"), (4, "drop"), (2, "drop")])
    {
        assert_eq!((&judged["version"], &judged["action"]), (&version.into(), &action.into()));
        assert!(!judged["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!(yard.stored(&key).await, [8, 6, 4, 2]);

    // The plan that was seen is not the one that would be applied.
    let seen = dry["data"]["id"].as_str().unwrap();
    let apply = |plan: &str| format!(r#"{{"policy":"last 2","dryRun":false,"plan":"{plan}"}}"#);
    yard.snap(&key, 10).await;
    let changed = yard.post(&path, &apply(seen)).await;
    assert_eq!(changed.status, 409);
    assert!(changed.text().contains("plan-changed"));
    assert_eq!(yard.stored(&key).await, [10, 8, 6, 4, 2]);

    let dry = yard.post(&path, r#"{"policy":"last 2","dryRun":true}"#).await.json();
    let applied = yard.post(&path, &apply(dry["data"]["id"].as_str().unwrap())).await;
    assert_eq!(applied.status, 200);
    assert_eq!(applied.json()["data"]["id"], dry["data"]["id"]);
    assert_eq!(applied.json()["meta"]["deleted"]["deleted"], 3);
    assert_eq!(yard.stored(&key).await, [10, 8]);
    // The newest stays under every policy.
    let nothing = yard.post(&path, r#"{"policy":"nothing","dryRun":false}"#).await;
    assert_eq!(nothing.status, 200);
    assert_eq!(yard.stored(&key).await, [10]);
    yard.check_loads(&key, 12).await;
    for body in
        ["", "{}", r#"{"policy":"last none"}"#, r#"{"policy":7}"#, r#"{"policy":"last 1","dry":1}"#]
    {
        assert_eq!(yard.post(&path, body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_project_is_pruned_and_rebuilt_by_kind() {
    let yard = Yard::new();
    for n in 0..20 {
        let key = counter(&n.to_string());
        yard.grow(&key, 0, 6);
        for version in [2, 4] {
            yard.snap(&key, version).await;
        }
    }
    let foreign = snapfold::AggregateKey::new("counter", "0").unwrap();
    yard.grow(&foreign, 0, 6);
    for version in [2, 4] {
        yard.snap(&foreign, version).await;
    }
    let prune = "/projects/north/prune";
    let dry = yard.post(prune, r#"{"policy":"last 1"}"#).await.json();
    assert_eq!(dry["data"].as_array().unwrap().len(), 20);
    for (name, count) in [("aggregates", 20), ("kept", 20), ("dropped", 20)] {
        assert_eq!(dry["meta"][name], count, "{name}");
    }
    let other = format!("{prune}?filter[kind]=stock");
    let none = yard.post(&other, r#"{"policy":"last 1","dryRun":false}"#).await;
    assert_eq!(
        (none.status.as_u16(), &none.json()["meta"]["counts"]["aggregates"]),
        (200, &0.into())
    );
    let unknown = yard.post("/projects/north/rebuild?filter[kind]=nothing", "").await;
    assert_eq!(unknown.status, 404);
    let kind = format!("{prune}?filter[kind]=counter");
    let done = yard.post(&kind, r#"{"policy":"last 1","dryRun":false}"#).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["meta"]["counts"]["deleted"], 20);
    let rebuilt = yard.post("/projects/north/rebuild", "").await;
    assert_eq!(rebuilt.json()["meta"]["counts"]["changed"], 20, "{rebuilt:?}");
    for n in 0..20 {
        let key = counter(&n.to_string());
        assert_eq!(yard.stored(&key).await, [6, 4]);
        yard.check_loads(&key, 6).await;
    }
    // Of another project.
    assert_eq!(yard.stored(&foreign).await, [4, 2]);
}
