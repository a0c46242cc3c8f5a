//! The bookkeeping of a trace: [`Tracer`].
//!
//! A trace runs `T::deserialize` again and again. In each pass the tracer answers every request
//! with a value of its choice and writes down what was asked. A pass ends with a value of `T`
//! or with a fault; a fault is blamed on a value offered inside the innermost call that failed,
//! and the next pass offers another one there (see `repair`).

use std::collections::HashMap;

use super::candidates::Harvest;
use super::fault::Fault;
use super::graph::{Child, Graph, Kind, Leaf, Site, Slot, TOP};
use super::obstacle::{Obstacle, Place, short_name};
use super::plan::{NEVER, Plan};
use super::repair::Repair;

/// Most times that `T::deserialize` is run.
pub(super) const MAX_PASSES: usize = 1_024;
/// Most requests that are answered, over all passes.
pub(super) const MAX_VISITS: usize = 65_536;
/// Most requests inside each other.
pub(super) const MAX_DEPTH: usize = 128;

/// Most times that types are entered inside themselves, one in the other. A smallest value needs
/// at most as many as there are types in the circle.
const MAX_REENTRIES: usize = 16;

/// A place in the graph together with the type that reads there, as far as serde tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) site: Site,
    pub(super) reader: &'static str,
}

impl At {
    /// The same for `PhantomData<Email>` (a field) and `OptionVisitor<Email>` (inside an option).
    fn subject(&self) -> &'static str {
        self.reader.split_once('<').map_or(self.reader, |(_, subject)| subject)
    }
}

/// One choice of this pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) site: Site,
    /// The candidate, number of elements, or variant.
    pub(super) pick: usize,
    /// Was left empty only to see the empty value.
    pub(super) tried_empty: bool,
}

/// One node that is being visited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) at: At,
    pub(super) node: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The type did not accept what it was given.
    Refused,
    /// A part is known to refuse everything, so no value of this type can be given.
    Barren,
    /// The enum at this slot knows no variant of this number.
    NoSuchVariant,
    TooDeep,
    OutOfBudget,
}

/// The innermost call that failed in this pass.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) site: Site,
    /// The steps from this one on were taken inside the call.
    pub(super) start: usize,
    pub(super) levels: Vec<Level>,
    pub(super) cause: Cause,
}

/// A node that was entered and has to be left.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) node: usize,
    pub(super) pick: usize,
    start: usize,
    was_closing: usize,
}

#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) graph: Graph,
    pub(super) obstacle: Option<Obstacle>,
    pub(super) partial: bool,
    pub(super) repairs: HashMap<Site, Repair>,
    pub(super) harvest: Harvest,
    type_name: &'static str,
    plan: Plan,
    pub(super) passes: usize,
    pub(super) visits: usize,
    /// Which candidate a type of leaf accepted: saves its other fields the search.
    hints: HashMap<(Leaf, &'static str), usize>,

    // This pass:
    pub(super) steps: Vec<Step>,
    pub(super) failure: Option<Failure>,
    /// Something was learned.
    pub(super) changed: bool,
    path: Vec<Level>,
    /// The calls that are running, each with the number of steps taken before it.
    pub(super) calls: Vec<(Site, usize)>,
    /// How often a type was entered inside itself: from the first on, the smallest values only.
    closing: usize,
}

impl Tracer {
    pub(super) fn new(type_name: &'static str, harvest: Harvest) -> Self {
        Self {
            graph: Graph::new(),
            obstacle: None,
            partial: false,
            repairs: HashMap::new(),
            harvest,
            type_name,
            plan: Plan::default(),
            passes: 0,
            visits: 0,
            hints: HashMap::new(),
            steps: Vec::new(),
            failure: None,
            changed: false,
            path: Vec::new(),
            calls: Vec::new(),
            closing: 0,
        }
    }

    /// Prepares the next pass; false if nothing is left to do, or no pass is left.
    pub(super) fn begin_pass(&mut self) -> bool {
        self.plan = Plan::new(&self.graph);
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
        true
    }

    /// Closes a pass that gave a value; false if it taught nothing, so that another cannot either.
    pub(super) fn pass_done(&mut self) -> bool {
        let root = self.graph.node_mut(TOP.node);
        self.changed |= !root.finished;
        root.finished = true;
        self.changed
    }

    /// Closes a pass in which the type's own code panicked: the innermost call refused its value.
    pub(super) fn pass_panicked(&mut self) {
        let (site, start) = self.calls.last().copied().unwrap_or((TOP, 0));
        self.fail(site, start, Cause::Refused);
        for level in self.path.drain(..) {
            self.graph.node_mut(level.node).on_stack = 0;
        }
    }

    /// Notes a request for a leaf; returns the number of the candidate to offer.
    pub(super) fn leaf(&mut self, at: At, leaf: Leaf) -> Result<usize, Fault> {
        self.count_visit(at.site)?;
        let known = self.graph.slot(at.site).child.is_some();
        let slot = self.record(at.site, Child::Leaf(leaf));
        let pick = match slot.pick {
            Some(pick) => pick,
            None if known => 0,
            None => {
                let hint = self.hints.get(&(leaf, at.subject())).copied();
                self.graph.change(at.site, |slot| slot.pick = hint);
                hint.unwrap_or(0)
            }
        };
        self.steps.push(Step { site: at.site, pick, tried_empty: false });
        Ok(pick)
    }

    /// Enters a type that contains others and chooses how much of it to show.
    pub(super) fn enter(
        &mut self,
        at: At,
        kind: Kind,
        visitor: &'static str,
        name: &'static str,
    ) -> Result<Visit, Fault> {
        self.count_visit(at.site)?;
        let node = match self.graph.slot(at.site).child {
            Some(Child::Node(id)) if self.graph.is(id, kind, visitor) => id,
            _ => self.graph.of_type(kind, visitor, name),
        };
        let slot = self.record(at.site, Child::Node(node));
        let inside_itself = self.graph.node(node).on_stack > 0;
        self.open(at, node, slot, inside_itself)
    }

    /// Enters the contents of the variant at `at`, which is a slot of its enum.
    pub(super) fn enter_variant(&mut self, at: At, kind: Kind) -> Result<Visit, Fault> {
        self.count_visit(at.site)?;
        let node = match self.graph.slot(at.site).child {
            Some(Child::Node(id)) if self.graph.node(id).kind == kind => id,
            _ => self.graph.of_variant(kind, at.site),
        };
        let slot = self.record(at.site, Child::Node(node));
        self.open(at, node, slot, false)
    }

    fn open(
        &mut self,
        at: At,
        node: usize,
        slot: Slot,
        inside_itself: bool,
    ) -> Result<Visit, Fault> {
        let closing = self.closing + usize::from(inside_itself);
        if self.path.len() >= MAX_DEPTH || closing > MAX_REENTRIES {
            return Err(self.fail(at.site, self.steps.len(), Cause::TooDeep));
        }
        let here = self.graph.node(node);
        let small = closing > 0 || self.plan.distance(node) == NEVER;
        // Seen from inside, so now without contents, once.
        let try_empty = here.finished && self.graph.may_be_emptied(&slot);
        let pick = match here.kind {
            kind if kind.may_be_empty() => match slot.pick {
                _ if here.is_barren() => 0,
                Some(pick) => pick,
                None => usize::from(!small && !try_empty),
            },
            _ if here.is_read_by_name() => 0,
            _ if here.is_barren() => {
                return Err(self.fail(at.site, self.steps.len(), Cause::Barren));
            }
            Kind::Enum(_) => self.choose_variant(node, small).unwrap_or_default(),
            _ => 0,
        };
        let tried_empty = try_empty && closing == 0;
        let visit = Visit { node, pick, start: self.steps.len(), was_closing: self.closing };
        self.closing = closing;
        self.graph.node_mut(node).on_stack += 1;
        self.steps.push(Step { site: at.site, pick, tried_empty });
        self.path.push(Level { at, node });
        Ok(visit)
    }

    /// Leaves what [`enter`](Self::enter) entered.
    pub(super) fn leave<T>(&mut self, visit: &Visit, result: Result<T, Fault>) -> Result<T, Fault> {
        let Some(level) = self.path.last().copied() else { return result };
        if result.is_err() {
            let by_name = self.graph.node(visit.node).is_read_by_name();
            let cause = if by_name { Cause::Barren } else { Cause::Refused };
            self.fail(level.at.site, visit.start, cause);
        }
        self.path.pop();
        self.closing = visit.was_closing;
        let node = self.graph.node_mut(visit.node);
        node.on_stack = node.on_stack.saturating_sub(1);
        let shown = visit.pick > 0 || !node.kind.may_be_empty();
        if result.is_ok() && shown && !node.finished && !node.is_read_by_name() {
            node.finished = true;
            self.changed = true;
        }
        if result.is_ok() && !shown && !self.graph.slot(level.at.site).emptied {
            self.graph.change(level.at.site, |slot| slot.emptied = true);
            self.changed = true;
        }
        result
    }

    /// Remembers a fault, unless one further inside is remembered already.
    pub(super) fn fail(&mut self, site: Site, start: usize, cause: Cause) -> Fault {
        if self.failure.is_none() || cause == Cause::OutOfBudget {
            self.failure = Some(Failure { site, start, levels: self.path.clone(), cause });
        }
        Fault
    }

    /// Notes that the value at `at` was accepted.
    pub(super) fn accepted(&mut self, at: At) {
        let slot = self.graph.slot(at.site);
        if let (Some(Child::Leaf(leaf)), Some(pick @ 1..)) = (slot.child, slot.pick) {
            self.hints.insert((leaf, at.subject()), pick);
        }
    }

    fn count_visit(&mut self, site: Site) -> Result<(), Fault> {
        if self.visits >= MAX_VISITS {
            return Err(self.fail(site, self.steps.len(), Cause::OutOfBudget));
        }
        self.visits += 1;
        Ok(())
    }

    fn record(&mut self, site: Site, child: Child) -> Slot {
        match self.graph.slot(site).child {
            None => {
                self.graph.change(site, |slot| slot.child = Some(child));
                self.changed = true;
            }
            Some(known) if known == child => {}
            // The type asks for different things at different times: only the first is known.
            Some(_) => self.partial = true,
        }
        self.graph.slot(site)
    }

    /// The field that a struct is asked for in this pass, when it is read by name: one that was
    /// never asked for, or the nearest that has something left to ask.
    pub(super) fn choose_field(&self, id: usize) -> Option<usize> {
        let node = self.graph.node(id);
        let nearest = || {
            let known = node.slots.iter().enumerate().filter(|(_, slot)| slot.is_alive());
            let distances = known.filter_map(|(field, slot)| match slot.child {
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
        let near = |slot: &Slot| match slot.child {
            None => 0,
            Some(Child::Node(variant)) => self.plan.distance(variant),
            Some(Child::Leaf(_)) => NEVER,
        };
        let shallow = |slot: &Slot| match slot.child {
            // Known to end, then unknown, then not being visited, then what leads in a circle.
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

    /// The nearest named owner of a site, going outwards.
    pub(super) fn place(&self, site: Site) -> Place {
        let outer = self.path.iter().rev().map(|level| level.at.site);
        for site in std::iter::once(site).chain(outer) {
            let node = self.graph.node(site.node);
            let field = match node.kind {
                Kind::Struct(names) | Kind::StructVariant(names) => {
                    names.get(site.index).map(ToString::to_string)
                }
                Kind::TupleStruct(_) | Kind::TupleVariant(_) => Some(site.index.to_string()),
                Kind::NewtypeVariant | Kind::Newtype => None,
                _ => continue,
            };
            let owner = match node.variant {
                "" => node.name.to_owned(),
                variant => format!("{}::{variant}", node.name),
            };
            return Place { owner, field };
        }
        Place { owner: short_name(self.type_name), field: None }
    }

    /// The type that reads a map by the names of fields, which is being visited.
    pub(super) fn flattened(&self, key: Site) -> Place {
        let reader = self.path.last().map_or("", |level| level.at.reader);
        let owner = match reader.split_once('<') {
            Some((wrapper, owner)) if wrapper.ends_with("PhantomData") => owner,
            Some((wrapper, owner)) if wrapper.ends_with("OptionVisitor") => owner,
            _ => return self.place(key),
        };
        match owner.strip_suffix('>') {
            Some(owner) if !owner.contains("__") => Place { owner: short_name(owner), field: None },
            _ => self.place(key),
        }
    }

    pub(super) fn meet(&mut self, obstacle: Obstacle) {
        self.obstacle.get_or_insert(obstacle);
    }
}
