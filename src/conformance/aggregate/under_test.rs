//! [`AggregateUnderTest`]: the aggregate, with everything needed to fold and compare it.

use std::fmt;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::panics::{Panicked, catch};
use crate::codec::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::value::{Compared, Unordered, ValueNode, compare};

/// Serializes a state into a tree. The flag says whether the codec is human-readable.
pub(super) type Lens<A> = fn(&A, bool) -> Option<ValueNode>;
/// The comparison that the application provides.
pub(super) type Equal<A> = dyn Fn(&A, &A) -> bool + Send + Sync;

pub(super) struct AggregateUnderTest<A: Aggregate> {
    pub(super) key: AggregateKey,
    pub(super) codec: SharedSubject<A>,
    pub(super) limits: DecodeLimits,
    /// `None` for types that do not implement serde's traits.
    pub(super) lens: Option<Lens<A>>,
    pub(super) equal: Option<Box<Equal<A>>>,
    /// Containers that are known to iterate in a different order each time.
    pub(super) unordered: Unordered,
}

/// The result of comparing two states.
pub(super) enum Sameness {
    Same,
    /// The states are equal, and their bytes differ because of the order within these containers.
    /// The reason is unknown if there are none.
    OtherBytes(Unordered),
    /// The states differ, at this place if it is known.
    Different(Option<String>),
}

impl<A: Aggregate> AggregateUnderTest<A> {
    pub(super) fn initial(&self) -> Result<A, Panicked> {
        catch(|| A::initial(&self.key))
    }

    /// Returns the state after `events`.
    pub(super) fn fold<'e>(
        &self,
        events: impl IntoIterator<Item = &'e A::Event>,
    ) -> Result<A, Panicked> {
        self.initial().and_then(|state| resume(state, events))
    }

    pub(super) fn encode(&self, state: &A) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        self.codec.encode(state, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<A, BoxError> {
        self.codec.decode(bytes, self.limits)
    }

    pub(super) fn tree(&self, state: &A) -> Option<ValueNode> {
        self.lens.and_then(|lens| lens(state, self.codec.id() == CodecId::JSON))
    }

    /// Returns a digest of a state that is the same in every process. It is computed from the tree,
    /// so that the order of hash maps does not matter, or from the bytes if there is no tree.
    pub(super) fn digest(&self, state: &A) -> Option<u64> {
        let tree = self.tree(state).map(|tree| tree.digest());
        tree.or_else(|| self.encode(state).ok().map(|bytes| XxHash3_64::oneshot(&bytes)))
    }

    pub(super) fn compare(&self, a: &A, b: &A) -> Sameness {
        if self.equal.as_ref().is_some_and(|equal| !equal(a, b)) {
            return Sameness::Different(match self.compare_trees(a, b) {
                Some(Compared::Different(place)) => Some(place),
                _ => None,
            });
        }
        let bytes = (self.encode(a), self.encode(b));
        if let (Ok(a), Ok(b)) = &bytes
            && a == b
        {
            return Sameness::Same;
        }
        match self.compare_trees(a, b) {
            Some(Compared::Different(place)) => Sameness::Different(Some(place)),
            Some(Compared::Same(found)) => Sameness::OtherBytes(found),
            None if self.equal.is_some() => Sameness::OtherBytes(Unordered::new()),
            None => Sameness::Different(None),
        }
    }

    /// Describes where the two states differ, or `None` if they are the same.
    pub(super) fn difference(&self, a: &A, b: &A) -> Option<String> {
        match self.compare(a, b) {
            Sameness::Same | Sameness::OtherBytes(_) => None,
            Sameness::Different(Some(place)) => Some(format!("they differ at {place}")),
            Sameness::Different(None) if self.equal.is_some() => {
                Some("the function set with compare() returned false".to_owned())
            }
            Sameness::Different(None) => Some("their bytes differ".to_owned()),
        }
    }

    fn compare_trees(&self, a: &A, b: &A) -> Option<Compared> {
        Some(compare(&self.tree(a)?, &self.tree(b)?, &self.unordered))
    }
}

/// Folds `events` into `state`.
pub(super) fn resume<'e, A: Aggregate>(
    mut state: A,
    events: impl IntoIterator<Item = &'e A::Event>,
) -> Result<A, Panicked> {
    catch(move || {
        events.into_iter().for_each(|event| state.apply(event));
        state
    })
}

/// A codec that several owners share.
pub(super) struct SharedSubject<S>(Arc<dyn Codec<S>>);

impl<S> SharedSubject<S> {
    pub(super) fn new(codec: impl Codec<S>) -> Self {
        Self(Arc::new(codec))
    }
}

impl<S> Clone for SharedSubject<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for SharedSubject<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<S: 'static> Codec<S> for SharedSubject<S> {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }

    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error> {
        self.0.inspect(samples)
    }

    fn digester(&self) -> Digester<S> {
        self.0.digester()
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(state, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        self.0.decode(bytes, limits)
    }
}
