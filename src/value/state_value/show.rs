//! Formats a [`StateValue`] for people and serializes it for machines.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use super::StateValue;

impl Serialize for StateValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(*value),
            },
            Self::UInt(value) => match u64::try_from(*value) {
                Ok(value) => serializer.serialize_u64(value),
                Err(_) => serializer.serialize_u128(*value),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Char(value) => serializer.serialize_char(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::Some(inner) => inner.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(k, v)| (k, v))),
            Self::Struct(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
            Self::Variant(name, inner) if **inner == Self::Null => serializer.serialize_str(name),
            Self::Variant(name, inner) => serializer.collect_map([(name, inner)]),
        }
    }
}

impl fmt::Display for StateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, 0)
    }
}

impl StateValue {
    fn show(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::Float(value) if value.is_finite() => write!(f, "{value:?}"),
            Self::Float(value) => write!(f, "\"{value}\""),
            Self::Char(value) => quoted(f, value.encode_utf8(&mut [0; 4])),
            Self::Text(value) => quoted(f, value),
            Self::Bytes(value) => {
                f.write_str("\"0x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("\"")
            }
            Self::Some(inner) => inner.show(f, depth),
            Self::List(items) => {
                let shown = items.iter().map(|item| (None, item));
                parts(f, depth, ['[', ']'], shown)
            }
            Self::Map(entries) => {
                let shown = entries.iter().map(|(key, value)| (Some(key.as_key()), value));
                parts(f, depth, ['{', '}'], shown)
            }
            Self::Struct(fields) => {
                let shown = fields.iter().map(|(name, value)| (Some(name.clone()), value));
                parts(f, depth, ['{', '}'], shown)
            }
            Self::Variant(name, inner) if **inner == Self::Null => quoted(f, name),
            Self::Variant(name, inner) => {
                parts(f, depth, ['{', '}'], [(Some(name.clone()), &**inner)].into_iter())
            }
        }
    }

    fn as_key(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Writes the parts of a value in brackets, each with its name.
fn parts<'v>(
    f: &mut fmt::Formatter<'_>,
    depth: usize,
    [open, close]: [char; 2],
    parts: impl Iterator<Item = (Option<String>, &'v StateValue)>,
) -> fmt::Result {
    let line = |f: &mut fmt::Formatter<'_>, depth: usize| {
        if f.alternate() { write!(f, "\n{:1$}", "", depth * 2) } else { Ok(()) }
    };
    write!(f, "{open}")?;
    let mut is_empty = true;
    for (name, value) in parts {
        if !is_empty {
            f.write_str(",")?;
        }
        is_empty = false;
        line(f, depth + 1)?;
        if let Some(name) = name {
            quoted(f, &name)?;
            f.write_str(if f.alternate() { ": " } else { ":" })?;
        }
        value.show(f, depth + 1)?;
    }
    if !is_empty {
        line(f, depth)?;
    }
    write!(f, "{close}")
}

/// Writes a string as JSON does, with every control character escaped.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            // Terminals interpret the other control characters too.
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
