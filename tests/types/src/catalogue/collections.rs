//! Containers: of the standard library, and what people put in their place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bimap::BiBTreeMap;
use bitvec::prelude::{BitVec, Lsb0};
use dashmap::{DashMap, DashSet};
use enum_map::{Enum, EnumMap};
use enumset::{EnumSet, EnumSetType};
use fixedbitset::FixedBitSet;
use indexmap::{IndexMap, IndexSet};
use petgraph::graph::DiGraph;
use petgraph::stable_graph::StableDiGraph;
use priority_queue::PriorityQueue;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use slab::Slab;
use slotmap::{DefaultKey, SlotMap};

use super::types;
use crate::{by_debug, specimen, state};

type FxMap<K, V> = HashMap<K, V, rustc_hash::FxBuildHasher>;
type FxSet<T> = HashSet<T, rustc_hash::FxBuildHasher>;
type AHashed<K, V> = HashMap<K, V, ahash::RandomState>;

#[derive(Debug, Enum, Serialize, Deserialize, EnumSetType, Hash, PartialOrd, Ord)]
#[enumset(no_ops)]
enum Weekday {
    Mon,
    Tue,
    Sat,
    Sun,
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Rights: u32 {
        const READ = 1;
        const WRITE = 2;
        const OWN = 0x8000_0000;
    }
}

specimen! {
    Weekday => |g| g.pick(&[Weekday::Mon, Weekday::Tue, Weekday::Sat, Weekday::Sun]);
    EnumMap<Weekday, u32> => |g| EnumMap::from_fn(|_| g.any());
    EnumSet<Weekday> => |g| g.many::<Weekday, Vec<_>>().into_iter().collect();
    Rights => |g| Rights::from_bits_retain(g.pick(&[0, 1, 3, 0x8000_0000, 0x8000_0001]));
    BiBTreeMap<u32, String> => |g| g.many::<(u32, String), _>();
    BitVec<u8, Lsb0> => |g| g.many::<bool, _>(), same |a, b| a == b;
    FixedBitSet => |g| { let mut set = FixedBitSet::with_capacity(70); set.insert(g.below(70)); set },
        same |a, b| a == b;
    RoaringBitmap => |g| g.many::<u32, _>();
    PriorityQueue<String, u32> => |g| g.many::<(String, u32), _>(),
        same |a, b| a == b && a.clone().into_sorted_vec() == b.clone().into_sorted_vec();
    Slab<String> => |g| {
        let mut slab: Slab<String> = Slab::new();
        for text in g.many::<String, Vec<_>>() {
            slab.insert(text);
        }
        if slab.contains(1) && g.once_in(2) {
            slab.remove(1);
        }
        slab
    }, same |a, b| by_debug(&a.iter().collect::<Vec<_>>(), &b.iter().collect())
        && a.clone().insert(String::new()) == b.clone().insert(String::new());
    SlotMap<DefaultKey, u32> => |g| {
        let mut map = SlotMap::new();
        let keys: Vec<_> = g.many::<u32, Vec<_>>().into_iter().map(|n| map.insert(n)).collect();
        if let Some(key) = keys.first().filter(|_| g.once_in(2)) {
            map.remove(*key);
        }
        map
    }, same |a, b| by_debug(&a.iter().collect::<Vec<_>>(), &b.iter().collect())
        && a.clone().insert(0) == b.clone().insert(0);
    DiGraph<String, u32> => |g| {
        let mut graph = DiGraph::new();
        let nodes: Vec<_> = g.many::<String, Vec<_>>().into_iter().map(|n| graph.add_node(n)).collect();
        for pair in nodes.windows(2) {
            graph.add_edge(pair[0], pair[1], g.any());
        }
        graph
    };
    StableDiGraph<String, u32> => |g| {
        let mut graph = StableDiGraph::new();
        let nodes: Vec<_> = g.many::<String, Vec<_>>().into_iter().map(|n| graph.add_node(n)).collect();
        for pair in nodes.windows(2) {
            graph.add_edge(pair[0], pair[1], g.any());
        }
        if let Some(node) = nodes.first().filter(|_| g.once_in(2)) {
            graph.remove_node(*node);
        }
        graph
    }, same |a, b| {
        // With the number that the next node gets, and without the spare room.
        let tell = |graph: &StableDiGraph<String, u32>| {
            let mut grown = graph.clone();
            let next = grown.add_node(String::new());
            let nodes: Vec<_> = graph.node_indices().map(|at| (at, graph[at].clone())).collect();
            let edges: Vec<_> = graph.edge_indices().map(|at| (at, graph[at], graph.edge_endpoints(at))).collect();
            (next, nodes, edges)
        };
        tell(a) == tell(b)
    };
    ecow::EcoString => |g| g.text().into();
    heapless::String<16> => |g| heapless::String::try_from(g.word().as_str()).unwrap();
    arrayvec::ArrayString<16> => |g| arrayvec::ArrayString::from(&g.word()).unwrap();
    heapless::index_map::FnvIndexMap<u8, u32, 8> => |g| (0..g.len()).map(|_| (g.any(), g.any())).collect(),
        same |a, b| a.iter().eq(b.iter());
}

state! {
    #[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Sku { vendor: u16, number: u32 }

    #[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Id(n: u64);
}

types! {
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
}
