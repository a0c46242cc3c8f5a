//! One aggregate type for many state types: [`Erased`], [`SharedCodec`].
//!
//! An engine of its own for each of hundreds of types would take an hour to compile. The engine
//! knows a state only through its codec, so what it folds here is erased, and [`Through`] hands the
//! real type to snapfold's real codecs, and to their digesters.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
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

/// A codec for `T`, as one for [`Erased`].
struct Through<T, C>(C, PhantomData<fn() -> T>);

impl<T, C: fmt::Debug> fmt::Debug for Through<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn state<T: 'static>(erased: &Erased) -> Result<&T, BoxError> {
    let state = erased.0.as_deref().and_then(|state| state.as_any().downcast_ref::<T>());
    state.ok_or_else(|| "the judge mixed up two types".into())
}

impl<T: Specimen, C: Codec<T>> Codec<Erased> for Through<T, C> {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }

    fn inspect(&self, samples: &[Erased]) -> Result<TypeInfo, Error> {
        let samples: Vec<T> =
            samples.iter().filter_map(|sample| state(sample).ok()).cloned().collect();
        self.0.inspect(&samples)
    }

    fn digester(&self) -> Digester<Erased> {
        self.0.digester().map(|erased| state(erased).expect("one type for each codec"))
    }

    fn encode(&self, erased: &Erased, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(state(erased)?, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Erased, BoxError> {
        let state: T = self.0.decode(bytes, limits)?;
        Ok(Erased(Some(Arc::new(state))))
    }
}

/// A codec behind a pointer, for many engines.
#[derive(Clone, Debug)]
pub struct SharedCodec(Arc<dyn Codec<Erased>>);

impl SharedCodec {
    /// `codec`, for states of type `T`.
    pub fn new<T: Specimen>(codec: impl Codec<T>) -> Self {
        Self(Arc::new(Through::<T, _>(codec, PhantomData)))
    }

    /// The codecs that the message of a refusal may name, by that name.
    pub fn all<T: Specimen>() -> [(&'static str, Self); 4] {
        [
            ("Postcard", Self::new::<T>(Postcard)),
            ("Bincode", Self::new::<T>(Bincode)),
            ("MessagePack", Self::new::<T>(MessagePack)),
            ("Json", Self::new::<T>(Json)),
        ]
    }
}

impl Codec<Erased> for SharedCodec {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }

    fn inspect(&self, samples: &[Erased]) -> Result<TypeInfo, Error> {
        self.0.inspect(samples)
    }

    fn digester(&self) -> Digester<Erased> {
        self.0.digester()
    }

    fn encode(&self, state: &Erased, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(state, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Erased, BoxError> {
        self.0.decode(bytes, limits)
    }
}
