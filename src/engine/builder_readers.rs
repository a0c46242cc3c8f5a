//! The builder's settings for what is read: codecs, samples and upcasters.

use std::sync::Arc;

use super::builder::EngineBuilder;
use super::reader::Reader;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::state::Aggregate;

impl<A: Aggregate> EngineBuilder<A> {
    /// Also reads snapshots written with another codec, for example during a migration between
    /// codecs.
    pub fn also_reads(mut self, codec: impl Codec<A>) -> Self {
        self.others.push(Arc::new(codec));
        self
    }

    /// Adds a sample state, from which the engine learns values that the state type accepts. Can be
    /// called several times.
    ///
    /// The engine learns the shape of the type by deserializing made-up values. A type that rejects
    /// all of them, such as a validated newtype, is recorded as unseen. So is a field of a
    /// flattened struct that has a default and is missing from every value the engine can
    /// serialize, for example because of `skip_serializing_if`. A change inside an unseen part does
    /// not change the generation and is detected only when a snapshot is decoded. For unseen parts,
    /// the engine tries to deserialize parts of the samples instead. It also learns the field names
    /// of the serialized samples. All samples together contribute at most 1,024 parts. Strings and
    /// bytes longer than 1 KiB are ignored.
    ///
    /// A sample may change the fingerprint of the type, and with it the generation. Existing
    /// snapshots are then ignored (as misses) until new ones are taken. Use the same samples in
    /// every process, and only samples whose shape is the same at every start. Their values do not
    /// matter. If an engine of an older type had samples, pass the same samples to its upcaster:
    /// [`upcasts_with_samples`](Self::upcasts_with_samples).
    pub fn sample(mut self, value: A) -> Self {
        self.samples.push(value);
        self
    }

    /// Also reads snapshots of an older state type, which `upcast` converts to the current type.
    /// The older snapshots were written with `codec` under `schema_version`, and are decoded as
    /// `Old`.
    ///
    /// `upcast` must return the state that a replay of the events returns today. If the old state
    /// lacks the information for this, such as a count that was not kept, return an error: the
    /// snapshot is then a miss. [`max_depth`](Self::max_depth) also applies to the old type.
    ///
    /// Upcasters are not chained: each converts one old type directly to the current type. Keep the
    /// old struct unchanged, including its names, and pass the `SCHEMA_VERSION` that it had, which
    /// may equal the current one.
    ///
    /// ```
    /// # #[cfg(all(feature = "memory", feature = "postcard"))] {
    /// use serde::{Deserialize, Serialize};
    /// use snapfold::codec::Postcard;
    /// use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct AccountV1 {
    ///     cents: i64,
    /// }
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Account {
    ///     balance: i64, // the new name of `cents`
    /// }
    /// # impl Aggregate for Account {
    /// #     type Event = i64;
    /// #     const KIND: &'static str = "account";
    /// #     const SCHEMA_VERSION: u32 = 1;
    /// #     fn initial(_: &AggregateKey) -> Self { Account { balance: 0 } }
    /// #     fn apply(&mut self, cents: &i64) { self.balance += cents; }
    /// # }
    ///
    /// let engine = SnapshotEngine::<Account>::builder(MemoryEvents::new(), MemoryStore::new())
    ///     .upcasts(1, Postcard, |old: AccountV1| Ok(Account { balance: old.cents }))
    ///     .build()?;
    /// # let _ = engine;
    /// # }
    /// # Ok::<(), snapfold::Error>(())
    /// ```
    pub fn upcasts<Old: 'static>(
        self,
        schema_version: u32,
        codec: impl Codec<Old>,
        upcast: impl Fn(Old) -> Result<A, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.upcasts_with_samples(schema_version, codec, &[], upcast)
    }

    /// Registers an upcaster as [`upcasts`](Self::upcasts) does, for an old type whose engine had
    /// [samples](Self::sample). Pass the same samples, so that the fingerprint is the same.
    pub fn upcasts_with_samples<Old: 'static>(
        mut self,
        schema_version: u32,
        codec: impl Codec<Old>,
        samples: &[Old],
        upcast: impl Fn(Old) -> Result<A, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.upcasters.push(Reader::upcasting(schema_version, codec, samples, upcast));
        self
    }

    /// Also reads snapshots whose type had a different shape under the same schema version, if
    /// their codec stores field names. Off by default.
    ///
    /// Fields that the old shape lacks get their serde defaults, *not* the values that a replay
    /// computes. Use this only if the two are equal. Otherwise, raise the schema version and
    /// register an upcaster.
    pub fn tolerate_shape_changes(mut self) -> Self {
        self.by_name = true;
        self
    }
}
