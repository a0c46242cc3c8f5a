//! The bookkeeping of a trace: [`Tracer`].
//!
//! A trace runs `T::deserialize` repeatedly. In each pass the tracer answers every request with a
//! value of its choice and records the requests. A pass ends with a value of `T` or with a fault. A
//! fault is attributed to a value that was offered inside the innermost call that failed, and the
//! next pass offers another value there (see `repair`).

use std::collections::HashMap;

use super::candidates::Harvest;
use super::fault::ShapeFault;
use super::graph::{Child, Graph, Leaf, ShapeKind, ShapeSite, ShapeSlot, TOP};
use super::obstacle::{Obstacle, ObstaclePlace};
use super::pass::{Cause, MAX_PASSES, MAX_VISITS, PassFailure, PassStep, PassVisit, Repair};
use super::plan::{NEVER, ShapePlan};
use super::tree::ShapeTree;
use super::trials::Trials;
use crate::value::short_name;

/// The maximum depth of nested requests.
pub(super) const MAX_DEPTH: usize = 128;

/// The maximum number of nested re-entries into types that are being visited. A smallest value
/// needs at most as many as there are types in the cycle.
const MAX_REENTRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) graph: Graph,
    pub(super) obstacle: Option<Obstacle>,
    /// Whether the type contains a typetag trait object.
    pub(super) trait_object: bool,
    /// The location of a sequence or map whose elements take no bytes.
    pub(super) endless: Option<ObstaclePlace>,
    pub(super) partial: bool,
    pub(super) repairs: HashMap<ShapeSite, Repair>,
    pub(super) harvest: Harvest,
    pub(super) trials: Trials,
    type_name: &'static str,
    plan: ShapePlan,
    pub(super) passes: usize,
    pub(super) visits: usize,

    // The current pass:
    pub(super) steps: Vec<PassStep>,
    pub(super) failure: Option<PassFailure>,
    /// Whether something was learned.
    pub(super) changed: bool,
    path: Vec<PassVisit>,
    /// The calls that are running, each with the number of steps taken before it.
    pub(super) calls: Vec<(ShapeSite, usize)>,
    /// The number of re-entries into types. Above 0, only the smallest values are chosen.
    closing: usize,
    /// The value of the next name in a [`ShapeKind::Named`], if it accepts any value.
    pub(super) value: Option<ShapeTree>,
}

impl Tracer {
    pub(super) fn new(type_name: &'static str, harvest: Harvest) -> Self {
        Self {
            graph: Graph::new(),
            obstacle: None,
            trait_object: false,
            endless: None,
            partial: false,
            repairs: HashMap::new(),
            harvest,
            trials: Trials::default(),
            type_name,
            plan: ShapePlan::default(),
            passes: 0,
            visits: 0,
            steps: Vec::new(),
            failure: None,
            changed: false,
            path: Vec::new(),
            calls: Vec::new(),
            closing: 0,
            value: None,
        }
    }

    /// Prepares the next pass. False if nothing is left to do, or no pass is left.
    pub(super) fn begin_pass(&mut self) -> bool {
        self.close_openings();
        self.plan = ShapePlan::new(&self.graph);
        if self.plan.is_done() {
            return false;
        }
        if self.passes == MAX_PASSES {
            self.partial = true;
            return false;
        }
        self.passes += 1;
        self.steps.clear();
        self.calls.clear();
        self.calls.push((TOP, 0));
        self.failure = None;
        self.changed = false;
        self.closing = 0;
        self.trials.begin_pass();
        true
    }

    /// Ends a pass that returned a value. False if nothing was learned, so that another pass would
    /// not help.
    pub(super) fn pass_done(&mut self) -> bool {
        let root = self.graph.node_mut(TOP.node);
        self.changed |= !root.finished;
        root.finished = true;
        self.changed
    }

    /// Ends a pass in which the type's own code panicked: the innermost call refused its value.
    pub(super) fn pass_panicked(&mut self) {
        let (site, start) = self.calls.last().copied().unwrap_or((TOP, 0));
        self.fail(site, start, Cause::Refused);
        for level in self.path.drain(..) {
            self.graph.node_mut(level.node).on_stack = 0;
        }
    }

    /// Records a request for a leaf, and returns the number of the candidate to offer.
    pub(super) fn leaf(&mut self, site: ShapeSite, leaf: Leaf) -> Result<usize, ShapeFault> {
        self.count_visit(site)?;
        let pick = self.record(site, Child::Leaf(leaf)).pick.unwrap_or(0);
        self.steps.push(PassStep { site, pick, tried_empty: false });
        Ok(pick)
    }

    /// Enters a type with contents, or the contents of a variant (if `visitor` is empty), and
    /// chooses how many of the contents to offer.
    pub(super) fn enter(
        &mut self,
        site: ShapeSite,
        kind: ShapeKind,
        visitor: &'static str,
        name: &'static str,
    ) -> Result<PassVisit, ShapeFault> {
        self.count_visit(site)?;
        let node = self.graph.node_for(site, kind, visitor, name);
        let slot = self.record(site, Child::Node(node));
        let inside_itself = !visitor.is_empty() && self.graph.node(node).on_stack > 0;
        let closing = self.closing + usize::from(inside_itself);
        if self.path.len() >= MAX_DEPTH || closing > MAX_REENTRIES {
            return Err(self.fail(site, self.steps.len(), Cause::TooDeep));
        }
        let here = self.graph.node(node);
        let small = closing > 0 || self.plan.distance(node) == NEVER;
        // The contents were seen, so offer it once without contents.
        let try_empty = here.finished && self.graph.may_be_emptied(&slot);
        let pick = match here.kind {
            kind if kind.may_be_empty() => match slot.pick {
                _ if here.is_barren() => 0,
                Some(pick) => pick,
                None => usize::from(!small && !try_empty),
            },
            _ if here.is_read_by_name() => 0,
            _ if here.is_barren() => {
                return Err(self.fail(site, self.steps.len(), Cause::Barren));
            }
            ShapeKind::Enum(_) => self.choose_variant(node, small).unwrap_or_default(),
            _ => 0,
        };
        let tried_empty = try_empty && closing == 0;
        let visit =
            PassVisit { site, node, pick, start: self.steps.len(), was_closing: self.closing };
        self.closing = closing;
        self.graph.node_mut(node).on_stack += 1;
        self.steps.push(PassStep { site, pick, tried_empty });
        self.path.push(visit);
        Ok(visit)
    }

    /// Leaves what [`enter`](Self::enter) entered.
    pub(super) fn leave<T>(
        &mut self,
        visit: PassVisit,
        result: Result<T, ShapeFault>,
    ) -> Result<T, ShapeFault> {
        let by_name = self.graph.node(visit.node).is_read_by_name();
        if result.is_err() {
            let cause = if by_name { Cause::Barren } else { Cause::Refused };
            self.fail(visit.site, visit.start, cause);
        }
        self.path.pop();
        self.closing = visit.was_closing;
        let node = self.graph.node_mut(visit.node);
        node.on_stack = node.on_stack.saturating_sub(1);
        let value = result?;
        let is_container = node.kind.may_be_empty();
        if is_container && visit.pick == 0 {
            self.changed |= !self.graph.slot(visit.site).emptied;
            self.graph.change(visit.site, |slot| slot.emptied = true);
        } else if !by_name {
            self.changed |= !node.finished;
            node.finished = true;
        }
        let mut inside = self.steps.iter().skip(visit.start + 1);
        let is_many = is_container && self.graph.node(visit.node).kind != ShapeKind::Option;
        if is_many && visit.pick > 0 && inside.all(|step| self.graph.takes_no_bytes(step.site)) {
            let place = self.place(visit.site);
            self.endless.get_or_insert(place);
        }
        Ok(value)
    }

    /// Records a fault, unless one further inside is already recorded.
    pub(super) fn fail(&mut self, site: ShapeSite, start: usize, cause: Cause) -> ShapeFault {
        if self.failure.is_none() || cause == Cause::OutOfBudget {
            self.failure = Some(PassFailure { site, start, levels: self.path.clone(), cause });
        }
        ShapeFault
    }

    /// Notes that the value at `site` was accepted.
    pub(super) fn accepted(&mut self, site: ShapeSite) {
        let slot = self.graph.slot(site);
        if let (Some(Child::Leaf(leaf)), Some(pick @ 1..)) = (slot.child, slot.pick) {
            self.harvest.accepted(leaf, pick);
        }
    }

    fn count_visit(&mut self, site: ShapeSite) -> Result<(), ShapeFault> {
        if self.visits >= MAX_VISITS {
            return Err(self.fail(site, self.steps.len(), Cause::OutOfBudget));
        }
        self.visits += 1;
        Ok(())
    }

    fn record(&mut self, site: ShapeSite, child: Child) -> ShapeSlot {
        match self.graph.slot(site).child {
            None => {
                self.graph.change(site, |slot| slot.child = Some(child));
                self.changed = true;
            }
            Some(known) if known == child => {}
            // The type makes different requests at different times. Only the first one is recorded.
            Some(_) => self.partial = true,
        }
        self.graph.slot(site)
    }

    /// Chooses the field that a struct is asked for in this pass if it is read by name: a field
    /// that was never requested, or the nearest one with open work.
    pub(super) fn choose_field(&self, id: usize) -> Option<usize> {
        let node = self.graph.node(id);
        let nearest = || {
            let known = node.slots.iter().enumerate().filter(|(_, slot)| slot.is_alive());
            let distances = known.filter_map(|(field, slot)| match slot.child {
                _ if slot.is_opening => Some((0, field)),
                Some(Child::Node(child)) => Some((self.plan.distance(child), field)),
                _ => None,
            });
            distances.min().filter(|&(distance, _)| distance < NEVER).map(|(_, field)| field)
        };
        node.unread_fields().next().or_else(nearest)
    }

    fn choose_variant(&self, id: usize, small: bool) -> Option<usize> {
        let node = self.graph.node(id);
        let alive = node.slots.iter().enumerate().filter(|(_, slot)| slot.is_alive());
        let near = |slot: &ShapeSlot| match slot.child {
            None => 0,
            Some(Child::Node(variant)) => self.plan.distance(variant),
            Some(Child::Leaf(_)) => NEVER,
        };
        let shallow = |slot: &ShapeSlot| match slot.child {
            // Order: variants with a finite value, unknown ones, those not being visited, those in
            // a cycle.
            Some(Child::Node(variant)) if self.plan.depth(variant) < NEVER => {
                (0, self.plan.depth(variant))
            }
            None => (1, 0),
            Some(Child::Node(variant)) => (2, self.graph.node(variant).on_stack),
            Some(Child::Leaf(_)) => (3, 0),
        };
        if small {
            alive.min_by_key(|(_, slot)| shallow(slot)).map(|(variant, _)| variant)
        } else {
            alive.min_by_key(|(_, slot)| near(slot)).map(|(variant, _)| variant)
        }
    }

    /// Returns the nearest named owner of a site, going outwards.
    pub(super) fn place(&self, site: ShapeSite) -> ObstaclePlace {
        let outer = self.path.iter().rev().map(|level| level.site);
        for site in std::iter::once(site).chain(outer) {
            let node = self.graph.node(site.node);
            let field = match node.kind {
                ShapeKind::Struct(names) | ShapeKind::StructVariant(names) => {
                    names.get(site.index).map(ToString::to_string)
                }
                ShapeKind::TupleStruct(_) | ShapeKind::TupleVariant(_) => {
                    Some(site.index.to_string())
                }
                ShapeKind::NewtypeVariant | ShapeKind::Newtype => None,
                _ => continue,
            };
            let owner = match node.variant {
                "" => node.name.to_owned(),
                variant => format!("{}::{variant}", node.name),
            };
            return ObstaclePlace { owner, field };
        }
        ObstaclePlace { owner: short_name(self.type_name), field: None }
    }

    /// Returns the type that reads the map at `key` by field names. It is the type for which the
    /// visitor was derived.
    pub(super) fn flattened(&self, key: ShapeSite) -> ObstaclePlace {
        let visitor = self.graph.node(key.node).visitor;
        let owner = visitor.split_once(" for ").and_then(|(_, owner)| owner.rsplit_once(">::"));
        match owner.and_then(|(owner, _)| owner.split_once(">::deserialize").or(Some((owner, ""))))
        {
            Some((owner, _)) => ObstaclePlace { owner: short_name(owner), field: None },
            None => self.place(key),
        }
    }

    /// Returns whether `site` is an entry of a typetag trait object.
    ///
    /// A trait object is written as a map with its tag first. The rest is then read with the types
    /// that the tag selects. Only a map in which another key comes first, such as the trace offers,
    /// is buffered as values of any kind. So a positional codec can represent a trait object. The
    /// name of typetag's visitor is not guaranteed to be stable: another name only causes an early
    /// refusal.
    pub(super) fn is_in_trait_object(&self, site: ShapeSite) -> bool {
        let node = self.graph.node(site.node);
        node.kind == ShapeKind::Map && node.visitor.starts_with("typetag::")
    }

    pub(super) fn meet(&mut self, obstacle: Obstacle) {
        self.obstacle.get_or_insert(obstacle);
    }
}
