//! One aggregate type for many state types: [`Erased`], [`SharedCodec`].
//!
//! An engine of its own for each of hundreds of types would take an hour to compile. The engine
//! knows a state only through its codec, so what it folds here is erased, and [`SharedCodec`] hands
//! the real type to snapfold's real codecs, and to their digesters.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use snapfold::codec::{
    Bincode, Codec, CodecId, DecodeLimits, Digester, Json, MessagePack, Postcard, TypeInfo,
};
use snapfold::{Aggregate, AggregateKey, BoxError, Error};

use crate::{Specimen, Value};

/// A specimen whose type is not known any more.
pub trait AnyState: Any + fmt::Debug + Send + Sync {
    /// [`Value::same`]; false for another type.
    fn same_as(&self, other: &dyn AnyState) -> bool;
    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Value> AnyState for T {
    fn same_as(&self, other: &dyn AnyState) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| self.same(other))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A state of any type; each event is the next one.
#[derive(Clone, Debug)]
pub struct Erased(pub Option<Arc<dyn AnyState>>);

impl Aggregate for Erased {
    type Event = Arc<dyn AnyState>;
    const KIND: &'static str = "specimen";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(None)
    }

    fn apply(&mut self, event: &Arc<dyn AnyState>) {
        self.0 = Some(Arc::clone(event));
    }
}

fn state<T: 'static>(erased: &Erased) -> Result<&T, BoxError> {
    let state = erased.0.as_deref().and_then(|state| state.as_any().downcast_ref::<T>());
    state.ok_or_else(|| "the judge mixed up two types".into())
}

// Functions of their own, so that they are compiled once for each type, not for each of its codecs.

fn inner<T: Specimen>(samples: &[Erased]) -> Vec<T> {
    let mut states = Vec::new();
    // Not collected: that would compile iterators for each type.
    for sample in samples {
        if let Ok(state) = state::<T>(sample) {
            states.push(state.clone());
        }
    }
    states
}

fn outer<T: Specimen>(state: T) -> Erased {
    Erased(Some(Arc::new(state)))
}

fn through<T: Specimen>(digester: Digester<T>) -> Digester<Erased> {
    digester.map(|erased| state(erased).expect("one type for each codec"))
}

/// One of snapfold's codecs for a type, as one for [`Erased`].
///
/// It consists of functions because less code is compiled for them than for a trait object.
#[derive(Clone, Copy, Debug)]
pub struct SharedCodec {
    id: CodecId,
    is_self_describing: bool,
    inspect: fn(&[Erased]) -> Result<TypeInfo, Error>,
    digester: fn() -> Digester<Erased>,
    encode: fn(&Erased, &mut Vec<u8>) -> Result<(), BoxError>,
    decode: fn(&[u8], DecodeLimits) -> Result<Erased, BoxError>,
}

impl SharedCodec {
    /// `codec`, for states of type `T`.
    pub fn new<T: Specimen, C: Codec<T> + Default>(codec: C) -> Self {
        Self {
            id: codec.id(),
            is_self_describing: codec.is_self_describing(),
            inspect: |samples| C::default().inspect(&inner(samples)),
            digester: || through(C::default().digester()),
            encode: |erased, out| C::default().encode(state(erased)?, out),
            decode: |bytes, limits| C::default().decode(bytes, limits).map(outer),
        }
    }

    /// The codecs that the message of a refusal may name, by that name.
    pub fn all<T: Specimen>() -> [(&'static str, Self); 4] {
        [
            ("Postcard", Self::new::<T, _>(Postcard)),
            ("Bincode", Self::new::<T, _>(Bincode)),
            ("MessagePack", Self::new::<T, _>(MessagePack)),
            ("Json", Self::new::<T, _>(Json)),
        ]
    }
}

impl Codec<Erased> for SharedCodec {
    fn id(&self) -> CodecId {
        self.id
    }

    fn is_self_describing(&self) -> bool {
        self.is_self_describing
    }

    fn inspect(&self, samples: &[Erased]) -> Result<TypeInfo, Error> {
        (self.inspect)(samples)
    }

    fn digester(&self) -> Digester<Erased> {
        (self.digester)()
    }

    fn encode(&self, state: &Erased, out: &mut Vec<u8>) -> Result<(), BoxError> {
        (self.encode)(state, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Erased, BoxError> {
        (self.decode)(bytes, limits)
    }
}
