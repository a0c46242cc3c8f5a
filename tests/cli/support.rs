//! The command, a store in files that a test fills, and what comes out.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use snapfold::codec::{CodecId, Compression};
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::PutOptions;
use snapfold::{AggregateKey, Timestamp};
use tempfile::TempDir;

pub(crate) const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0xabcd };
pub(crate) const OLDER: Generation = Generation { schema_version: 1, fingerprint: 0x1234 };

/// A store in files that nobody has open.
pub(crate) struct Shop {
    dir: TempDir,
}

/// What a command printed, and how it ended.
pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn account(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).unwrap()
}

/// The builder of a snapshot whose state is JSON. Version and day grow together.
pub(crate) fn builder(key: &AggregateKey, generation: Generation, version: u64) -> RecordBuilder {
    let at = Timestamp::from_seconds(1_780_000_000 + 864 * i64::try_from(version).unwrap());
    RecordBuilder::new(key.clone(), generation, version, at)
        .created_at(at)
        .codec(CodecId::JSON)
        .compression(Compression::lz4())
}

pub(crate) fn state(version: u64) -> String {
    let padding = "a state that is long enough to be compressed, ".repeat(20);
    format!(r#"{{"version":{version},"big":123456789012345678901234567890,"note":"{padding}"}}"#)
}

pub(crate) fn record(key: &AggregateKey, generation: Generation, version: u64) -> Record {
    builder(key, generation, version).build(state(version).as_bytes()).unwrap()
}

impl Shop {
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = Self { dir };
        shop.open().close().unwrap();
        shop
    }

    /// Ten snapshots of alice and one of bob, in two tenants and two generations.
    pub(crate) fn new() -> Self {
        let shop = Self::empty();
        let alice = account("alice");
        let mut records: Vec<_> = (1..=10).map(|n| record(&alice, GENERATION, n * 100)).collect();
        records.push(record(&alice, OLDER, 50));
        records.push(record(&account("bob"), GENERATION, 7));
        records.push(record(&alice.with_tenant("north").unwrap(), GENERATION, 3));
        records.push(record(&AggregateKey::new("basket", "b1").unwrap(), GENERATION, 5));
        shop.put(records);
        shop
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("file:{}", self.path().display())
    }

    pub(crate) fn open(&self) -> FileStore {
        FileStore::builder(self.path()).background(false).open().unwrap()
    }

    pub(crate) fn put(&self, records: Vec<Record>) {
        let store = self.open();
        store.put_blocking(records, PutOptions::default()).unwrap();
        store.close().unwrap();
    }

    /// Runs the command on this store.
    pub(crate) fn run(&self, arguments: &[&str]) -> Printed {
        finish(command(arguments).env("SNAPFOLD_STORE", self.url()))
    }

    /// Runs the command, which must end well, and returns its standard output.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let printed = self.run(arguments);
        assert_eq!(printed.code, 0, "{arguments:?}: {}{}", printed.out, printed.err);
        printed.out
    }

    /// Runs the command with `--json`, and parses its only line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Returns the versions of alice, highest first.
    pub(crate) fn versions(&self) -> Vec<u64> {
        let listed = self.json(&["ls", "account", "alice"]);
        let snapshots = listed["snapshots"].as_array().unwrap();
        snapshots.iter().map(|snapshot| snapshot["version"].as_u64().unwrap()).collect()
    }
}

/// The command without a store, in an environment that is always the same.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapfold"));
    for name in ["SNAPFOLD_STORE", "COLUMNS", "NO_COLOR", "PGPASSWORD"] {
        command.env_remove(name);
    }
    command.args(arguments).env("USER", "operator").stdin(Stdio::null());
    command
}

pub(crate) fn finish(command: &mut Command) -> Printed {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Printed {
        code: status.code().expect("the command was killed"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
