//! What the next pass does differently after a fault.

use std::collections::HashSet;

use super::candidates;
use super::graph::{Child, Fate, Kind, Site, Slot};
use super::obstacle::{Obstacle, Place};
use super::plan::Phase;
use super::tracer::{Cause, Failure, Level, Tracer};

/// Most other answers that are tried for one failing call.
const MAX_TRIES: usize = 64;

/// The other answers for one failing call.
#[derive(Debug)]
pub(super) struct Repair {
    /// What is left to try, the next one last.
    rest: Vec<Vec<Change>>,
    /// What the current try replaced.
    undo: Vec<Change>,
}

/// The answer for one slot.
#[derive(Clone, Copy, Debug)]
struct Change {
    site: Site,
    pick: Option<usize>,
}

impl Tracer {
    /// Decides what to change after a pass that ended with a fault; false if nothing is left.
    pub(super) fn recover(&mut self) -> bool {
        let Some(failure) = self.failure.take() else { return false };
        match failure.cause {
            Cause::OutOfBudget => {
                self.partial = true;
                false
            }
            Cause::NoSuchVariant => {
                self.forget_variant(failure.site);
                true
            }
            _ if self.phase != Phase::Contents => self.refuse_others(failure.start),
            // The contents met on the way down may show a shorter way out.
            Cause::TooDeep if self.changed => true,
            Cause::TooDeep => self.go_round(&failure),
            Cause::Refused => self.try_another(&failure) || self.go_round(&failure),
        }
    }

    fn forget_variant(&mut self, site: Site) {
        self.graph.change(site, |slot| slot.fate = Fate::Absent);
        let node = self.graph.node(site.node);
        if node.slots.iter().all(|slot| slot.fate == Fate::Absent) {
            let place = Place { owner: node.name.to_owned(), field: None };
            self.meet(Obstacle::ByName { place });
        }
    }

    /// Gives up the values that were only tried for the sake of a sample.
    fn refuse_others(&mut self, start: usize) -> bool {
        let is_other = |step: &&super::tracer::Step| step.other;
        let mut others: Vec<_> = self.steps.iter().skip(start).filter(is_other).copied().collect();
        if others.is_empty() {
            others = self.steps.iter().filter(is_other).copied().collect();
        }
        for step in &others {
            let container = matches!(self.graph.slot(step.site).child, Some(Child::Node(_)));
            self.graph.change(step.site, |slot| {
                slot.sampled = true;
                if container {
                    slot.pick = Some(1);
                }
            });
        }
        !others.is_empty()
    }

    fn try_another(&mut self, failure: &Failure) -> bool {
        let mut repair = match self.repairs.remove(&failure.site) {
            Some(repair) => repair,
            None => Repair { rest: self.alternatives(failure), undo: Vec::new() },
        };
        for change in repair.undo.drain(..) {
            self.graph.change(change.site, |slot| slot.pick = change.pick);
        }
        let next = repair.rest.pop();
        let found = next.is_some();
        for change in next.into_iter().flatten() {
            let pick = self.graph.slot(change.site).pick;
            repair.undo.push(Change { site: change.site, pick });
            self.graph.change(change.site, |slot| slot.pick = change.pick);
        }
        self.repairs.insert(failure.site, repair);
        found
    }

    /// Other answers for the slots of the failing call, the best last: one slot at a time, small
    /// changes first and later slots first; all leaves together; and only then empty containers,
    /// because they hide their contents.
    fn alternatives(&self, failure: &Failure) -> Vec<Vec<Change>> {
        let mut seen = HashSet::new();
        let (mut ranked, mut leaves, mut emptied) = (Vec::new(), Vec::new(), Vec::new());
        for step in self.steps.iter().skip(failure.start).rev() {
            if !seen.insert(step.site) {
                continue;
            }
            let site = step.site;
            let picks = match self.graph.slot(site).child {
                Some(Child::Leaf(leaf)) => {
                    leaves.push((site, candidates::count(leaf)));
                    0..candidates::count(leaf)
                }
                Some(Child::Node(id)) if self.graph.node(id).kind.may_be_empty() => {
                    if step.pick > 0 {
                        emptied.push(vec![Change { site, pick: Some(0) }]);
                    }
                    if self.graph.node(id).kind == Kind::Option { 1..2 } else { 1..5 }
                }
                _ => continue,
            };
            let picks = picks.filter(|&pick| pick != step.pick);
            ranked.extend(picks.map(|pick| (pick, 0, vec![Change { site, pick: Some(pick) }])));
        }
        let most = leaves.iter().map(|&(_, count)| count).max().unwrap_or(0);
        if leaves.len() > 1 {
            ranked.extend((1..most).map(|pick| {
                let all = leaves.iter().filter(|&&(_, count)| pick < count);
                (pick, 1, all.map(|&(site, _)| Change { site, pick: Some(pick) }).collect())
            }));
        }
        ranked.sort_by_key(|&(rank, together, _)| (rank, together));
        ranked.truncate(MAX_TRIES);
        let ranked = ranked.into_iter().map(|(_, _, changes)| changes);
        let mut best_first: Vec<_> = ranked.chain(emptied.into_iter().take(MAX_TRIES)).collect();
        best_first.reverse();
        best_first
    }

    /// Avoids what cannot be produced: the nearest option, sequence or map around it stays empty
    /// or the nearest enum takes another variant.
    fn go_round(&mut self, failure: &Failure) -> bool {
        self.partial = true;
        failure.levels.iter().rev().any(|level| self.avoid(level))
    }

    fn avoid(&mut self, level: &Level) -> bool {
        let node = self.graph.node(level.node);
        match node.kind {
            Kind::Option | Kind::Seq | Kind::Map => {
                let cut = level.pick > 0 && self.graph.slot(level.at.site).fate != Fate::Cut;
                if cut {
                    self.graph.change(level.at.site, |slot| {
                        slot.fate = Fate::Cut;
                        slot.pick = Some(0);
                    });
                }
                cut
            }
            Kind::Enum(_) => {
                let variant = Site { node: level.node, index: level.pick };
                self.graph.change(variant, |slot| slot.fate = Fate::Dead);
                self.graph.node(level.node).slots.iter().any(Slot::is_alive)
            }
            _ => false,
        }
    }
}
