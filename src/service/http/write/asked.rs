//! [`AskedWrite`]: what the body of a write asks for.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use super::action::WriteAction;
use crate::manager::CreateOptions;
use crate::retention::Policy;
use crate::service::http::problem::HttpProblem;

/// What a write asks for, read from its body and its query.
#[derive(Clone, Debug)]
pub(crate) struct AskedWrite {
    pub(crate) what: AskedFor,
    /// For the audit trail.
    pub(crate) reason: String,
}

#[derive(Clone, Debug)]
pub(crate) enum AskedFor {
    Take(CreateOptions),
    Delete,
    DeleteBefore(u64),
    /// The version; `None` for the current state.
    Rebuild(Option<u64>),
    RebuildAll,
    Prune(PruneWish),
    PruneAll(PruneWish),
}

/// A retention policy, and whether to apply it.
#[derive(Clone, Debug)]
pub(crate) struct PruneWish {
    pub(crate) policy: Policy,
    pub(crate) is_dry: bool,
    /// The plan that the client has seen.
    pub(crate) plan: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TakeBody {
    version: Option<u64>,
    labels: Vec<String>,
    fields: NamedValues,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RebuildBody {
    version: Option<u64>,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RebuildAllBody {
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PruneBody {
    policy: Policy,
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    plan: Option<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PruneAllBody {
    policy: Policy,
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    reason: String,
}

const fn yes() -> bool {
    true
}

impl AskedWrite {
    /// Reads what `action` needs. `before` is from the query.
    pub(crate) fn read(
        action: WriteAction,
        body: &[u8],
        before: Option<u64>,
    ) -> Result<Self, HttpProblem> {
        let (what, reason) = match action {
            WriteAction::Take => {
                let TakeBody { version, labels, fields, reason } = object(body)?;
                let mut options = CreateOptions::new();
                options.version = version;
                options.labels = labels;
                options.fields = fields.0;
                (AskedFor::Take(options), reason)
            }
            WriteAction::Delete => (AskedFor::Delete, String::new()),
            WriteAction::DeleteBefore => {
                let detail = "give the version below which snapshots are deleted";
                let before = before.ok_or_else(|| HttpProblem::parameter("before", detail))?;
                (AskedFor::DeleteBefore(before), String::new())
            }
            WriteAction::Rebuild => {
                let RebuildBody { version, reason } = object(body)?;
                (AskedFor::Rebuild(version), reason)
            }
            WriteAction::RebuildAll => {
                let RebuildAllBody { reason } = object(body)?;
                (AskedFor::RebuildAll, reason)
            }
            WriteAction::Prune => {
                let PruneBody { policy, dry_run: is_dry, plan, reason } = object(body)?;
                (AskedFor::Prune(PruneWish { policy, is_dry, plan }), reason)
            }
            WriteAction::PruneAll => {
                let PruneAllBody { policy, dry_run: is_dry, reason } = object(body)?;
                (AskedFor::PruneAll(PruneWish { policy, is_dry, plan: None }), reason)
            }
        };
        Ok(Self { what, reason })
    }
}

/// Reads a JSON object. An empty body is an empty object.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpProblem> {
    let body = match body.trim_ascii() {
        b"" => b"{}",
        body => body,
    };
    // serde would take the members from an array as well.
    if body.first() != Some(&b'{') {
        return Err(HttpProblem::bad_request("the body is no JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| HttpProblem::bad_request(format!("the body is not usable: {error}")))
}

/// A JSON object of texts, in its order. A name that stands twice is refused.
#[derive(Default)]
struct NamedValues(Vec<(String, String)>);

impl<'de> Deserialize<'de> for NamedValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedValuesVisitor)
    }
}

struct NamedValuesVisitor;

impl<'de> Visitor<'de> for NamedValuesVisitor {
    type Value = NamedValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<NamedValues, M::Error> {
        let mut values: Vec<(String, String)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if values.iter().any(|(known, _)| *known == name) {
                return Err(M::Error::custom(format_args!("the name {name:?} stands twice")));
            }
            values.push((name, value));
        }
        Ok(NamedValues(values))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn refused(action: WriteAction, body: &str) -> String {
        let problem = AskedWrite::read(action, body.as_bytes(), None).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        format!("{problem:?}")
    }

    #[test]
    fn a_body_has_known_members_once() {
        for body in ["", " \n", "{}", r#"{"version":null}"#] {
            assert!(AskedWrite::read(WriteAction::Take, body.as_bytes(), None).is_ok(), "{body}");
        }
        let body = r#"{"version":3,"labels":["a"],"fields":{"z":"1","a":"2"},"reason":"r"}"#;
        let asked = AskedWrite::read(WriteAction::Take, body.as_bytes(), None).unwrap();
        let AskedFor::Take(options) = asked.what else { unreachable!() };
        assert_eq!((options.version, &*asked.reason), (Some(3), "r"));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(options.fields, [pair("z", "1"), pair("a", "2")]);
        for (body, says) in [
            (r#"{"versoin":3}"#, "versoin"),
            (r#"{"version":3,"version":4}"#, "version"),
            (r#"{"fields":{"a":"1","a":"2"}}"#, "stands twice"),
            (r#"{"labels":{"release":"7"}}"#, "sequence"),
            (r#"{"version":-1}"#, "-1"),
            (r#"{"version":4.0}"#, "4.0"),
            ("[3]", "no JSON object"),
            ("null", "no JSON object"),
            ("{", "EOF"),
            ("{} {}", "trailing"),
        ] {
            let seen = refused(WriteAction::Take, body);
            assert!(seen.contains(says), "{body}: {seen}");
        }
    }

    #[test]
    fn a_prune_is_dry_unless_it_says_otherwise() {
        let is_dry = |body: &str| {
            let asked = AskedWrite::read(WriteAction::Prune, body.as_bytes(), None).unwrap();
            let AskedFor::Prune(wish) = asked.what else { unreachable!() };
            wish.is_dry
        };
        assert!(is_dry(r#"{"policy":"last 1"}"#));
        assert!(is_dry(r#"{"policy":"last 1","dryRun":true}"#));
        assert!(!is_dry(r#"{"policy":"last 1","dryRun":false}"#));
        assert!(refused(WriteAction::Prune, "{}").contains("policy"));
        assert!(refused(WriteAction::Prune, r#"{"policy":"last none"}"#).contains("not usable"));
        assert!(
            refused(WriteAction::Prune, r#"{"policy":"last 1","dryRun":null}"#).contains("bool")
        );
        let body = r#"{"policy":"last 1","plan":"x"}"#;
        assert!(refused(WriteAction::PruneAll, body).contains("plan"));
    }
}
