//! A store in PostgreSQL: the same commands give the same answers.

use crate::postgres_support::{TestDb, shared_url};
use crate::support::{Printed, Shop, command, finish};

fn run(schema: &str, arguments: &[&str]) -> Printed {
    let all = [arguments, &["--schema", schema]].concat();
    finish(command(&all).env("SNAPFOLD_STORE", shared_url()))
}

fn json(schema: &str, arguments: &[&str]) -> serde_json::Value {
    let printed = run(schema, &[arguments, &["--json"]].concat());
    assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.err);
    serde_json::from_str(&printed.out).unwrap()
}

#[test]
fn a_database_answers_as_files_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(TestDb::new());
    let schema = db.schema.as_str();

    // Before the migrations there is no store.
    assert_eq!(run(schema, &["migrate", "--check"]).code, 1);
    let early = run(schema, &["ls"]);
    assert!(early.code == 3 && early.err.contains("migration"), "{}", early.err);
    let migrated = json(schema, &["migrate"]);
    assert_eq!((&migrated["before"], &migrated["after"]), (&0.into(), &migrated["latest"]));
    assert_eq!(run(schema, &["migrate", "--check"]).code, 0);

    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "300", "audit"]);
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let archive = archive.to_str().unwrap();
    shop.text(&["export", archive]);
    assert_eq!(json(schema, &["import", archive])["stored"], 14);

    for arguments in [
        &["ls"][..],
        &["ls", "account", "alice"],
        &["show", "account", "alice", "--version", "50"],
        &["stats"],
        &["timeline", "account", "alice", "--keep", "last 2"],
        &["prune", "account", "alice", "--keep", "last 2"],
    ] {
        assert_eq!(json(schema, arguments), shop.json(arguments), "{arguments:?}");
    }
    let checked = json(schema, &["check"]);
    assert_eq!((&checked["snapshots"], &checked["problem_count"]), (&14.into(), &0.into()));

    // Page by page, each aggregate once.
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let mut arguments = vec!["ls", "account", "--limit", "1"];
        if !after.is_empty() {
            arguments.extend(["--after", &after]);
        }
        let page = json(schema, &arguments);
        ids.extend(page["aggregates"].as_array().unwrap().iter().map(|of| of["key"].to_string()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(ids.len(), 3, "{ids:?}");

    json(schema, &["retire", "account", "alice", "900", "wrong", "--reason", "test"]);
    let pruned = json(schema, &["prune", "account", "--keep", "last 2", "--yes"]);
    // 300 is pinned, and 900 is not among the last two that loads use.
    assert_eq!(pruned["deleted"], 7);
    let left = json(schema, &["ls", "account", "alice"]);
    let left: Vec<_> =
        left["snapshots"].as_array().unwrap().iter().map(|of| of["version"].as_u64()).collect();
    assert_eq!(left, [Some(1_000), Some(800), Some(300), Some(50)]);
    assert_eq!(json(schema, &["audit", "ls"])["entries"].as_array().unwrap().len(), 2);
    assert_eq!(run(schema, &["audit", "verify"]).code, 0);
    assert!(run(schema, &["schedules", "ls"]).out.contains("no schedules"));

    // Back only on purpose.
    let refused = run(schema, &["migrate", "--to", "0"]);
    assert!(refused.code == 2 && refused.err.contains("--yes"), "{}", refused.err);
    assert_eq!(run(schema, &["ls"]).code, 0);
    assert_eq!(run(schema, &["migrate", "--to", "0", "--yes"]).code, 0);
    assert_eq!(run(schema, &["ls"]).code, 3);
    assert_eq!(shop.run(&["migrate"]).code, 2);
    runtime.block_on(db.close());
}
