//! The report as JSON.

use serde_json::{Value, json};

use super::text::word;
use super::{LawFinding, LawOutcome, LawReport, LawVerdict};

impl LawReport {
    /// Returns the report as a JSON object:
    /// `{"kind", "type", "generation", "codec", "seed", "histories", "events", "laws": [..]}`, with
    /// `{"id", "statement", "outcome"}` for each law. The outcome is `"holds"`, `"broken"`,
    /// `"accepted"` or `"unjudged"`. A finding adds `"finding"`, and `"history"` if it has one.
    /// Numbers that may exceed 2^53 (seed, shape) are strings.
    pub fn to_json(&self) -> String {
        let generation = self.generation.map(|generation| {
            json!({
                "schema_version": generation.schema_version,
                "shape": format!("{:016x}", generation.fingerprint),
            })
        });
        let laws: Vec<_> = self.verdicts.iter().map(verdict).collect();
        let report = json!({
            "kind": self.kind,
            "type": self.type_name,
            "generation": generation,
            "codec": self.codec.to_string(),
            "seed": self.seed.to_string(),
            "histories": self.histories,
            "events": self.events,
            "laws": laws,
        });
        format!("{report:#}")
    }
}

fn verdict(verdict: &LawVerdict) -> Value {
    let mut value = json!({
        "id": verdict.law.id(),
        "statement": verdict.law.statement(),
        "outcome": word(&verdict.outcome).to_lowercase(),
    });
    let Some(object) = value.as_object_mut() else { return value };
    let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
    match &verdict.outcome {
        LawOutcome::Holds { note } if note.is_empty() => {}
        LawOutcome::Holds { note } => drop(add("note", json!(note))),
        LawOutcome::Unjudged { why } => drop(add("why", json!(why))),
        LawOutcome::Broken(finding) => add_finding(finding, add),
        LawOutcome::Accepted { finding, reason } => {
            add("reason", json!(reason));
            add_finding(finding, add);
        }
    }
    value
}

fn add_finding(finding: &LawFinding, mut add: impl FnMut(&str, Value) -> Option<Value>) {
    add("finding", json!(finding.text));
    if let Some(history) = &finding.history {
        let shown = json!({
            "number": history.number,
            "seed": history.seed.to_string(),
            "length": history.length,
            "versions": history.versions,
            "events": history.shown,
        });
        add("history", shown);
    }
}
