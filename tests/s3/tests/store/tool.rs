//! The command line on Ceph. `SNAPFOLD_TOOL` is the path of the command, built with the feature
//! `clouds`, which takes too long to be built here again.

use std::process::{Command, Output};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::record::{Generation, RecordBuilder};
use snapfold::store::{KeysRequest, PutOptions, SnapshotStoreExt as _};
use snapfold::{AggregateKey, SnapshotStore, Timestamp};
use snapfold_s3::Server;

struct Tool {
    server: Server,
    objects: Arc<dyn ObjectStore>,
    root: Path,
}

impl Tool {
    async fn new() -> (Self, ObjectStoreSnapshots) {
        let server = Server::ceph();
        let (objects, root) = (server.store(), server.prefix());
        let store = ObjectStoreSnapshots::open(objects.clone(), root.as_ref()).await.unwrap();
        for id in ["alice", "bob/../x"] {
            for version in 1..=3 {
                let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
                let generation = Generation { schema_version: 1, fingerprint: 7 };
                let key = AggregateKey::new("account", id).unwrap();
                let record = RecordBuilder::new(key, generation, version, at).build(b"1");
                store.put(vec![record.unwrap()], PutOptions::default()).await.unwrap();
            }
        }
        (Self { server, objects, root }, store)
    }

    fn url(&self, end: &str) -> String {
        format!("s3://{}/{}{end}", self.server.bucket(), self.root)
    }

    fn run(&self, store: &str, secret: Option<&str>, arguments: &[&str]) -> Output {
        let tool = std::env::var("SNAPFOLD_TOOL").expect(
            "SNAPFOLD_TOOL is not set: build the command with --all-features and set its path",
        );
        let mut command = Command::new(tool);
        for (name, value) in self.server.tool_environment() {
            command.env(name, value);
        }
        if let Some(secret) = secret {
            command.env("AWS_SECRET_ACCESS_KEY", secret);
        }
        command.args(["--store", store]).args(arguments).output().unwrap()
    }

    /// Runs a command on the store, and returns its exit code and all that it said.
    fn says(&self, end: &str, arguments: &[&str]) -> (i32, String) {
        said(&self.run(&self.url(end), None, arguments))
    }
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn commands_look_at_a_bucket_and_change_it() {
    let (tool, store) = Tool::new().await;
    let expect = |end: &str, arguments: &[&str], code: i32, text: &str| {
        let (found, said) = tool.says(end, arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
        // Errors are one line each, however long.
        let is_narrow = said.lines().all(|line| line.chars().count() <= 80);
        assert!(code > 0 || is_narrow, "{said}");
    };
    expect("", &["ls"], 0, "account");
    expect("", &["ls", "account", "alice"], 0, "VERSION");
    expect("", &["show", "account", "alice"], 0, "alice");
    expect("", &["stats"], 0, "bob");
    expect("", &["check"], 0, "no problems");
    expect("", &["pin", "account", "alice", "1", "kept"], 0, "");
    expect("", &["prune", "account", "--keep", "last 1", "--yes"], 0, "");
    let alice = AggregateKey::new("account", "alice").unwrap();
    let request = snapfold::store::ListRequest::new(&alice);
    let left: Vec<_> =
        store.list_all(request).await.unwrap().iter().map(|meta| meta.version).collect();
    assert_eq!(left, [3, 1]);
    // Nobody has made a store there.
    expect("/none", &["ls"], 3, "no store");
    expect("/none", &["objects", "sweep"], 3, "no store");
}

#[tokio::test]
async fn archives_go_into_a_bucket_and_out_of_it() {
    let (tool, store) = Tool::new().await;
    let archive = tool.url("-archive");
    assert_eq!(tool.says("", &["export", &archive]).0, 0);
    let (code, text) = tool.says("", &["export", &archive]);
    assert!(code == 2 && text.contains("exists"), "{text}");
    let (code, text) = tool.says("-copy", &["import", &archive]);
    assert_eq!(code, 0, "{text}");
    let root = format!("{}-copy", tool.root);
    let copy = ObjectStoreSnapshots::open(tool.objects.clone(), &root).await.unwrap();
    let keys = |store: &ObjectStoreSnapshots| {
        let store = store.clone();
        async move { store.keys(KeysRequest::new()).await.unwrap().items }
    };
    assert_eq!(keys(&copy).await, keys(&store).await);
    let (code, text) = tool.says("-copy", &["import", &tool.url("-missing")]);
    assert!(code == 1 && text.contains("no object"), "{text}");
}

#[tokio::test]
async fn a_lost_index_is_made_again() {
    let (tool, store) = Tool::new().await;
    let index = Path::parse(format!("{}/x/~/account/alice", tool.root)).unwrap();
    tool.objects.delete(&index).await.unwrap();
    let (code, text) = tool.says("", &["objects", "repair"]);
    assert!(code == 0 && text.contains("1 index rebuilt"), "{text}");
    let alice = AggregateKey::new("account", "alice").unwrap();
    let request = snapfold::store::ListRequest::new(&alice);
    assert_eq!(store.list_all(request).await.unwrap().len(), 3);
    let (code, text) = tool.says("", &["objects", "sweep"]);
    assert!(code == 0 && text.contains("6 records listed, 0 deleted"), "{text}");
    assert_eq!(tool.says("", &["objects", "sweep", "--json"]).0, 0);
}

#[tokio::test]
async fn wrong_credentials_are_named_and_not_shown() {
    let (tool, _) = Tool::new().await;
    let (code, text) = said(&tool.run(&tool.url(""), Some("hunter2hunter2"), &["ls"]));
    assert!(code == 3 && text.contains("credentials"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let elsewhere = format!("s3://{}-none/root", tool.server.bucket());
    let (code, text) = said(&tool.run(&elsewhere, None, &["ls"]));
    assert!(code == 3 && text.contains("bucket"), "{text}");
    let (code, text) = said(&tool.run("s3://user:hunter2@bucket/root", None, &["ls"]));
    assert!(code == 2 && !text.contains("hunter2"), "{text}");
}
