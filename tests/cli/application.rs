//! The tool in a binary of an application, with its kinds. The test runs itself as that binary.

use std::process::Command;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snapfold::cli::CommandLine;
use snapfold::file::FileStore;
use snapfold::ledger::StoreLedger;
use snapfold::manager::{AdminContext, CreateOptions, Kinds};
use snapfold::store::{DeleteOptions, PutOptions, Query, Selection};
use snapfold::{
    Aggregate, AggregateKey, MemoryEvents, Point, SnapshotAdmin as _, SnapshotEngine,
    SnapshotStore as _, Timestamp,
};

use crate::support::{Printed, Shop, finish};

/// Precedes what the tool prints.
const START: &str = "the tool starts here";
const STORE: &str = "SNAPFOLD_TEST_APPLICATION";
const ARGUMENTS: &str = "SNAPFOLD_TEST_ARGUMENTS";
/// Whether the binary opens the store read-only.
const READ_ONLY: &str = "SNAPFOLD_TEST_READ_ONLY";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Account {
    cents: i64,
}

impl Aggregate for Account {
    type Event = i64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { cents: 0 }
    }

    fn apply(&mut self, cents: &i64) {
        self.cents += cents;
    }
}

fn engine(store: &FileStore) -> SnapshotEngine<Account> {
    engine_over(store, None)
}

/// An engine over 1,000 events, one of which may be another one.
fn engine_over(store: &FileStore, edited: Option<i64>) -> SnapshotEngine<Account> {
    let events = MemoryEvents::new();
    for n in 1..=1_000 {
        let cents = if edited == Some(n) { 7 } else { 1 };
        events.append(&Account::key("alice").unwrap(), Timestamp::from_seconds(n), cents);
    }
    SnapshotEngine::builder(events, store.clone())
        .ledger(StoreLedger::new(store.clone()))
        .build()
        .unwrap()
}

/// What the binary of the application would do. Does nothing in a usual run of the tests.
#[test]
fn the_tool_of_an_application() {
    let Ok(dir) = std::env::var(STORE) else { return };
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let mut all = vec!["application".into()];
    all.extend(arguments.split('\n').map(Into::into));
    println!("{START}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let read_only = std::env::var(READ_ONLY).is_ok();
        let opened = if read_only { FileStore::open_read_only(dir) } else { FileStore::open(dir) };
        let store = opened.unwrap();
        let kinds = Kinds::new().with(engine(&store)).unwrap();
        let tool = CommandLine::new().kinds(kinds).store(store.clone());
        let code = tool.execute(all).await;
        store.close().unwrap();
        code
    });
    std::process::exit(code.into());
}

pub(crate) fn run(shop: &Shop, arguments: &[&str]) -> Printed {
    finish_tool(&mut tool(shop, arguments))
}

/// Runs the tool of an application that opens the store read-only.
pub(crate) fn run_read_only(shop: &Shop, arguments: &[&str]) -> Printed {
    finish_tool(tool(shop, arguments).env(READ_ONLY, "1"))
}

/// Runs the tool of an application on a screen of 80 columns.
pub(crate) fn run_at_80(shop: &Shop, arguments: &[&str]) -> Printed {
    finish_tool(tool(shop, arguments).env("COLUMNS", "80"))
}

fn tool(shop: &Shop, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "application::the_tool_of_an_application", "--nocapture"])
        .env(STORE, shop.path())
        .env(ARGUMENTS, arguments.join("\n"))
        .env("USER", "operator")
        .env_remove("SNAPFOLD_STORE")
        .env_remove("COLUMNS");
    command
}

fn finish_tool(command: &mut Command) -> Printed {
    let mut printed = finish(command);
    let (_, out) = printed.out.split_once(&format!("{START}\n")).unwrap();
    printed.out = out.to_owned();
    printed
}

/// A store with snapshots of alice at 100, 200, ... 900.
pub(crate) fn shop() -> Shop {
    let shop = Shop::empty();
    let store = shop.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = engine(&store);
        for n in 1..=9 {
            let options = CreateOptions::new().at_version(n * 100);
            let key = Account::key("alice").unwrap();
            let admin: Arc<dyn snapfold::SnapshotAdmin> = Arc::new(engine.clone());
            admin.create(&key, options, &AdminContext::new("test")).await.unwrap();
        }
        let view = engine.view(&Account::key("alice").unwrap(), Point::Now).await.unwrap();
        assert_eq!(view.version, 1_000);
    });
    store.close().unwrap();
    shop
}

/// Replaces the snapshot at `version` by one that only the events give away.
pub(crate) fn forge(shop: &Shop, version: u64) {
    let store = shop.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = engine_over(&store, Some(version.cast_signed() - 1));
    let (key, context) = (Account::key("alice").unwrap(), AdminContext::default());
    runtime.block_on(engine.admin().rebuild(&key, version, &context)).unwrap();
    drop(engine);
    store.close().unwrap();
}

#[test]
fn states_are_shown_at_any_version_and_time() {
    let shop = shop();
    for (arguments, cents) in [
        (&["show", "account", "alice", "--json"][..], 1_000),
        (&["show", "account", "alice", "--json", "--version", "250"], 250),
        (&["show", "account", "alice", "--json", "--time", "1970-01-01T00:00:30Z"], 30),
    ] {
        let printed = run(&shop, arguments);
        let shown: serde_json::Value = serde_json::from_str(&printed.out).unwrap();
        assert_eq!(shown["state"]["cents"], cents, "{}", printed.out);
    }
    let beyond = run(&shop, &["show", "account", "alice", "--version", "5000"]);
    assert_eq!(beyond.code, 2, "{}", beyond.err);
    let stored = run(&shop, &["show", "account", "alice", "--stored"]);
    assert!(stored.out.contains("at version 900"), "{}", stored.out);
    let text = run(&shop, &["show", "account", "alice"]);
    assert!(text.out.contains("\"cents\": 1000"), "{}", text.out);
}

#[test]
fn snapshots_are_verified_pruned_and_rebuilt_through_the_engine() {
    let shop = shop();
    let clean = run(&shop, &["verify", "account"]);
    assert_eq!(clean.code, 0, "{}{}", clean.out, clean.err);
    assert!(clean.out.contains("9 proved, 0 not proved, 0 rejected"), "{}", clean.out);

    let dry = run(&shop, &["prune", "account", "--keep", "last 4"]);
    assert!(dry.out.contains("would delete 5 snapshots"), "{}", dry.out);
    let pinned = run(&shop, &["pin", "account", "alice", "100", "audit"]);
    assert_eq!(pinned.code, 0, "{}", pinned.err);
    let done = run(&shop, &["prune", "account", "--keep", "last 4", "--yes", "--reason", "space"]);
    assert!(done.out.contains("deleted 4 snapshots"), "{}", done.out);
    assert_eq!(shop.versions(), [900, 800, 700, 600, 100]);
    let audit = shop.text(&["audit", "ls"]);
    assert!(
        audit.contains("apply_retention of account alice by operator: done, because space"),
        "{audit}"
    );

    // A record that decodes, but to the state of another version.
    let store = shop.open();
    let key = Account::key("alice").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = runtime.block_on(store.list(snapfold::store::ListRequest::new(&key))).unwrap();
    let meta = &page.items[1];
    let found = store.get_blocking(Query::exact(&key, meta.id())).unwrap().into_record().unwrap();
    let header = found.header().unwrap();
    let wrong = snapfold::record::RecordBuilder::new(key.clone(), meta.generation, 800, meta.as_of)
        .digest(header.digest.unwrap())
        .build(&[2])
        .unwrap();
    let ids = [meta.id()];
    store.delete_blocking(&key, Selection::Ids(&ids), DeleteOptions::default()).unwrap();
    store.put_blocking(vec![wrong], PutOptions::default()).unwrap();
    store.close().unwrap();
    // Only the application's code can tell.
    assert_eq!(shop.run(&["check"]).code, 0);
    let wrong = run(&shop, &["verify", "account", "alice"]);
    assert_eq!(wrong.code, 1, "{}", wrong.out);
    assert!(wrong.out.contains("1 rejected"), "{}", wrong.out);
    let rebuilt = run(&shop, &["rebuild", "account", "alice", "800", "--reason", "test"]);
    assert!(rebuilt.out.contains("was replaced"), "{}{}", rebuilt.out, rebuilt.err);
    assert_eq!(run(&shop, &["verify", "account", "alice"]).code, 0);
}

#[test]
fn commands_that_need_the_code_say_so_without_it() {
    let shop = shop();
    for arguments in
        [&["verify", "account"][..], &["rebuild", "account", "alice", "1", "--reason", "x"]]
    {
        let printed = shop.run(arguments);
        assert_eq!(printed.code, 2);
        assert!(printed.err.contains("does not know the application"), "{}", printed.err);
    }
    let printed = run(&shop, &["verify", "basket"]);
    assert!(printed.code == 2 && printed.err.contains("account"), "{}", printed.err);
    let help = run(&shop, &["--help"]);
    assert!(help.out.contains("rebuild"), "{}", help.out);
}
