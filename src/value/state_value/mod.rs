//! [`StateValue`]: a state as a tree, without its type.

mod build;
#[cfg(feature = "http")]
mod json;
mod show;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

#[cfg(feature = "http")]
pub(crate) use json::{canonical, write_state};

/// A state as a tree of values, without its type. Code that does not know the type, such as
/// schedulers, command-line tools and servers, can show, redact and compare it.
///
/// It contains what `Serialize` emits in human-readable form (dates and ids as strings), including
/// 128-bit integers, bytes and non-finite floats. Floats are equal if their bits are equal.
///
/// `Display` writes JSON syntax on one line. The alternate form (`{:#}`) writes one line for each
/// part. Bytes are shown as hexadecimal strings (`"0x00ff"`), and non-finite floats and map keys as
/// strings. For machines, `StateValue` implements `Serialize`. As in JSON, the result does not
/// distinguish `Some(x)` from `x`, or a variant from a map.
///
/// ```
/// use snapfold::manager::StateValue;
///
/// #[derive(serde::Serialize)]
/// struct Account { owner: Owner, cents: i128 }
/// #[derive(serde::Serialize)]
/// struct Owner { name: String, cards: Vec<String> }
///
/// let owner = Owner { name: "Ada".into(), cards: vec!["4711".into(), "0815".into()] };
/// let mut value = StateValue::of(&Account { owner, cents: 250 })?;
/// value.redact("owner.cards[]");
/// assert_eq!(
///     value.to_string(),
///     r#"{"owner":{"name":"Ada","cards":["[redacted]","[redacted]"]},"cents":250}"#,
/// );
/// assert_eq!(value.get("cents"), Some(&StateValue::Int(250)));
/// # Ok::<(), snapfold::BoxError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StateValue {
    /// A unit, a unit struct, or `None`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer of any width.
    Int(i128),
    /// An unsigned integer of any width.
    UInt(u128),
    /// A float of either width.
    Float(f64),
    /// A character.
    Char(char),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The content of a `Some`.
    Some(Box<StateValue>),
    /// A sequence or a tuple. The elements of a hash set are sorted by how they are displayed.
    List(Vec<StateValue>),
    /// A map: its entries in the order of the state.
    Map(Vec<(StateValue, StateValue)>),
    /// A struct: its fields by name, in declared order, without omitted fields.
    Struct(Vec<(String, StateValue)>),
    /// A variant of an enum, and its content: [`Null`](Self::Null) if it has none.
    Variant(String, Box<StateValue>),
}

impl StateValue {
    /// Returns the part at `path`, which consists of field names and map keys separated by dots,
    /// and element indexes in brackets, counted from 0: `lots[2].price`. A map key that contains a
    /// dot or a bracket is quoted in brackets: `rates["EUR.USD"]`. Options and enum variants do not
    /// add a step to the path.
    pub fn get(&self, path: &str) -> Option<&Self> {
        let (first, rest) = split(path);
        match (self, first) {
            (_, "") => Some(self),
            (Self::Some(inner) | Self::Variant(_, inner), _) => inner.get(path),
            (Self::List(items), _) => items.get(place(first)?)?.get(rest),
            (Self::Struct(fields), _) => fields.iter().find(|(name, _)| name == first)?.1.get(rest),
            (Self::Map(entries), _) => {
                let name = unquoted(first);
                entries.iter().find(|(key, _)| key.is_text(&name))?.1.get(rest)
            }
            _ => None,
        }
    }

    /// Replaces each part at `path` with the string `[redacted]` and returns the number of parts
    /// replaced. The path has the form described in [`get`](Self::get). Empty brackets match all
    /// elements of a list or entries of a map.
    pub fn redact(&mut self, path: &str) -> usize {
        let (first, rest) = split(path);
        if first.is_empty() {
            *self = Self::Text("[redacted]".to_owned());
            return 1;
        }
        let all = first == "[]";
        match self {
            Self::Some(inner) | Self::Variant(_, inner) => inner.redact(path),
            Self::List(items) => {
                let at = place(first);
                let chosen = items.iter_mut().enumerate().filter(|(n, _)| all || Some(*n) == at);
                chosen.map(|(_, item)| item.redact(rest)).sum()
            }
            Self::Struct(fields) => {
                let chosen = fields.iter_mut().filter(|(name, _)| name == first);
                chosen.map(|(_, field)| field.redact(rest)).sum()
            }
            Self::Map(entries) => {
                let name = unquoted(first);
                let chosen = entries.iter_mut().filter(|(key, _)| all || key.is_text(&name));
                chosen.map(|(_, value)| value.redact(rest)).sum()
            }
            _ => 0,
        }
    }

    /// Returns whether the value is displayed as this string.
    fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            other => other.to_string() == text,
        }
    }
}

/// Splits a path into its first step and the rest.
fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('.').unwrap_or(path);
    let closing = match path.strip_prefix('[') {
        Some(quoted) if quoted.starts_with('"') => closing_quote(quoted).map(|quote| quote + 1),
        Some(rest) => rest.find(']'),
        None => None,
    };
    let end = match closing {
        Some(bracket) => bracket + 2,
        // A step without a name or with an unclosed bracket matches nothing.
        None => path.find(['.', '[']).filter(|end| *end > 0).unwrap_or(path.len()),
    };
    path.split_at_checked(end).unwrap_or((path, ""))
}

/// Returns where the string at the beginning of `quoted` ends: the index of its closing quote.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut chars = quoted.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns the map key that a step names: `EUR.USD` for `["EUR.USD"]`, with `\"` and `\\` for a
/// quote and a backslash.
fn unquoted(step: &str) -> Cow<'_, str> {
    match step.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]")) {
        Some(key) => {
            let mut chars = key.chars();
            let next = || match chars.next() {
                Some('\\') => chars.next(),
                other => other,
            };
            std::iter::from_fn(next).collect::<String>().into()
        }
        None => step.strip_prefix('[').and_then(|s| s.strip_suffix(']')).unwrap_or(step).into(),
    }
}

/// Parses the index in a step such as `[2]`.
fn place(step: &str) -> Option<usize> {
    step.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

impl PartialEq for StateValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::UInt(a), Self::UInt(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Some(a), Self::Some(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Struct(a), Self::Struct(b)) => a == b,
            (Self::Variant(a, inner_a), Self::Variant(b, inner_b)) => a == b && inner_a == inner_b,
            _ => false,
        }
    }
}

impl Eq for StateValue {}
