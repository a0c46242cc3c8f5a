//! One aggregate type for many state types: [`Erased`], [`Known`], [`SharedCodec`].
//!
//! An engine of its own for each of hundreds of types would take an hour to compile. The engine
//! knows a state only through its codec, so what it folds here is erased, and [`Through`] hands the
//! real type to snapfold's real codecs. The digest is snapfold's own too: [`Known`] hands the real
//! type to its serializer.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use snapfold::{
    Aggregate, AggregateKey, BoxError, Codec, CodecId, DecodeLimits, Digester, Error, TypeInfo,
};

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

/// A list of types, each of which can be serialized after its type was erased.
pub trait Known: Clone + fmt::Debug + Send + Sync + 'static {
    /// Serializes the state, as itself.
    fn serialize<S: Serializer>(state: &dyn AnyState, serializer: S) -> Result<S::Ok, S::Error>;
}

/// Any state of a list of types; each event is the next one.
#[derive(Clone, Debug)]
pub struct Erased<K>(pub Option<Arc<dyn AnyState>>, PhantomData<K>);

impl<K> Erased<K> {
    fn new(state: Arc<dyn AnyState>) -> Self {
        Self(Some(state), PhantomData)
    }
}

impl<K: Known> Serialize for Erased<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(state) => K::serialize(&**state, serializer),
            None => Err(serde::ser::Error::custom("no event was folded")),
        }
    }
}

impl<K: Known> Aggregate for Erased<K> {
    type Event = Arc<dyn AnyState>;
    const KIND: &'static str = "specimen";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(None, PhantomData)
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

fn state<T: 'static, K>(erased: &Erased<K>) -> Result<&T, BoxError> {
    let state = erased.0.as_deref().and_then(|state| state.as_any().downcast_ref::<T>());
    state.ok_or_else(|| "the judge mixed up two types".into())
}

impl<K: Known, T: Specimen, C: Codec<T>> Codec<Erased<K>> for Through<T, C> {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }

    fn inspect(&self, samples: &[Erased<K>]) -> Result<TypeInfo, Error> {
        let samples: Vec<T> =
            samples.iter().filter_map(|sample| state(sample).ok()).cloned().collect();
        self.0.inspect(&samples)
    }

    fn digester(&self) -> Digester<Erased<K>> {
        Digester::serde()
    }

    fn encode(&self, erased: &Erased<K>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(state(erased)?, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Erased<K>, BoxError> {
        let state: T = self.0.decode(bytes, limits)?;
        Ok(Erased::new(Arc::new(state)))
    }
}

/// A codec behind a pointer, for many engines.
#[derive(Clone, Debug)]
pub struct SharedCodec<K: Known>(Arc<dyn Codec<Erased<K>>>);

impl<K: Known> SharedCodec<K> {
    /// `codec`, for states of type `T`.
    pub fn new<T: Specimen>(codec: impl Codec<T>) -> Self {
        Self(Arc::new(Through::<T, _>(codec, PhantomData)))
    }
}

impl<K: Known> Codec<Erased<K>> for SharedCodec<K> {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }

    fn inspect(&self, samples: &[Erased<K>]) -> Result<TypeInfo, Error> {
        self.0.inspect(samples)
    }

    fn digester(&self) -> Digester<Erased<K>> {
        self.0.digester()
    }

    fn encode(&self, state: &Erased<K>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(state, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Erased<K>, BoxError> {
        self.0.decode(bytes, limits)
    }
}
