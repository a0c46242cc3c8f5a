//! The direction of the next pass: [`ShapePlan`].

use super::graph::{Child, Graph, ShapeKind, ShapeSite, TOP};

/// Nothing is left to do from here, or no finite value is known.
pub(super) const NEVER: usize = usize::MAX;

/// For each node, the distance to the nearest open work and the depth of its smallest value.
///
/// A pass that always moves to a nearer node reaches the work without entering any type twice, so
/// recursive types never prevent it from getting there.
#[derive(Debug, Default)]
pub(super) struct ShapePlan {
    distance: Vec<usize>,
    depth: Vec<usize>,
}

impl ShapePlan {
    pub(super) fn new(graph: &Graph) -> Self {
        let mut plan = Self { distance: vec![NEVER; graph.len()], depth: vec![NEVER; graph.len()] };
        // Contents have higher numbers than their containers, except in cycles, so going backwards
        // settles nearly everything in one round. Values only decrease, so the loop terminates.
        let mut moved = true;
        while moved {
            moved = false;
            for id in (0..graph.len()).rev() {
                let distance = plan.distance_from_slots(graph, id);
                let depth = plan.depth_from_slots(graph, id);
                moved |=
                    lower(&mut plan.distance, id, distance) | lower(&mut plan.depth, id, depth);
            }
        }
        plan
    }

    /// Returns the number of steps to the nearest open work. 0 for a node that is new in this pass.
    pub(super) fn distance(&self, id: usize) -> usize {
        self.distance.get(id).copied().unwrap_or(0)
    }

    /// Returns the depth of the smallest value, or [`NEVER`] if no finite value is known yet.
    pub(super) fn depth(&self, id: usize) -> usize {
        self.depth.get(id).copied().unwrap_or(NEVER)
    }

    fn distance_from_slots(&self, graph: &Graph, id: usize) -> usize {
        let node = graph.node(id);
        let open = match node.kind {
            ShapeKind::Enum(_) => {
                node.slots.iter().any(|slot| slot.child.is_none() && slot.is_alive())
            }
            _ if node.is_read_by_name() => node.unread_fields().next().is_some(),
            _ if node.is_barren() => return NEVER,
            _ => !node.finished || node.slots.iter().any(|slot| graph.may_be_emptied(slot)),
        };
        if open || node.slots.iter().any(|slot| slot.is_opening && slot.is_alive()) {
            return 0;
        }
        node.slots
            .iter()
            .filter(|slot| slot.is_alive() && !graph.is_kept_empty(slot))
            .filter_map(|slot| match slot.child {
                Some(Child::Node(child)) => Some(self.distance(child)),
                _ => None,
            })
            .min()
            .map_or(NEVER, |nearest| nearest.saturating_add(1))
    }

    fn depth_from_slots(&self, graph: &Graph, id: usize) -> usize {
        let node = graph.node(id);
        let slots = (0..node.slots.len()).map(|index| ShapeSite { node: id, index });
        match node.kind {
            ShapeKind::Option | ShapeKind::Seq | ShapeKind::Map => 0,
            ShapeKind::Enum(_) => slots
                .filter(|&site| graph.slot(site).is_alive())
                .map(|site| self.depth_of_slot(graph, site))
                .min()
                .unwrap_or(NEVER),
            _ if !node.finished => NEVER,
            _ => slots.map(|site| self.depth_of_slot(graph, site)).max().unwrap_or(0),
        }
        .saturating_add(1)
    }

    fn depth_of_slot(&self, graph: &Graph, site: ShapeSite) -> usize {
        let slot = graph.slot(site);
        match slot.child {
            // In an enum, a slot is unknown until its variant was visited. Elsewhere, an unknown
            // slot belongs to a field that reads nothing.
            None if matches!(graph.node(site.node).kind, ShapeKind::Enum(_)) => NEVER,
            None | Some(Child::Leaf(_)) => 0,
            Some(Child::Node(child)) => {
                let kept =
                    graph.node(child).kind.may_be_empty() && slot.pick.is_some_and(|n| n > 0);
                if kept {
                    let inside = graph.node(child).slots.iter().filter_map(|slot| slot.child);
                    inside
                        .map(|child| match child {
                            Child::Leaf(_) => 0,
                            Child::Node(child) => self.depth(child),
                        })
                        .max()
                        .unwrap_or(0)
                        .saturating_add(1)
                } else {
                    self.depth(child)
                }
            }
        }
    }

    /// Returns whether no work is left.
    pub(super) fn is_done(&self) -> bool {
        self.distance(TOP.node) == NEVER
    }
}

fn lower(values: &mut [usize], id: usize, to: usize) -> bool {
    match values.get_mut(id) {
        Some(value) if to < *value => {
            *value = to;
            true
        }
        _ => false,
    }
}
