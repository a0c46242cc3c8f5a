//! `bisect`: since when a state has a part.

use clap::Args;
use serde_json::json;

use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{key_json, shown, shown_key};
use crate::cli::session::CliSession;
use crate::error::BoxError;
use crate::manager::{Point, StateValue, View};

/// Find the first version at which a part of a state exists, or has a value
///
/// Needs a binary with the application's kinds. The part must exist, or keep the value, from then on.
/// Ends with exit code 1 if there is no such version.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold bisect account alice status --is closed")]
pub(crate) struct BisectArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The part, such as 'lots[2].price'
    path: String,
    /// The value that the part has, as `show` prints it, without the quotes around a text
    #[arg(long, value_name = "VALUE")]
    is: Option<String>,
    /// The first version to consider
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// The last version to consider; by default the newest one
    #[arg(long, value_name = "N")]
    to: Option<u64>,
}

impl BisectArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let key = session.key(&self.kind, &self.id)?;
        let to = match self.to {
            Some(to) => to,
            None => admin.view(&key, Point::Now).await?.version,
        };
        let mut question = |view: &View| Ok::<_, BoxError>(self.holds(&view.state));
        let found = admin.bisect(&key, self.from..=to, &mut question).await?;
        if session.json {
            session.screen.json(&json!({
                "key": key_json(&key),
                "path": self.path,
                "first": found.first,
                "reconstructions": found.reconstructions,
            }))?;
        } else {
            let what = match &self.is {
                Some(value) => format!("{} is {}", shown(&self.path), shown(value)),
                None => format!("{} exists", shown(&self.path)),
            };
            session.screen.paragraph(&format!("{}: {what} {found}", shown_key(&key)))?;
        }
        Ok(CliFinding::wrong_if(found.first.is_none()))
    }

    fn holds(&self, state: &StateValue) -> bool {
        let Some(part) = state.get(&self.path) else { return false };
        self.is.as_ref().is_none_or(|value| match part {
            StateValue::Text(text) => text == value,
            StateValue::Variant(name, inner) if **inner == StateValue::Null => name == value,
            part => part.to_string() == *value,
        })
    }
}
