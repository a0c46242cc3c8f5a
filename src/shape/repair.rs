//! Changes for the next pass after a fault.

use std::collections::HashSet;

use super::graph::{Child, Fate, Leaf, ShapeKind, ShapeSite};
use super::obstacle::{Obstacle, ObstaclePlace};
use super::pass::{Cause, PassChange, PassFailure, Repair};
use super::tracer::Tracer;

/// The maximum number of alternatives that are tried for one failing call.
const MAX_TRIES: usize = 64;

impl Tracer {
    /// Decides what to change after a pass that ended with a fault. False if nothing is left to
    /// try.
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
            // Newly found contents may lead to a solution, or to more contents.
            Cause::TooDeep | Cause::Barren => self.changed || self.go_round(&failure),
            Cause::Refused => {
                self.goes_on_trying()
                    || self.fill_empty(failure.start)
                    || self.try_another(&failure)
                    || self.go_round(&failure)
            }
        }
    }

    fn forget_variant(&mut self, site: ShapeSite) {
        self.graph.change(site, |slot| slot.fate = Fate::Absent);
        let node = self.graph.node(site.node);
        if node.slots.iter().all(|slot| slot.fate == Fate::Absent) {
            let place = ObstaclePlace { owner: node.name.to_owned(), field: None };
            self.meet(Obstacle::ByName { place });
        }
    }

    /// Fills the parts of the failing call that were left empty only to see the empty value.
    fn fill_empty(&mut self, start: usize) -> bool {
        let mut any = false;
        for step in self.steps.iter().skip(start).filter(|step| step.tried_empty) {
            self.graph.change(step.site, |slot| slot.pick = Some(1));
            any = true;
        }
        any
    }

    fn try_another(&mut self, failure: &PassFailure) -> bool {
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
            repair.undo.push(PassChange { site: change.site, pick });
            self.graph.change(change.site, |slot| slot.pick = change.pick);
        }
        self.repairs.insert(failure.site, repair);
        found
    }

    /// Returns the alternatives for the slots of the failing call, the best last. The order of
    /// preference is: one slot at a time, with small changes and later slots first; all leaves
    /// together; and finally empty containers, because they hide their contents.
    fn alternatives(&self, failure: &PassFailure) -> Vec<Vec<PassChange>> {
        let mut seen = HashSet::new();
        let (mut ranked, mut leaves, mut emptied) = (Vec::new(), Vec::new(), Vec::new());
        for step in self.steps.iter().skip(failure.start).rev() {
            if !seen.insert(step.site) {
                continue;
            }
            let site = step.site;
            let picks = match self.graph.slot(site).child {
                Some(Child::Leaf(Leaf::Any)) => continue,
                Some(Child::Leaf(leaf)) => {
                    let picks = self.harvest.picks(leaf);
                    leaves.push((site, leaf, picks.clone()));
                    picks
                }
                Some(Child::Node(id)) if self.graph.node(id).kind.may_be_empty() => {
                    if step.pick > 0 {
                        emptied.push(vec![PassChange { site, pick: Some(0) }]);
                    }
                    match self.graph.node(id).kind {
                        ShapeKind::Option => vec![1],
                        _ => self.harvest.lengths().collect(),
                    }
                }
                _ => continue,
            };
            let picks = picks.into_iter().enumerate().filter(|&(_, pick)| pick != step.pick);
            ranked.extend(
                picks.map(|(at, pick)| (at, 0, vec![PassChange { site, pick: Some(pick) }])),
            );
        }
        if leaves.len() > 1 {
            let most = leaves.iter().map(|(_, _, picks)| picks.len()).max().unwrap_or(0);
            ranked.extend((0..most).map(|at| {
                let all = leaves.iter().filter_map(|(site, _, picks)| Some((site, picks.get(at)?)));
                (at, 1, all.map(|(&site, &pick)| PassChange { site, pick: Some(pick) }).collect())
            }));
            leaves.reverse();
            let kinds: Vec<_> = leaves.iter().map(|&(_, leaf, _)| leaf).collect();
            ranked.extend(self.harvest.runs(&kinds).into_iter().map(|run| {
                let all = leaves.iter().zip(run);
                (
                    0,
                    2,
                    all.map(|(&(site, ..), pick)| PassChange { site, pick: Some(pick) }).collect(),
                )
            }));
        }
        ranked.sort_by_key(|&(rank, together, _)| (rank, together));
        ranked.truncate(MAX_TRIES);
        let ranked = ranked.into_iter().map(|(_, _, changes)| changes);
        let mut best_first: Vec<_> = ranked.chain(emptied.into_iter().take(MAX_TRIES)).collect();
        best_first.reverse();
        best_first
    }

    /// Avoids a part that refuses everything, as close to it as possible: the option, sequence or
    /// map around it stays empty, the enum takes other variants, or the struct is read by name from
    /// now on.
    fn go_round(&mut self, failure: &PassFailure) -> bool {
        self.partial = true;
        let mut site = failure.site;
        for level in failure.levels.iter().rev() {
            if level.node != site.node {
                continue;
            }
            self.graph.change(site, |slot| slot.fate = Fate::Refused);
            let node = self.graph.node(site.node);
            let is_round = match node.kind {
                ShapeKind::Enum(_) => !node.is_barren(),
                kind => kind.may_be_empty() || node.is_read_by_name(),
            };
            if is_round {
                return true;
            }
            site = level.site;
        }
        self.graph.change(site, |slot| slot.fate = Fate::Refused);
        false
    }
}
