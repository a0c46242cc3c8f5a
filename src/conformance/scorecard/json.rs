//! The scorecard as JSON.

use serde_json::{Value, json};

use super::{CaseResult, CaseVerdict, Scorecard, Subject, Tally};

impl Scorecard {
    /// Returns the whole scorecard as JSON. Repeating a run gives the same value, because durations
    /// are left out.
    ///
    /// Fields: `snapfold` (the version of the crate), `store` (the name of the store or of the
    /// event source), `capabilities` (null for event sources, and if the store could not be
    /// opened), `seed`, `scale` (null for event sources), `conformant`, `broken`, `levels`
    /// (counts), and `cases`. Later releases may add fields.
    pub fn to_json(&self) -> Value {
        let capabilities = self.capabilities().map(|it| {
            json!({
                "durable": it.durable,
                "atomic_batches": it.atomic_batches,
                "max_record_bytes": it.max_record_bytes,
                "max_key_bytes": it.max_key_bytes,
                "max_version": it.max_version,
            })
        });
        let scale = match self.subject {
            Subject::Store { scale, .. } => Some(scale),
            _ => None,
        };
        let levels: Vec<_> = self
            .levels()
            .map(|level| with_tally(json!({ "level": level.name() }), self.tally_of(level)))
            .collect();
        let card = json!({
            "snapfold": env!("CARGO_PKG_VERSION"),
            "store": self.store_name(),
            "capabilities": capabilities,
            "seed": self.seed,
            "scale": scale,
            "conformant": self.is_conformant(),
            "broken": self.broken_promises(),
            "levels": levels,
            "cases": self.results.iter().map(case).collect::<Vec<_>>(),
        });
        with_tally(card, self.tally())
    }
}

fn with_tally(mut value: Value, tally: Tally) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("passed".into(), tally.passed.into());
        fields.insert("failed".into(), tally.failed.into());
        fields.insert("skipped".into(), tally.skipped.into());
    }
    value
}

fn case(result: &CaseResult) -> Value {
    let mut value = json!({
        "level": result.case.level().name(),
        "name": result.case.name(),
        "ids": result.case.ids(),
    });
    let Some(fields) = value.as_object_mut() else { return value };
    if !result.notes.is_empty() {
        fields.insert("notes".into(), json!(result.notes));
    }
    match &result.verdict {
        CaseVerdict::Passed => {
            fields.insert("verdict".into(), "passed".into());
        }
        CaseVerdict::Skipped { needs } => {
            fields.insert("verdict".into(), "skipped".into());
            fields.insert("needs".into(), (*needs).into());
        }
        CaseVerdict::Failed(failure) => {
            fields.insert("verdict".into(), "failed".into());
            fields.insert("broken".into(), json!(failure.broken));
            fields.insert("message".into(), failure.message.clone().into());
            fields.insert("expected".into(), failure.expected.clone().into());
            fields.insert("got".into(), failure.got.clone().into());
        }
    }
    value
}
