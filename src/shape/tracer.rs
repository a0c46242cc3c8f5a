//! The bookkeeping of a trace: [`Tracer`].
//!
//! A trace runs `T::deserialize` again and again. In each pass the tracer answers every request
//! with a value of its choice and writes down what was asked. A pass ends with a value of `T`
//! or with a fault; a fault is blamed on a value offered inside the innermost call that failed,
//! and the next pass offers another one there (see `repair`).

use std::collections::HashMap;

use super::candidates;
use super::fault::Fault;
use super::graph::{Child, Graph, Kind, Leaf, Site, Slot, TOP};
use super::obstacle::{Obstacle, Place, short_name};
use super::plan::{NEVER, Phase, Plan};
use super::repair::Repair;

/// Most times that `T::deserialize` is run.
pub(super) const MAX_PASSES: usize = 1_024;
/// Most requests that are answered, over all passes.
pub(super) const MAX_VISITS: usize = 65_536;
/// Most requests inside each other.
pub(super) const MAX_DEPTH: usize = 128;

/// Most times that types are entered inside themselves, one in the other. A smallest value needs
/// at most as many as there are types in the circle.
const MAX_REENTRIES: usize = 32;

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
    /// A value that was tried for the sake of the sample, not because it was known to do.
    pub(super) other: bool,
}

/// One node that is being visited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) at: At,
    pub(super) node: usize,
    /// The number of elements of an option, sequence or map; the variant of an enum.
    pub(super) pick: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The type did not accept what it was given.
    Refused,
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
    /// Nothing more can be learned.
    pub(super) stuck: bool,
    pub(super) phase: Phase,
    pub(super) repairs: HashMap<Site, Repair>,
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
    /// How often a type was entered inside itself: from the first on, the smallest values only.
    closing: usize,
}

impl Tracer {
    pub(super) fn new(type_name: &'static str) -> Self {
        Self {
            graph: Graph::new(),
            obstacle: None,
            partial: false,
            stuck: false,
            phase: Phase::Contents,
            repairs: HashMap::new(),
            type_name,
            plan: Plan::default(),
            passes: 0,
            visits: 0,
            hints: HashMap::new(),
            steps: Vec::new(),
            failure: None,
            changed: false,
            path: Vec::new(),
            closing: 0,
        }
    }

    /// Prepares the next pass; false if the phase has nothing left to do, or no pass is left.
    pub(super) fn begin_pass(&mut self) -> bool {
        self.plan = Plan::new(&self.graph, self.phase);
        if self.plan.is_done() {
            return false;
        }
        if self.passes == MAX_PASSES {
            self.partial = true;
            return false;
        }
        self.passes += 1;
        self.steps.clear();
        self.path.clear();
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
        for step in &self.steps {
            if step.other && !self.graph.slot(step.site).sampled {
                self.graph.change(step.site, |slot| slot.sampled = true);
                self.changed = true;
            }
        }
        self.changed
    }

    /// Notes a request for a leaf; returns the number of the candidate to offer.
    pub(super) fn leaf(&mut self, at: At, leaf: Leaf) -> Result<usize, Fault> {
        self.count_visit(at.site)?;
        let known = self.graph.slot(at.site).child.is_some();
        let slot = self.record(at.site, Child::Leaf(leaf));
        let plain = match slot.pick {
            Some(pick) => pick,
            None if known => 0,
            None => {
                let hint = self.hints.get(&(leaf, at.subject())).copied();
                self.graph.change(at.site, |slot| slot.pick = hint);
                hint.unwrap_or(0)
            }
        };
        let next = plain + 1;
        let other = self.phase == Phase::Other && !slot.sampled && next < candidates::count(leaf);
        if self.phase == Phase::Other && !slot.sampled && !other {
            self.graph.change(at.site, |slot| slot.sampled = true);
            self.changed = true;
        }
        let pick = if other { next } else { plain };
        self.steps.push(Step { site: at.site, pick, other });
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
        let small = closing > 0 || self.plan.distance(node) == NEVER;
        let mut other = false;
        let pick = match self.graph.node(node).kind {
            Kind::Option | Kind::Seq | Kind::Map => slot.pick.unwrap_or_else(|| {
                let explore = self.phase == Phase::Empty && !slot.sampled;
                other = (explore || small) && !slot.sampled;
                usize::from(!(explore || small))
            }),
            Kind::Enum(_) => match self.choose_variant(node, small) {
                Some(variant) => variant,
                None => return Err(self.fail(at.site, self.steps.len(), Cause::Refused)),
            },
            _ => 0,
        };
        let visit = Visit { node, pick, start: self.steps.len(), was_closing: self.closing };
        self.closing = closing;
        self.graph.node_mut(node).on_stack += 1;
        self.steps.push(Step { site: at.site, pick, other });
        self.path.push(Level { at, node, pick });
        Ok(visit)
    }

    /// Leaves what [`enter`](Self::enter) entered.
    pub(super) fn leave<T>(&mut self, visit: &Visit, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.is_err()
            && let Some(level) = self.path.last()
        {
            self.fail(level.at.site, visit.start, Cause::Refused);
        }
        self.path.pop();
        self.closing = visit.was_closing;
        let node = self.graph.node_mut(visit.node);
        node.on_stack = node.on_stack.saturating_sub(1);
        let shown = visit.pick > 0 || !node.kind.may_be_empty();
        if result.is_ok() && shown && !node.finished {
            node.finished = true;
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
