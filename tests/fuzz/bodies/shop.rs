//! What the requests of the target `request` are sent to: a few aggregates of three tenants, and
//! deliveries over them. Every state has a text that says whose it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use snapfold::engine::{CacheConfig, ManualClock, SnapshotReader};
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::service::http::{
    ApiKey, ApiKeys, Authenticator, Delivery, DeliveryBuilder, Permission, Scope,
};
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

/// An aggregate that is there from the beginning.
pub struct Known {
    /// Its URL, without the prefix.
    pub path: &'static str,
    tenant: &'static str,
    kind: &'static str,
    id: &'static str,
    pub head: u64,
    /// The versions that have snapshots.
    captured: &'static [u64],
}

const fn known(
    path: &'static str,
    [tenant, kind, id]: [&'static str; 3],
    head: u64,
    captured: &'static [u64],
) -> Known {
    Known { path, tenant, kind, id, head, captured }
}

pub const PREFIX: &str = "/api/v1";

pub const KNOWN: [Known; 4] = [
    known("/projects/north/entities/shelf/alice", ["north", "shelf", "alice"], 6, &[2, 4]),
    known("/projects/south/entities/shelf/bob", ["south", "shelf", "bob"], 3, &[3]),
    known("/projects/~/entities/shelf/~YSBiL8O2", ["", "shelf", "a b/\u{f6}"], 2, &[1]),
    known("/projects/north/entities/memo/m1", ["north", "memo", "m1"], 4, &[1, 3]),
];

impl Known {
    fn key(&self) -> AggregateKey {
        AggregateKey::from_parts(self.tenant, self.kind, self.id).unwrap()
    }

    /// A replay up to a version, as JSON. Its maps have an order.
    pub fn replayed(&self, version: u64) -> String {
        let mut state = Shelf::initial(&self.key());
        (1..=version).for_each(|event| state.apply(&event));
        serde_json::to_string(&state).unwrap()
    }

    /// Whether the states come from the events. The others are those that were captured.
    pub fn folds(&self) -> bool {
        self.kind == Shelf::KIND
    }

    /// The versions that "now" may mean.
    pub fn may_be_now(&self, version: u64) -> bool {
        if self.folds() { version == self.head } else { self.captured.contains(&version) }
    }

    /// The version at a time.
    pub fn version_at(&self, time: Timestamp) -> u64 {
        (1..=self.head).filter(|version| at(*version) <= time).count() as u64
    }
}

/// What the states of a tenant have in them, and nothing else has.
pub fn marker(tenant: &str) -> String {
    format!("marker-of-({tenant})")
}

/// A key, as clients send it.
pub struct Key {
    id: &'static str,
    pub text: String,
    scope: Scope,
}

impl Key {
    /// As the server has it.
    pub fn stored(&self) -> ApiKey {
        let hash = Sha256::digest(&self.text).into();
        ApiKey::from_stored(self.id, hash, "a-name-that-no-error-quotes")
            .scopes([self.scope.clone()])
    }
}

/// The length of the text of a key.
pub const KEY_LEN: usize = 89;

/// Reads shelves of `north`.
pub fn reads() -> Key {
    key("0123456789ab", 7, Scope::new([Permission::Read]).tenants(["north"]).kinds(["shelf"]))
}

/// Does everything in `north`.
pub fn ops() -> Key {
    key("abcdef012345", 9, Scope::new(Permission::ALL.to_vec()).tenants(["north"]))
}

fn key(id: &'static str, secret: u8, scope: Scope) -> Key {
    let mut text = format!("snf_{id}_{}", format!("{secret:02x}").repeat(32)).into_bytes();
    text.extend_from_slice(&[0; 8]);
    sign(&mut text);
    Key { id, text: String::from_utf8(text).unwrap(), scope }
}

/// Puts the checksum of a key right.
pub fn sign(key: &mut [u8]) {
    let (checked, check) = key.split_at_mut(KEY_LEN - 8);
    check.copy_from_slice(format!("{:08x}", crc32fast::hash(checked)).as_bytes());
}

pub struct Shop {
    kinds: Kinds,
    pub open: Delivery,
    pub guarded: Delivery,
}

impl Shop {
    pub async fn new() -> Self {
        let (shelves, memos) = (MemoryEvents::new(), MemoryEvents::new());
        let (store, clock) = (MemoryStore::new(), clock());
        let engine = SnapshotEngine::<Shelf>::builder(shelves.clone(), store.clone());
        let engine = engine.trigger(manual()).clock(clock).cache(CacheConfig::default());
        let engine = engine.build().unwrap();
        // Of the memos, only what was captured is served.
        let writer = SnapshotEngine::<Memo>::builder(memos.clone(), store.clone());
        let writer = writer.trigger(manual()).build().unwrap();
        for one in &KNOWN {
            let key = one.key();
            for event in 1..=one.head {
                let events = if one.folds() { &shelves } else { &memos };
                events.append(&key, at(event), event);
            }
            for version in one.captured {
                let options = CreateOptions::new().at_version(*version);
                if one.folds() {
                    engine.create_with(&key, options).await.unwrap();
                } else {
                    writer.create_with(&key, options).await.unwrap();
                }
            }
        }
        let reader = SnapshotReader::<Memo>::builder(store).build_reader().unwrap();
        let kinds = Kinds::new().with(engine).unwrap().with(reader).unwrap();
        let open = builder(&kinds).open_to_everybody().build().unwrap();
        let keys = ApiKeys::new().with(reads().stored()).with(ops().stored());
        let guarded = builder(&kinds).authenticator(keys).build().unwrap();
        Self { kinds, open, guarded }
    }

    /// A delivery with other keys.
    pub fn guarded_by(&self, authenticator: impl Authenticator + 'static) -> Delivery {
        builder(&self.kinds).authenticator(authenticator).build().unwrap()
    }
}

fn builder(kinds: &Kinds) -> DeliveryBuilder {
    // Cursors of one process are right in another.
    Delivery::builder(kinds.clone()).prefix(PREFIX).clock(clock()).cursor_secret([7; 32])
}

pub fn now() -> Timestamp {
    at(1_000)
}

pub fn clock() -> ManualClock {
    ManualClock::at(now())
}

/// When an event was recorded. The third and the fourth have the same second.
fn at(event: u64) -> Timestamp {
    let micros = event - u64::from(event == 4);
    let micros = micros * 1_000_000 + u64::from(event == 4);
    Timestamp::from_micros(1_700_000_000_000_000 + micros.cast_signed())
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shelf {
    marker: String,
    places: BTreeMap<String, u64>,
    notes: Vec<String>,
}

impl Aggregate for Shelf {
    type Event = u64;
    const KIND: &'static str = "shelf";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { marker: marker(key.tenant()), places: BTreeMap::new(), notes: Vec::new() }
    }

    fn apply(&mut self, event: &u64) {
        *self.places.entry(format!("place \"{}\" \u{f6}", event % 3)).or_default() += event;
        // So that the last states are large enough to be compressed.
        self.notes.push(format!("note {event}: {}", "x".repeat(120)));
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo(Shelf);

impl Aggregate for Memo {
    type Event = u64;
    const KIND: &'static str = "memo";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self(Shelf::initial(key))
    }

    fn apply(&mut self, event: &u64) {
        self.0.apply(event);
    }
}
