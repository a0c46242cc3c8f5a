//! Values of collections of other crates.

use bimap::BiBTreeMap;
use bitvec::prelude::{BitVec, Lsb0};
use enum_map::{Enum, EnumMap};
use enumset::{EnumSet, EnumSetType};
use fixedbitset::FixedBitSet;
use petgraph::graph::DiGraph;
use petgraph::stable_graph::StableDiGraph;
use priority_queue::PriorityQueue;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use slab::Slab;
use slotmap::{DefaultKey, SlotMap};

use crate::{by_debug, specimen};

/// What the maps and sets over enums hold.
#[derive(Debug, Enum, Serialize, Deserialize, EnumSetType, Hash, PartialOrd, Ord)]
#[enumset(no_ops)]
#[allow(missing_docs)]
pub enum Weekday {
    Mon,
    Tue,
    Sat,
    Sun,
}

specimen! {
    Weekday => |g| g.pick(&[Weekday::Mon, Weekday::Tue, Weekday::Sat, Weekday::Sun]);
    EnumMap<Weekday, u32> => |g| EnumMap::from_fn(|_| g.any());
    EnumSet<Weekday> => |g| g.many::<Weekday, Vec<_>>().into_iter().collect();
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
