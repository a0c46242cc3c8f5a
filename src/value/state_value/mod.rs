//! [`StateValue`]: a state without its type.

mod build;
mod show;
#[cfg(test)]
mod tests;

/// A state as a tree of values, without its type: to be shown, redacted and compared by code that
/// does not know the type, as schedulers, command lines and servers do.
///
/// It holds what `Serialize` tells in the form for people (dates and ids as texts): integers of 128
/// bits, bytes and floats that are no numbers too. Floats are equal if their bits are.
///
/// `Display` writes it in the syntax of JSON, in one line; the alternate form (`{:#}`) takes a line
/// for each part. Bytes are shown as texts in hexadecimal (`"0x00ff"`), floats that are no numbers
/// as texts, keys of maps as texts. For machines it is `Serialize`, in the form it has here: what
/// tells a `Some` from its content, and a variant from a map, is then left out as in JSON.
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
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The content of an option.
    Some(Box<StateValue>),
    /// A sequence or a tuple.
    List(Vec<StateValue>),
    /// A map: its entries, as the state has them.
    Map(Vec<(StateValue, StateValue)>),
    /// A struct: its fields by name, in declared order, without those that it leaves out.
    Struct(Vec<(String, StateValue)>),
    /// A variant of an enum and its content: [`Null`](Self::Null) if it has none.
    Variant(String, Box<StateValue>),
}

impl StateValue {
    /// The part at `path`: names of fields and keys of maps with dots between them, and the places
    /// of elements in brackets, counted from 0: `lots[2].price`. Options and variants are passed
    /// through.
    pub fn get(&self, path: &str) -> Option<&Self> {
        let (first, rest) = split(path);
        match (self, first) {
            (_, "") => Some(self),
            (Self::Some(inner) | Self::Variant(_, inner), _) => inner.get(path),
            (Self::List(items), _) => items.get(place(first)?)?.get(rest),
            (Self::Struct(fields), _) => fields.iter().find(|(name, _)| name == first)?.1.get(rest),
            (Self::Map(entries), _) => {
                entries.iter().find(|(key, _)| key.is_text(first))?.1.get(rest)
            }
            _ => None,
        }
    }

    /// Puts the text `[redacted]` in place of each part at `path`, which is as in
    /// [`get`](Self::get); empty brackets stand for all elements of a list or entries of a map.
    /// Returns how many parts that were.
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
                let chosen = entries.iter_mut().filter(|(key, _)| all || key.is_text(first));
                chosen.map(|(_, value)| value.redact(rest)).sum()
            }
            _ => 0,
        }
    }

    /// Whether it is shown as this text.
    fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            other => other.to_string() == text,
        }
    }
}

/// The first step of a path, and what follows it.
fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('.').unwrap_or(path);
    let end = match path.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(bracket) => bracket + 2,
        // A step without a name, or a bracket that is not closed, is the name of nothing.
        None => path.find(['.', '[']).filter(|end| *end > 0).unwrap_or(path.len()),
    };
    path.split_at_checked(end).unwrap_or((path, ""))
}

/// The place in a step such as `[2]`.
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
