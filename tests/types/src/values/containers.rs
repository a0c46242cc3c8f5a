//! Containers as specimens: those of the standard library and of the crates that replace them.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::num::Wrapping;
use std::ops::{Bound, Range, RangeInclusive};
use std::sync::Arc;

use crate::{Gen, Value, seq_same};

/// Containers that show an order.
macro_rules! ordered {
    ($([$($bound:tt)*] $t:ty;)*) => {$(
        impl<T: Value + $($bound)*> Value for $t {
            fn make(g: &mut Gen) -> Self {
                g.many()
            }

            fn same(&self, other: &Self) -> bool {
                seq_same(self.iter(), other.iter())
            }
        }
    )*};
}

ordered! {
    [Clone] Vec<T>;
    [Clone] VecDeque<T>;
    [Clone] LinkedList<T>;
    [Clone] Box<[T]>;
    [Clone] Arc<[T]>;
    [Ord] BTreeSet<T>;
    [Ord] BinaryHeap<T>;
    [Hash + Eq] indexmap::IndexSet<T>;
    [Clone] imbl::Vector<T>;
    [Ord] imbl::OrdSet<T>;
    [Clone] smallvec::SmallVec<[T; 2]>;
    [Clone] ecow::EcoVec<T>;
}

impl<T: Value> Value for arrayvec::ArrayVec<T, 4> {
    fn make(g: &mut Gen) -> Self {
        let len = g.below(5);
        g.times(len)
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

impl<T: Value> Value for heapless::Vec<T, 4> {
    fn make(g: &mut Gen) -> Self {
        let len = g.below(5);
        g.times(len)
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

impl<T: Value + Default> Value for tinyvec::TinyVec<[T; 2]> {
    fn make(g: &mut Gen) -> Self {
        g.many()
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

impl<T: Value> Value for vec1::Vec1<T> {
    fn make(g: &mut Gen) -> Self {
        let first = g.any();
        let mut made = Self::new(first);
        made.extend(g.many::<T, Vec<T>>());
        made
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

impl<T: Value> Value for nonempty::NonEmpty<T> {
    fn make(g: &mut Gen) -> Self {
        Self { head: g.any(), tail: g.many() }
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

/// Maps that show an order.
macro_rules! ordered_maps {
    ($([$($bound:tt)*] $t:ty;)*) => {$(
        impl<K: Value + $($bound)*, V: Value> Value for $t {
            fn make(g: &mut Gen) -> Self {
                (0..g.len()).map(|_| (g.any(), g.any())).collect()
            }

            fn same(&self, other: &Self) -> bool {
                self.len() == other.len()
                    && self.iter().zip(other.iter()).all(|(a, b)| a.0.same(b.0) && a.1.same(b.1))
            }
        }
    )*};
}

ordered_maps! {
    [Ord] BTreeMap<K, V>;
    [Ord] imbl::OrdMap<K, V>;
    [Hash + Eq] indexmap::IndexMap<K, V>;
    [Hash + Eq] hashlink::LinkedHashMap<K, V>;
}

impl<T: Value + Hash + Eq, S> Value for HashSet<T, S>
where
    S: BuildHasher + Default + Clone + Send + Sync + 'static,
{
    fn make(g: &mut Gen) -> Self {
        g.many()
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<K: Value + Hash + Eq, V: Value, S> Value for HashMap<K, V, S>
where
    S: BuildHasher + Default + Clone + Send + Sync + 'static,
{
    fn make(g: &mut Gen) -> Self {
        (0..g.len()).map(|_| (g.any(), g.any())).collect()
    }

    fn same(&self, other: &Self) -> bool {
        let has = |(k, v): (&K, &V)| other.get(k).is_some_and(|o| v.same(o));
        self.len() == other.len() && self.iter().all(has)
    }
}

macro_rules! unordered {
    ($($t:ident)::*) => {
        impl<K: Value + Hash + Eq, V: Value> Value for $($t)::*<K, V> {
            fn make(g: &mut Gen) -> Self {
                (0..g.len()).map(|_| (g.any(), g.any())).collect()
            }

            fn same(&self, other: &Self) -> bool {
                let has = |(k, v): (&K, &V)| other.get(k).is_some_and(|o| v.same(o));
                self.len() == other.len() && self.iter().all(has)
            }
        }
    };
}
unordered!(hashbrown::HashMap);
unordered!(imbl::HashMap);

impl<K: Value + Hash + Eq, V: Value> Value for dashmap::DashMap<K, V> {
    fn make(g: &mut Gen) -> Self {
        (0..g.len()).map(|_| (g.any(), g.any())).collect()
    }

    fn same(&self, other: &Self) -> bool {
        let has = |k: &K, v: &V| other.get(k).is_some_and(|o| v.same(&o));
        self.len() == other.len() && self.iter().all(|e| has(e.key(), e.value()))
    }
}

impl<K: Value + Hash + Eq> Value for dashmap::DashSet<K> {
    fn make(g: &mut Gen) -> Self {
        g.many()
    }

    fn same(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|k| other.contains(k.key()))
    }
}

impl<T: Value> Value for Option<T> {
    fn make(g: &mut Gen) -> Self {
        (!g.once_in(3)).then(|| g.any())
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (None, None) => true,
            (Some(a), Some(b)) => a.same(b),
            _ => false,
        }
    }
}

impl<T: Value, E: Value> Value for Result<T, E> {
    fn make(g: &mut Gen) -> Self {
        if g.once_in(2) { Ok(g.any()) } else { Err(g.any()) }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Ok(a), Ok(b)) => a.same(b),
            (Err(a), Err(b)) => a.same(b),
            _ => false,
        }
    }
}

impl<L: Value, R: Value> Value for either::Either<L, R> {
    fn make(g: &mut Gen) -> Self {
        if g.once_in(2) { Self::Left(g.any()) } else { Self::Right(g.any()) }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Left(a), Self::Left(b)) => a.same(b),
            (Self::Right(a), Self::Right(b)) => a.same(b),
            _ => false,
        }
    }
}

/// Types around one value.
macro_rules! wrappers {
    ($($t:ty, |$x:ident| $wrap:expr, |$s:ident| $inner:expr;)*) => {$(
        impl<T: Value> Value for $t {
            fn make(g: &mut Gen) -> Self {
                let $x: T = g.any();
                $wrap
            }

            fn same(&self, other: &Self) -> bool {
                let inner = |$s: &Self| -> T { $inner.clone() };
                inner(self).same(&inner(other))
            }
        }
    )*};
}

wrappers! {
    Box<T>, |x| Box::new(x), |s| **s;
    Arc<T>, |x| Arc::new(x), |s| **s;
    Reverse<T>, |x| Reverse(x), |s| s.0;
    Wrapping<T>, |x| Wrapping(x), |s| s.0;
    Arc<std::sync::Mutex<T>>, |x| Arc::new(std::sync::Mutex::new(x)), |s| s.lock().unwrap();
    Arc<std::sync::RwLock<T>>, |x| Arc::new(std::sync::RwLock::new(x)), |s| s.read().unwrap();
}

impl<T: Value> Value for Range<T> {
    fn make(g: &mut Gen) -> Self {
        g.any()..g.any()
    }
}

impl<T: Value> Value for RangeInclusive<T> {
    fn make(g: &mut Gen) -> Self {
        g.any()..=g.any()
    }
}

impl<T: Value> Value for Bound<T> {
    fn make(g: &mut Gen) -> Self {
        match g.below(3) {
            0 => Self::Unbounded,
            1 => Self::Included(g.any()),
            _ => Self::Excluded(g.any()),
        }
    }
}

impl<T: 'static + Send + Sync> Value for PhantomData<T> {
    fn make(_: &mut Gen) -> Self {
        Self
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    fn make(g: &mut Gen) -> Self {
        std::array::from_fn(|_| g.any())
    }

    fn same(&self, other: &Self) -> bool {
        seq_same(self.iter(), other.iter())
    }
}

macro_rules! tuples {
    ($($($t:ident $i:tt),*;)*) => {$(
        impl<$($t: Value),*> Value for ($($t,)*) {
            fn make(g: &mut Gen) -> Self {
                ($($t::make(g),)*)
            }

            fn same(&self, other: &Self) -> bool {
                true $(&& self.$i.same(&other.$i))*
            }
        }
    )*};
}
tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
}

impl Value for Cow<'static, str> {
    fn make(g: &mut Gen) -> Self {
        Self::Owned(g.text())
    }
}

impl Value for Arc<str> {
    fn make(g: &mut Gen) -> Self {
        g.text().into()
    }
}

impl Value for Box<str> {
    fn make(g: &mut Gen) -> Self {
        g.text().into()
    }
}
