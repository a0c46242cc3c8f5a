//! The builder's settings for payloads: how they are compressed, sealed and opened.

use std::sync::Arc;

use super::builder::EngineBuilder;
use crate::codec::{Compression, Compressor, Dictionary, Seal};
use crate::compress::CustomCompressor;
use crate::record::SigningKeys;
use crate::state::Aggregate;

impl<A: Aggregate> EngineBuilder<A> {
    /// Sets the compression of new snapshots.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Also reads snapshots that were compressed with this dictionary, for example after a new
    /// dictionary replaced it. Can be called several times. The dictionary of
    /// [`compression`](Self::compression) need not be added.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.openers.dictionaries.push(dictionary);
        self
    }

    /// Also reads snapshots that this compressor of the application has compressed, for example
    /// after another compression replaced it. Can be called several times. The compressor of
    /// [`compression`](Self::compression) need not be added.
    pub fn compressor(mut self, compressor: impl Compressor) -> Self {
        self.openers.compressors.push(CustomCompressor::new(compressor));
        self
    }

    /// Encrypts the payloads of new snapshots with the application's own cipher and keys, and opens
    /// those that were encrypted. Off by default. Snapshots that were stored without a seal are
    /// still read. To an engine without a seal, or without the key of a snapshot, the snapshot is a
    /// miss.
    ///
    /// [`Seal`] states what stays readable. The states in the hot cache are in memory, decoded. A
    /// [`Dictionary`] contains pieces of states, and is not sealed.
    pub fn seal(mut self, seal: impl Seal) -> Self {
        self.openers.seal = Some(Arc::new(seal));
        self
    }

    /// Signs new snapshots, and uses only snapshots that one of these keys signed. Off by default. A
    /// snapshot that is not signed, is signed with another key, or was changed after it was signed
    /// is a miss, and the events are replayed. So are deltas whose base is such a snapshot.
    ///
    /// The signature binds every byte of the record: aggregate, version, generation, times, codec,
    /// labels and payload. It does not bind what is stored beside the record: pins and retirements.
    /// It does not show that a snapshot is missing, or that an older record of the same snapshot was
    /// put back. Lists and statistics, and decisions that are made from them, such as retention,
    /// trust headers without checking their signatures.
    ///
    /// Snapshots that are stored already are not signed: see [`SigningKeys::accept_unsigned`].
    /// [`SnapshotEngine::recompress`](crate::SnapshotEngine::recompress) signs those that it can
    /// open, and signs those of an older key with the new one.
    pub fn signing_keys(mut self, keys: SigningKeys) -> Self {
        self.openers.signing = Some(keys);
        self
    }
}
