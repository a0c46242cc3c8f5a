//! Chooses the values that are offered to opaque parts, and evaluates the responses.

use std::collections::BTreeSet;

use super::fault::{Heard, take_heard};
use super::graph::{Child, ShapeSite};
use super::opening::Opening;
use super::pass::{MAX_PASSES, MAX_VISITS, PassFailure};
use super::tracer::Tracer;
use super::tree::ShapeTree;
use super::trials::Trial;

impl Tracer {
    /// Reserves most of the trace's budget for the rest of the type: once a quarter is used, opaque
    /// parts that already have a value are not tried any further.
    pub(super) fn close_openings(&mut self) {
        if self.passes <= MAX_PASSES / 4 && self.visits <= MAX_VISITS / 4 {
            return;
        }
        for (&site, opening) in &mut self.trials.openings {
            if opening.accepted.is_some() {
                opening.close();
                self.graph.change(site, |slot| slot.is_opening = false);
            }
        }
    }

    /// Returns the tree to offer at an opaque part: the next one to try (at first `first`), or an
    /// accepted one.
    pub(super) fn offer(&mut self, site: ShapeSite, first: ShapeTree) -> ShapeTree {
        let opening = self.trials.openings.entry(site).or_insert_with(|| Opening::new(first));
        // First find one value for every part, so that whole values can be written.
        let may_try = opening.accepted.is_none() || self.trials.is_settled || self.partial;
        if self.trials.trial == Trial::None
            && may_try
            && let Some(tree) = opening.start()
        {
            self.trials.trial = Trial::Running(site, self.calls.len());
            take_heard();
            return tree;
        }
        if opening.accepted.is_none() && self.trials.trial.site() != Some(site) {
            self.trials.is_settled = false;
            self.trials.waits = true;
        }
        opening.usual()
    }

    /// Ends the trial at the end of a pass.
    pub(super) fn conclude_pass(&mut self, is_accepted: bool) {
        self.calls.clear();
        self.conclude(is_accepted);
    }

    /// Ends a running trial if the call that just ended contains it.
    pub(super) fn conclude(&mut self, is_accepted: bool) {
        let Trial::Running(site, calls) = self.trials.trial else { return };
        if self.calls.len() >= calls {
            return;
        }
        let Some(opening) = self.trials.openings.get_mut(&site) else { return };
        self.changed = true;
        let here = self.graph.slot(site).child;
        // Whether the failure is in a named field with its own request, or further inside it.
        let is_inside = |failure: &PassFailure| {
            let (owner, at) = (Some(Child::Node(failure.site.node)), failure.site);
            let mut levels = failure.levels.iter().map(|level| Some(Child::Node(level.node)));
            if owner == here {
                self.graph.slot(at).child.is_some()
            } else {
                at != site && levels.any(|level| level == here)
            }
        };
        if !is_accepted && self.failure.as_ref().is_some_and(is_inside) {
            opening.put_back();
            self.trials.trial = Trial::Accepted(site);
        } else {
            let heard = take_heard();
            self.trials.told.extend(heard.iter().filter_map(Heard::told));
            opening.judge(is_accepted, heard, || self.harvest.texts());
            self.trials.trial =
                if is_accepted { Trial::Accepted(site) } else { Trial::Refused(site) };
        }
        let is_opening = opening.has_work();
        self.graph.change(site, |slot| slot.is_opening = is_opening);
    }

    /// Returns whether another tree is to be tried after the tree of this pass was refused.
    pub(super) fn goes_on_trying(&self) -> bool {
        let Trial::Refused(site) = self.trials.trial else { return self.trials.waits };
        let opening = self.trials.openings.get(&site);
        opening.is_some_and(|opening| opening.has_work() || opening.accepted.is_some())
    }

    /// Learns from the value of this pass, including parts that were accepted in a pass that failed
    /// elsewhere. The order of learning does not matter.
    pub(super) fn learn(&mut self, names: &BTreeSet<String>, is_new: bool) {
        self.trials.is_settled = true;
        for (&site, opening) in &mut self.trials.openings {
            opening.learn(names, is_new);
            let is_opening = opening.has_work();
            self.graph.change(site, |slot| slot.is_opening = is_opening);
        }
    }
}
