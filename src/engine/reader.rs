//! [`Reader`]: decodes the payloads of one codec and generation.

use std::fmt;
use std::sync::Arc;

use super::verify::Judge;
use crate::codec::{Codec, CodecId, DecodeLimits, TypeInfo};
use crate::error::{BoxError, Error};
use crate::generation::Generation;
use crate::manager::Proof;
use crate::record::{Header, RejectReason};
use crate::state::Aggregate;

type Decode<A> =
    dyn Fn(&[u8], DecodeLimits, &Judge<'_>) -> Result<(Arc<A>, Proof), RejectReason> + Send + Sync;

/// Decodes the payloads of one codec and generation to the current state type.
pub(super) struct Reader<A> {
    codec: CodecId,
    generation: Generation,
    limits: DecodeLimits,
    /// Whether other shapes under the same schema version are also read, by field names.
    by_name: bool,
    decode: Box<Decode<A>>,
}

impl<A: Aggregate> Reader<A> {
    /// Creates a reader of the current type.
    pub(super) fn current(
        generation: Generation,
        codec: &Arc<dyn Codec<A>>,
        info: TypeInfo,
        by_name: bool,
    ) -> Self {
        let (codec, digester) = (Arc::clone(codec), codec.digester());
        Self {
            codec: codec.id(),
            generation,
            limits: info.limits,
            by_name: by_name && codec.is_self_describing(),
            decode: Box::new(move |raw, limits, judge| {
                let state = codec.decode(raw, limits).map_err(|e| decode_error(&e))?;
                // Judged by reference, so that a large state is moved only once.
                let state = Arc::new(state);
                let proof = judge.look_at(&digester, generation, &state)?;
                Ok((state, proof))
            }),
        }
    }

    /// Creates a reader that decodes an older type and converts it to the current one.
    pub(super) fn upcasting<Old: 'static>(
        schema_version: u32,
        codec: impl Codec<Old>,
        samples: &[Old],
        upcast: impl Fn(Old) -> Result<A, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (info, digester) = (codec.inspect(samples)?, codec.digester());
        let generation = Generation { schema_version, fingerprint: info.fingerprint };
        Ok(Self {
            codec: codec.id(),
            generation,
            limits: info.limits,
            by_name: false,
            decode: Box::new(move |raw, limits, judge| {
                let old = codec.decode(raw, limits).map_err(|e| decode_error(&e))?;
                // The digest in the record was computed from the old type.
                let proof = judge.look_at(&digester, generation, &old)?;
                let state = upcast(old).map_err(|e| RejectReason::Upcast(e.to_string()))?;
                Ok((Arc::new(state), proof))
            }),
        })
    }

    /// Sets the depth limit of recursive types to the engine's limit.
    pub(super) fn with_depth(self, levels: Option<u16>) -> Self {
        Self { limits: self.limits.with_depth(levels), ..self }
    }

    /// Returns whether snapshots of `generation` can be read, apart from their codec.
    pub(super) fn knows(&self, generation: Generation) -> bool {
        self.generation == generation
            || (self.by_name && self.generation.schema_version == generation.schema_version)
    }

    /// Returns whether snapshots of `codec` and exactly this reader's generation can be read.
    pub(super) fn reads(&self, generation: Generation, codec: CodecId) -> bool {
        self.generation == generation && self.codec == codec
    }

    pub(super) fn decode(
        &self,
        raw: &[u8],
        judge: &Judge<'_>,
    ) -> Result<(Arc<A>, Proof), RejectReason> {
        (self.decode)(raw, self.limits, judge)
    }
}

/// Returns the reader for a record, or the reason why there is none.
pub(super) fn choose<'r, A: Aggregate>(
    readers: &'r [Reader<A>],
    header: &Header<'_>,
) -> Result<&'r Reader<A>, RejectReason> {
    let mut known = false;
    for reader in readers.iter().filter(|reader| reader.knows(header.generation)) {
        if reader.codec == header.codec {
            return Ok(reader);
        }
        known = true;
    }
    if !known {
        return Err(RejectReason::Stale(header.generation));
    }
    match header.codec.missing_feature() {
        Some(feature) => Err(RejectReason::FeatureDisabled(feature)),
        None => Err(RejectReason::Codec(header.codec)),
    }
}

fn decode_error(error: &BoxError) -> RejectReason {
    RejectReason::Decode(error.to_string())
}

impl<A> fmt::Debug for Reader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({}, {})", self.codec, self.generation)
    }
}
