//! [`RecordBuilder`]: creates records.

use std::borrow::Cow;
use std::sync::Arc;

use super::Record;
use super::base::Base;
use super::details::SnapshotDetails;
use super::extension::{self, Extensions};
use super::header::Header;
use super::layout::{
    CHECKED_FROM, CODING_BYTES, DIGEST_BYTES, FIXED_BYTES, FORMAT, MAGIC, MAX_EXTENSION_BYTES,
};
use super::signature;
use super::signing_keys::SigningKeys;
use super::wire::{put_varint, varint_bytes, zigzag};
use crate::checksum::{ChecksumId, crc32};
use crate::codec::{CodecId, Seal, SealContext, Sealed, seal_proved};
use crate::compress::{Compressed, Compression, CompressionId};
use crate::digest::StateDigest;
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Builds a [`Record`]. The engine uses it for every snapshot; authors and testers of stores can
/// use it to create their own records.
///
/// ```
/// use snapfold::codec::CodecId;
/// use snapfold::record::{Generation, RecordBuilder};
/// use snapfold::{AggregateKey, Timestamp};
///
/// let key = AggregateKey::new("account", "alice")?;
/// let generation = Generation { schema_version: 1, fingerprint: 7 };
/// let record = RecordBuilder::new(key, generation, 100, Timestamp::from_seconds(5))
///     .codec(CodecId::custom(1))
///     .label("month-end")
///     .build(b"the encoded state")?;
/// let header = record.verify().expect("just built");
/// assert_eq!((header.version, header.id), (100, "alice"));
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    key: AggregateKey,
    generation: Generation,
    version: u64,
    as_of: Timestamp,
    created_at: Timestamp,
    codec: CodecId,
    compression: Compression,
    digest: Option<StateDigest>,
    seal: Option<Arc<dyn Seal>>,
    signing_keys: Option<SigningKeys>,
    extensions: Extensions,
}

impl RecordBuilder {
    /// Creates a builder for a snapshot of `key` at `version` (1 or more), whose as-of time is
    /// `as_of`. By default, the snapshot is created at 1970-01-01T00:00:00Z, its codec is postcard,
    /// and it has neither compression nor a digest.
    pub fn new(key: AggregateKey, generation: Generation, version: u64, as_of: Timestamp) -> Self {
        Self {
            key,
            generation,
            version,
            as_of,
            created_at: Timestamp::from_micros(0),
            codec: CodecId::POSTCARD,
            compression: Compression::none(),
            digest: None,
            seal: None,
            signing_keys: None,
            extensions: Extensions::default(),
        }
    }

    /// Creates a builder for the snapshot with this header, without compression. `None` if a newer
    /// release wrote something into the header that this one does not know, or would not write.
    pub(crate) fn of(header: &Header<'_>) -> Result<Option<Self>, Error> {
        let details = header.details();
        if !extension::are_known(header.extensions) || details.check().is_err() {
            return Ok(None);
        }
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
        let mut builder = Self::new(key, header.generation, header.version, header.as_of)
            .created_at(header.created_at)
            .codec(header.codec)
            .last_recorded_at(header.last_recorded_at);
        builder.digest = header.digest;
        builder.extensions.anchor = header.anchor.map(<[u8]>::to_vec);
        builder.extensions.labels = header.labels().map(str::to_owned).collect();
        builder.extensions.origin = header.origin.map(str::to_owned);
        builder.extensions.details = details;
        Ok(Some(builder))
    }

    /// Sets the time at which the snapshot is created.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = at;
        self
    }

    /// Sets the codec that encoded the state.
    pub fn codec(mut self, codec: CodecId) -> Self {
        self.codec = codec;
        self
    }

    /// Sets the compression of the encoded state.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the digest of the state's value.
    pub fn digest(mut self, digest: StateDigest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Sets what seals the payload. Nothing by default.
    pub fn seal(mut self, seal: impl Seal) -> Self {
        self.seal = Some(Arc::new(seal));
        self
    }

    /// Sets the keys of which the first signs the record. Not signed by default.
    pub fn signing_keys(mut self, keys: &SigningKeys) -> Self {
        self.extensions.signing_key = Some(keys.key_id().to_owned());
        self.signing_keys = Some(keys.clone());
        self
    }

    /// Sets the recorded time of the last folded event. The default is the as-of time.
    pub fn last_recorded_at(mut self, at: Timestamp) -> Self {
        self.extensions.last_recorded_at = (at != self.as_of).then_some(at);
        self
    }

    /// Sets the identity of the last folded event in the event store, at most 65,535 bytes.
    pub fn anchor(mut self, anchor: impl Into<Vec<u8>>) -> Self {
        self.extensions.anchor = Some(anchor.into());
        self
    }

    /// Adds a label of at most 65,535 bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.extensions.labels.push(label.into());
        self
    }

    /// Sets the name of the process or node that creates the snapshot, at most 65,535 bytes.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.extensions.origin = Some(origin.into());
        self
    }

    /// Sets how and why the snapshot came to be.
    pub fn details(mut self, details: SnapshotDetails) -> Self {
        self.extensions.details = details;
        self
    }

    /// Marks the payload as a delta of `base`, without making it one. For tests of stores.
    #[cfg(any(test, feature = "conformance"))]
    pub fn base(mut self, base: Base) -> Self {
        self.extensions.base = Some(base);
        self
    }

    /// Marks the payload as compressed with a dictionary, without using one. For tests of stores.
    #[cfg(any(test, feature = "conformance"))]
    pub fn dictionary(mut self, id: u64) -> Self {
        self.extensions.dictionary = Some(id);
        self
    }

    /// Builds the record that contains the encoded state `raw`.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidInput`] for version 0, an extension that is too long, or a state of 4
    ///   GiB or more.
    /// - [`ErrorKind::Encode`] if a [`Compressor`](crate::codec::Compressor) or a [`Seal`] of the
    ///   application fails, or does not return what it was given.
    pub fn build(&self, raw: &[u8]) -> Result<Record, Error> {
        let mut extensions = Cow::Borrowed(&self.extensions);
        match self.compression.apply(raw)? {
            None => self.sealed(raw.len(), CompressionId::NONE, raw, extensions),
            Some(Compressed { id, dictionary, bytes }) => {
                if let Some(dictionary) = dictionary {
                    extensions.to_mut().dictionary = Some(dictionary.as_u64());
                }
                self.sealed(raw.len(), id, &bytes, extensions)
            }
        }
    }

    /// Builds the record that contains the encoded state `raw` as a delta of `base`, the encoded
    /// state in the whole snapshot at `version`. `None` if the delta would take more than `most`
    /// bytes.
    pub(crate) fn build_delta(
        &self,
        raw: &[u8],
        (version, base): (u64, &[u8]),
        most: usize,
    ) -> Result<Option<Record>, Error> {
        let delta = self.compression.apply_delta(raw, base);
        let Some((id, delta)) = delta.filter(|(_, delta)| delta.len() <= most) else {
            return Ok(None);
        };
        let mut extensions = self.extensions.clone();
        extensions.base = Some(Base { version, checksum: crc32(base) });
        self.sealed(raw.len(), id, &delta, Cow::Owned(extensions)).map(Some)
    }

    /// Builds a record, and seals its payload if there is a seal.
    fn sealed(
        &self,
        raw_bytes: usize,
        compression: CompressionId,
        payload: &[u8],
        mut extensions: Cow<'_, Extensions>,
    ) -> Result<Record, Error> {
        let Some(seal) = &self.seal else {
            return self.assemble(raw_bytes, compression, payload, &extensions);
        };
        let of = SealContext::new(&self.key, self.generation, self.version);
        let Sealed { key_id, bytes } = seal_proved(&**seal, of, payload)?;
        let payload_bytes = length(payload.len())?;
        extensions.to_mut().seal = Some((key_id, payload_bytes));
        self.assemble(raw_bytes, compression, &bytes, &extensions)
    }

    fn assemble(
        &self,
        raw_bytes: usize,
        compression: CompressionId,
        payload: &[u8],
        extensions: &Extensions,
    ) -> Result<Record, Error> {
        if self.version == 0 {
            return Err(invalid("version 0 is never stored: use version 1 or above".into()));
        }
        let (raw_bytes, payload_bytes) = (length(raw_bytes)?, length(payload.len())?);
        extensions.details.check()?;
        let id = SnapshotId { generation: self.generation, version: self.version };
        let extension_bytes = extensions.bytes(id).map_err(|name| {
            invalid(format!("{name} is longer than {} bytes: shorten it", u16::MAX))
        })?;
        if extension_bytes > MAX_EXTENSION_BYTES {
            let message =
                "labels, origin, anchor and details together exceed 256 KiB: shorten them";
            return Err(invalid(message.into()));
        }

        let parts = [self.key.tenant(), self.key.kind(), self.key.id()];
        let age = self.created_at.as_micros().wrapping_sub(self.as_of.as_micros());
        let key_lens = parts.map(|part| part.len() as u64);
        let schema_version = self.generation.schema_version.into();
        let numbers = [schema_version, self.version, zigzag(age), payload_bytes.into()];
        let raw_bytes = (compression != CompressionId::NONE).then_some(raw_bytes.into());
        let varints = || key_lens.iter().chain(&numbers).chain(&raw_bytes);
        let header_bytes = with_its_own_length(
            FIXED_BYTES
                + CODING_BYTES
                + self.digest.map_or(0, |_| DIGEST_BYTES)
                + varints().map(|number| varint_bytes(*number)).sum::<usize>()
                + parts.iter().map(|part| part.len()).sum::<usize>()
                + extension_bytes,
        );

        let mut bytes = Vec::with_capacity(header_bytes + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32(payload).to_le_bytes());
        bytes.extend_from_slice(&self.generation.fingerprint.to_le_bytes());
        bytes.extend_from_slice(&self.as_of.as_micros().to_le_bytes());
        put_varint(&mut bytes, header_bytes as u64);
        for len in key_lens {
            put_varint(&mut bytes, len);
        }
        for part in parts {
            bytes.extend_from_slice(part.as_bytes());
        }
        let digest_kind = self.digest.map_or(0, |digest| digest.kind().as_u8());
        bytes.push(ChecksumId::CRC32.as_byte() | digest_kind << 4);
        bytes.push(compression.as_byte());
        bytes.extend_from_slice(&self.codec.as_u16().to_le_bytes());
        if let Some(digest) = &self.digest {
            bytes.extend_from_slice(digest.as_bytes());
        }
        for number in numbers.iter().chain(&raw_bytes) {
            put_varint(&mut bytes, *number);
        }
        let mac_at = extensions.write(id, &mut bytes);
        if let Some((keys, at)) = self.signing_keys.as_ref().zip(mac_at) {
            signature::sign(keys, &mut bytes, at, payload);
        }
        let sum = crc32(bytes.get(CHECKED_FROM..).unwrap_or_default());
        if let Some(field) = bytes.get_mut(CHECKED_FROM - 4..CHECKED_FROM) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        Ok(Record::from_bytes(bytes))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "make a snapshot record", message)
}

/// Returns a length as the header contains it.
fn length(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| {
        invalid(format!(
            "the state is {bytes} bytes long, but the limit is 4 GiB: shrink the state"
        ))
    })
}

/// Returns the length of a header whose other fields take `rest` bytes. The header length itself
/// counts.
fn with_its_own_length(rest: usize) -> usize {
    let mut own = 1;
    while varint_bytes((rest + own) as u64) > own {
        own += 1;
    }
    rest + own
}
