//! [`StatePath`]: where a part of a state is.

use std::fmt;

use super::StateValue;

/// The steps from a state to one of its parts. Options and enum variants do not add a step.
///
/// `Display` writes `lots[2].price`. A map key that is not a plain word is quoted in brackets:
/// `rates["EUR/USD"]`. The path of the state itself is shown as `(the state)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePath(pub(super) Vec<StateStep>);

/// One step of a [`StatePath`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateStep {
    /// Into the field of a struct.
    Field(String),
    /// Into the element of a list, counted from 0.
    Index(usize),
    /// Into the value of a map entry with this key.
    Key(StateValue),
}

impl StatePath {
    /// Returns the steps, outermost first.
    pub fn steps(&self) -> &[StateStep] {
        &self.0
    }
}

impl fmt::Display for StatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(the state)");
        }
        let mut dot = "";
        for step in &self.0 {
            match step {
                StateStep::Field(name) => write!(f, "{dot}{name}")?,
                StateStep::Index(at) => write!(f, "[{at}]")?,
                StateStep::Key(StateValue::Text(key)) if is_word(key) => write!(f, "{dot}{key}")?,
                StateStep::Key(key) => write!(f, "[{key}]")?,
            }
            dot = ".";
        }
        Ok(())
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}
