//! [`AggregateCheck::check`]: runs a check.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use twox_hash::XxHash3_64;

use super::check::{AggregateCheck, Upcaster};
use super::golden::{Reading, judge, record};
use super::law::Law;
use super::law_case::{LawCase, finding};
use super::laws::{
    another_thread, canonical, live, orders, own_clone, repeatable, resumes, survives, total,
};
use super::panics::catch;
use super::process::{Role, another_process, answer, role};
use super::report::{LawFinding, LawOutcome, LawReport, LawVerdict};
use super::under_test::AggregateUnderTest;
use crate::codec::{Codec, CodecId, DecodeLimits};
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::state::Aggregate;
use crate::value::{Unordered, short_name};

impl<A: Aggregate> AggregateCheck<A> {
    /// Generates the histories and judges all laws. Blocks the thread, and needs no async runtime.
    ///
    /// Panics of the aggregate, the codec and the upcasters are caught and reported. The first
    /// check installs a panic hook that keeps their messages out of the test's output and forwards
    /// all other panics. A check holds about two states per history in memory.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the settings are invalid (no histories, or a
    ///   key for a different kind of aggregate), if the event generator panics, or if golden
    ///   samples cannot be read or written.
    /// - [`Encode`](ErrorKind::Encode) if golden samples are to be recorded and the events cannot
    ///   be restored from their strings.
    /// - [`UnsuitableCodec`](ErrorKind::UnsuitableCodec) if an upcaster's codec cannot represent
    ///   the old type.
    pub fn check(mut self) -> Result<LawReport, Error> {
        let case = self.case()?;
        let identity = self.identity(&case);
        match role(identity) {
            Role::Judge => self.judge(case, identity),
            Role::Answer(path) => answer(&case, &path),
            Role::Bystander => {
                let mut runner = LawRunner::new(BTreeMap::new());
                for law in Law::ALL {
                    runner.enter(
                        *law,
                        LawOutcome::unjudged("this process was started for another check"),
                    );
                }
                Ok(LawReport { is_bystander: true, ..runner.report(&case, None) })
            }
        }
    }

    fn case(&mut self) -> Result<LawCase<A>, Error> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "check an aggregate", message);
        if self.plan.histories == 0 {
            return Err(invalid(
                "there are no histories to check: set histories() to at least 1".to_owned(),
            ));
        }
        let key = match self.key.take() {
            Some(key) => key,
            None => A::key("conformance")?,
        };
        if key.kind() != A::KIND {
            let kind = A::KIND;
            return Err(invalid(format!(
                "{key} is not of kind \"{kind}\": use a key of this kind"
            )));
        }
        // L-06 reports a codec that cannot represent the type.
        let limits = self.codec.inspect(&[]).map_or(DecodeLimits::default(), |info| info.limits);
        let subject = AggregateUnderTest {
            key,
            codec: self.codec.clone(),
            limits,
            lens: self.lens,
            equal: self.equal.take(),
            unordered: Unordered::new(),
        };
        let histories = self.plan.generate(&subject)?;
        Ok(LawCase { subject, seed: self.plan.seed, histories, show: self.show.take() })
    }

    /// Identifies the check in every process.
    fn identity(&self, case: &LawCase<A>) -> u64 {
        let plan = &self.plan;
        let text = format!(
            "{:?}",
            (
                (type_name::<A>(), A::KIND, A::SCHEMA_VERSION, self.generator),
                (plan.seed, plan.histories, plan.longest),
                (case.subject.codec.id().as_u16(), case.subject.key.id()),
            )
        );
        XxHash3_64::oneshot(text.as_bytes())
    }

    fn judge(mut self, mut case: LawCase<A>, identity: u64) -> Result<LawReport, Error> {
        let mut runner = LawRunner::new(std::mem::take(&mut self.accepted));
        let generation = case.subject.codec.inspect(&[]).ok().map(|info| Generation {
            schema_version: A::SCHEMA_VERSION,
            fingerprint: info.fingerprint,
        });
        runner.judge(Law::Total, || LawOutcome::of(total(&case)));

        let folded = case.histories.iter().map(|history| case.subject.fold(&history.events));
        let ends: Result<Vec<A>, _> = folded.collect();
        let known = ends.as_deref().unwrap_or_default();
        let orders = catch(|| orders(&case.subject, known)).unwrap_or_default();
        case.subject.unordered = orders.unordered.clone();

        runner.judge(Law::Repeatable, || match &ends {
            Ok(ends) => LawOutcome::of(repeatable(&case, ends, self.pause)),
            Err(panicked) => {
                let what = "apply panics in one fold of the same events but not in another";
                LawOutcome::Broken(finding(format!("{what}: {panicked}")))
            }
        });
        runner.judge(Law::AnyThread, || match another_thread(&case, known) {
            Ok(finding) => LawOutcome::of(finding),
            Err(why) => LawOutcome::Unjudged { why },
        });
        runner.judge(Law::AnyProcess, || {
            if self.second_process {
                another_process(&case, identity, self.test.as_deref())
            } else {
                LawOutcome::unjudged("the second process is disabled: remove one_process()")
            }
        });
        runner.judge(Law::OwnClone, || LawOutcome::of(own_clone(&case)));
        runner.judge(Law::Survives, || LawOutcome::of(survives(&case)));
        runner.judge(Law::Resumes, || LawOutcome::of(resumes(&case)));
        runner.judge(Law::Canonical, || LawOutcome::of(canonical(&case.subject, &orders)));

        let recorded = match generation.filter(|_| self.record && runner.broken().is_none()) {
            Some(generation) => self.record_samples(&case, generation)?,
            None => 0,
        };
        let reading = self.read_samples(&case.subject, &runner)?;
        runner.judge(Law::Meaning, || self.meaning(reading.as_ref(), recorded));
        let known = self.upcasters.iter().map(Upcaster::reads).collect::<Result<Vec<_>, _>>()?;
        runner.judge(Law::Upcasts, || self.upcast(&case, reading.as_ref(), &known));
        runner.judge(Law::Golden, || samples(reading.as_ref()));
        Ok(runner.report(&case, generation))
    }

    fn record_samples(&self, case: &LawCase<A>, generation: Generation) -> Result<usize, Error> {
        self.golden.as_ref().map_or(Ok(0), |golden| record(case, golden, generation))
    }

    /// Returns the result of the golden samples, or `None` if there is no folder or the samples
    /// cannot be judged.
    fn read_samples(
        &mut self,
        subject: &AggregateUnderTest<A>,
        runner: &LawRunner,
    ) -> Result<Option<Reading>, Error> {
        let readers = std::mem::take(&mut self.readers);
        let Some(golden) = &self.golden else { return Ok(None) };
        if runner.standing(Law::Meaning).is_some() {
            return Ok(None);
        }
        let configure = |builder| readers.into_iter().fold(builder, |builder, add| add(builder));
        judge(subject, golden, configure).map(Some)
    }

    fn meaning(&self, reading: Option<&Reading>, recorded: usize) -> LawOutcome {
        let (Some(golden), Some(reading)) = (&self.golden, reading) else {
            return no_samples();
        };
        let folder = golden.folder.display();
        if let Some(finding) = &reading.meaning {
            return LawOutcome::Broken(finding.clone());
        }
        if recorded > 0 {
            let note = format!("{recorded} samples were recorded in {folder}: commit them");
            return LawOutcome::Holds { note };
        }
        if reading.current == 0 {
            return LawOutcome::unjudged(format!(
                "{folder} has no usable sample of the current generation: call record_golden()"
            ));
        }
        LawOutcome::Holds { note: format!("{} samples", reading.current) }
    }

    fn upcast(
        &self,
        case: &LawCase<A>,
        reading: Option<&Reading>,
        known: &[(Generation, CodecId)],
    ) -> LawOutcome {
        let lives = self.upcasters.iter().filter_map(|upcaster| upcaster.live.as_deref());
        let mut findings = lives.filter_map(|upcaster| live(case, upcaster));
        let from_samples = || reading.and_then(|reading| reading.upcasts.clone());
        if let Some(finding) = findings.next().or_else(from_samples) {
            return LawOutcome::Broken(finding);
        }
        let read = reading.map(|reading| reading.read.clone()).unwrap_or_default();
        let mut idle = BTreeSet::new();
        for (upcaster, reads) in self.upcasters.iter().zip(known) {
            if upcaster.live.is_none() && !read.contains(reads) {
                idle.insert(format!("{}, {}", reads.0, reads.1));
            }
        }
        if !idle.is_empty() {
            let idle = idle.into_iter().collect::<Vec<_>>().join("; ");
            return LawOutcome::unjudged(format!("there is no golden sample of {idle}"));
        }
        if self.upcasters.is_empty() && !self.by_name {
            return LawOutcome::unjudged("no upcaster is registered");
        }
        LawOutcome::HOLDS
    }
}

fn no_samples() -> LawOutcome {
    LawOutcome::unjudged("there are no golden samples: set their folder with golden()")
}

/// L-11.
fn samples(reading: Option<&Reading>) -> LawOutcome {
    let Some(reading) = reading else { return no_samples() };
    if let Some(finding) = &reading.golden {
        return LawOutcome::Broken(finding.clone());
    }
    if reading.samples == 0 {
        return LawOutcome::unjudged("the folder has no samples: call record_golden()");
    }
    let mut note = format!("{} of {} samples load", reading.loaded, reading.samples);
    for (why, count) in &reading.replayed {
        note = format!("{note}; {count} replayed: {why}");
    }
    LawOutcome::Holds { note }
}

/// The verdicts so far.
struct LawRunner {
    accepted: BTreeMap<Law, String>,
    verdicts: Vec<LawVerdict>,
}

impl LawRunner {
    fn new(accepted: BTreeMap<Law, String>) -> Self {
        Self { accepted, verdicts: Vec::new() }
    }

    fn judge(&mut self, law: Law, judge: impl FnOnce() -> LawOutcome) {
        let outcome = match self.standing(law) {
            Some(premise) => LawOutcome::unjudged(format!("{} does not hold", premise.id())),
            None => catch(judge).unwrap_or_else(|panicked| {
                LawOutcome::Broken(finding(format!("the code under test panicked with {panicked}")))
            }),
        };
        let outcome = match outcome {
            LawOutcome::Broken(finding) => match self.accepted.get(&law) {
                Some(reason) => LawOutcome::Accepted { finding, reason: reason.clone() },
                None => LawOutcome::Broken(finding),
            },
            other => other,
        };
        self.enter(law, outcome);
    }

    fn enter(&mut self, law: Law, outcome: LawOutcome) {
        self.verdicts.push(LawVerdict { law, outcome });
    }

    /// Returns the premise of `law` that does not hold, or `None` if all hold.
    fn standing(&self, law: Law) -> Option<Law> {
        let mut fallen = self.verdicts.iter().filter(|verdict| {
            matches!(verdict.outcome, LawOutcome::Broken(_) | LawOutcome::Accepted { .. })
        });
        fallen.find(|verdict| law.premises().contains(&verdict.law)).map(|verdict| verdict.law)
    }

    fn broken(&self) -> Option<&LawFinding> {
        self.verdicts.iter().find_map(|verdict| match &verdict.outcome {
            LawOutcome::Broken(finding) => Some(finding),
            _ => None,
        })
    }

    fn report<A: Aggregate>(self, case: &LawCase<A>, generation: Option<Generation>) -> LawReport {
        LawReport {
            kind: A::KIND.to_owned(),
            type_name: short_name(type_name::<A>()),
            generation,
            codec: case.subject.codec.id(),
            seed: case.seed,
            histories: case.histories.len() as u64,
            events: case.histories.iter().map(|history| history.events.len() as u64).sum(),
            verdicts: self.verdicts,
            is_bystander: false,
        }
    }
}
