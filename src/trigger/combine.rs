//! Combinations: [`Any`], [`All`].

use super::{Trigger, TriggerContext, Verdict};

/// Takes a snapshot when at least one of its triggers does. Created by [`any`] or [`Trigger::or`].
#[derive(Debug)]
pub struct Any(Vec<Box<dyn Trigger>>);

/// Takes a snapshot when each of its triggers does, and there is at least one. Created by
/// [`all`] or [`Trigger::and`].
#[derive(Debug)]
pub struct All(Vec<Box<dyn Trigger>>);

/// Combines triggers: fires when any of them does, and never if there are none. For two triggers,
/// `a.or(b)` reads better.
pub fn any(triggers: Vec<Box<dyn Trigger>>) -> Any {
    Any(triggers)
}

/// Combines triggers: fires when all of them do, and never if there are none. For two triggers,
/// `a.and(b)` reads better.
pub fn all(triggers: Vec<Box<dyn Trigger>>) -> All {
    All(triggers)
}

impl Trigger for Any {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        combined(&self.0, seen, |verdicts| verdicts.iter().any(|verdict| verdict.take))
    }

    fn needs_state_bytes(&self) -> bool {
        self.0.iter().any(|trigger| trigger.needs_state_bytes())
    }

    fn needs_costs(&self) -> bool {
        self.0.iter().any(|trigger| trigger.needs_costs())
    }
}

impl Trigger for All {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        combined(&self.0, seen, |verdicts| {
            !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.take)
        })
    }

    fn needs_state_bytes(&self) -> bool {
        self.0.iter().any(|trigger| trigger.needs_state_bytes())
    }

    fn needs_costs(&self) -> bool {
        self.0.iter().any(|trigger| trigger.needs_costs())
    }
}

/// Combines the reasons of the triggers that agree with the combined verdict.
fn combined(
    triggers: &[Box<dyn Trigger>],
    seen: &TriggerContext,
    take: impl Fn(&[Verdict]) -> bool,
) -> Verdict {
    let verdicts: Vec<_> = triggers.iter().map(|trigger| trigger.decide(seen)).collect();
    let take = take(&verdicts);
    let reasons: Vec<_> = verdicts
        .into_iter()
        .filter(|verdict| verdict.take == take)
        .map(|verdict| verdict.reason)
        .collect();
    if reasons.is_empty() {
        return Verdict::new(take, "there are no triggers");
    }
    Verdict::new(take, reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;
    use crate::trigger::{every_events, manual};

    #[test]
    fn a_combination_names_the_parts_that_decided() {
        let seen = TriggerContext::new(50, Timestamp::from_micros(0));
        let either = manual().or(every_events(50)).decide(&seen);
        assert_eq!(either.to_string(), "take: 50 of 50 events and no snapshot yet");
        let both = every_events(50).and(every_events(60)).decide(&seen);
        assert_eq!(both.to_string(), "wait: 50 of 60 events and no snapshot yet");
        assert!(every_events(50).and(manual().or(every_events(9))).decide(&seen).take);
        assert!(!any(vec![]).decide(&seen).take);
        assert!(!all(vec![]).decide(&seen).take);
    }
}
