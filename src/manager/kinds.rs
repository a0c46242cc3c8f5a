//! [`Kinds`]: the registry of an application's aggregate kinds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::admin::SnapshotAdmin;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

/// The registry of an application's aggregate kinds, each with its [`SnapshotAdmin`].
///
/// Use it in schedulers, sweeps, command-line tools and servers that work on all kinds.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account(i64);
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account(0) }
/// #     fn apply(&mut self, cents: &i64) { self.0 += cents; }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::manager::Kinds;
///
/// let engine =
///     SnapshotEngine::<Account>::builder(MemoryEvents::new(), MemoryStore::new()).build()?;
/// let kinds = Kinds::new().with(engine)?;
///
/// let key = AggregateKey::new("account", "alice")?; // for example from a command line
/// let stats = kinds.of(&key)?.stats(&key).await?;
/// assert_eq!(stats.snapshots, 0);
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    admins: BTreeMap<String, Arc<dyn SnapshotAdmin>>,
}

impl Kinds {
    /// Creates an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers `admin`, which is usually a [`SnapshotEngine`](crate::SnapshotEngine), for its
    /// kind.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if this kind is already registered.
    pub fn with(mut self, admin: impl SnapshotAdmin + 'static) -> Result<Self, Error> {
        match self.admins.entry(admin.kind().to_owned()) {
            Entry::Vacant(place) => {
                place.insert(Arc::new(admin));
                Ok(self)
            }
            Entry::Occupied(taken) => Err(Error::new(
                ErrorKind::InvalidInput,
                "register a kind of aggregate",
                format!(
                    "kind \"{}\" is already registered: register only one engine per kind",
                    taken.key()
                ),
            )),
        }
    }

    /// Returns the [`SnapshotAdmin`] that is registered for `kind`, if there is one.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn SnapshotAdmin>> {
        self.admins.get(kind)
    }

    /// Returns the [`SnapshotAdmin`] that is registered for the kind of `key`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the kind is not registered. The message lists the registered
    /// kinds.
    pub fn of(&self, key: &AggregateKey) -> Result<&Arc<dyn SnapshotAdmin>, Error> {
        self.get(key.kind()).ok_or_else(|| {
            let known: Vec<_> = self.admins.keys().map(String::as_str).collect();
            Error::new(
                ErrorKind::InvalidInput,
                "find the engine of an aggregate",
                format!(
                    "kind \"{}\" is not registered (registered: {}): register an engine for it",
                    key.kind(),
                    known.join(", ")
                ),
            )
        })
    }

    /// Returns all registered [`SnapshotAdmin`]s, in bytewise order of their kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn SnapshotAdmin>> {
        self.admins.values()
    }
}
