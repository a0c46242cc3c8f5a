//! Containers: of the standard library, and what people put in their place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use bimap::BiBTreeMap;
use bitvec::prelude::{BitVec, Lsb0};
use dashmap::{DashMap, DashSet};
use enum_map::EnumMap;
use enumset::EnumSet;
use fixedbitset::FixedBitSet;
use indexmap::{IndexMap, IndexSet};
use petgraph::graph::DiGraph;
use petgraph::stable_graph::StableDiGraph;
use priority_queue::PriorityQueue;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use slab::Slab;
use slotmap::{DefaultKey, SlotMap};
use snapfold_types::{Weekday, cases, specimen, state, states};

type FxMap<K, V> = HashMap<K, V, rustc_hash::FxBuildHasher>;
type FxSet<T> = HashSet<T, rustc_hash::FxBuildHasher>;
type AHashed<K, V> = HashMap<K, V, ahash::RandomState>;

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Rights: u32 {
        const READ = 1;
        const WRITE = 2;
        const OWN = 0x8000_0000;
    }
}

specimen! {
    Rights => |g| Rights::from_bits_retain(g.pick(&[0, 1, 3, 0x8000_0000, 0x8000_0001]));
}

state! {
    #[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Sku { vendor: u16, number: u32 }

    #[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Id(n: u64);
}

fn main() -> ExitCode {
    states::run(cases! {
        Vec<u32>, Vec<String>, Vec<()>, Vec<Vec<u8>>, Vec<Option<u32>>, Vec<f64>,
        Vec<(String, f64)>,
        VecDeque<u32>, LinkedList<u32>, BinaryHeap<u32>, BinaryHeap<Reverse<(u32, String)>>,
        Box<[u32]>, Arc<[String]>,
        BTreeMap<String, u32>, BTreeMap<u32, String>, BTreeMap<i64, u8>, BTreeMap<u128, u8>,
        BTreeMap<char, u32>, BTreeMap<bool, u32>, BTreeMap<(u32, u32), u32>, BTreeMap<Option<u8>, u8>,
        BTreeMap<Sku, u32>, BTreeMap<Id, u32>, BTreeMap<Weekday, u32>, BTreeMap<IpAddr, u32>,
        BTreeMap<String, Vec<u32>>, BTreeMap<String, ()>, BTreeMap<u32, BTreeMap<u32, u32>>,
        BTreeSet<String>, BTreeSet<(u32, u32)>,
        HashMap<String, u32>, HashMap<u64, String>, HashMap<Sku, u32>, HashMap<Id, Vec<Id>>,
        HashMap<String, HashSet<u32>>, HashMap<uuid::Uuid, u32>,
        HashSet<u32>, HashSet<String>, HashSet<Sku>,
        FxMap<u32, u32>, FxSet<u32>, AHashed<String, u32>, hashbrown::HashMap<u32, String>,
        IndexMap<String, u32>, IndexMap<u32, IndexSet<String>>, IndexSet<u32>,
        hashlink::LinkedHashMap<String, u32>,
        DashMap<String, u32>, DashSet<u32>,
        imbl::Vector<u32>, imbl::OrdMap<String, u32>, imbl::OrdSet<u32>, imbl::HashMap<String, u32>,
        smallvec::SmallVec<[u32; 2]>, smallvec::SmallVec<[String; 2]>,
        arrayvec::ArrayVec<u32, 4>, arrayvec::ArrayString<16>,
        tinyvec::TinyVec<[u32; 2]>, heapless::Vec<u32, 4>, heapless::String<16>,
        heapless::index_map::FnvIndexMap<u8, u32, 8> as "heapless::FnvIndexMap",
        ecow::EcoVec<u32>, ecow::EcoString,
        vec1::Vec1<u32>, nonempty::NonEmpty<String>,
        either::Either<u32, String>,
        EnumMap<Weekday, u32>, EnumSet<Weekday>, Rights as "bitflags",
        BiBTreeMap<u32, String>, BitVec<u8, Lsb0>, FixedBitSet, RoaringBitmap,
        PriorityQueue<String, u32>, Slab<String>, SlotMap<DefaultKey, u32>,
        DiGraph<String, u32>, StableDiGraph<String, u32>,
    })
}
