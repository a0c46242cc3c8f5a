//! [`KeyType`]: the types of columns that hold parts of a key.

use super::names::quote;
use crate::error::{Error, ErrorKind};

/// The type of a column in an [`EventTable`](super::EventTable) that holds a part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// `text` or `varchar`: any part of a key.
    Text,
    /// `uuid`: hexadecimal digits, with or without hyphens.
    Uuid,
    /// `bigint`, `integer` or `smallint`: a decimal number from `i64::MIN` to `i64::MAX`.
    Bigint,
    /// The enum type with this name, or with this schema and name (`app.kind`): one of its labels.
    Enum(String),
}

impl KeyType {
    /// Returns the SQL that converts the text `value` to this type.
    pub(super) fn cast(&self, value: &str) -> Result<String, Error> {
        Ok(match self {
            Self::Text => format!("{value}::text"),
            Self::Uuid => format!("{value}::text::uuid"),
            Self::Bigint => format!("{value}::text::int8"),
            Self::Enum(name) => {
                let name = match name.split_once('.') {
                    Some((schema, name)) => {
                        format!("{}.{}", quote("schema", schema, 0)?, quote("type", name, 0)?)
                    }
                    None => quote("type", name, 0)?,
                };
                format!("{value}::text::{name}")
            }
        })
    }

    /// Checks that `part`, the part of the key that `what` names, is a value of this type, as far
    /// as possible without the server.
    pub(super) fn check(&self, what: &str, part: &str, column: &str) -> Result<(), Error> {
        let (fits, name) = match self {
            Self::Text | Self::Enum(_) => return Ok(()),
            Self::Uuid => (is_uuid(part), "uuid"),
            Self::Bigint => (part.parse::<i64>().is_ok(), "bigint"),
        };
        if fits {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "read events",
            format!(
                "the {what} {part:?} of the key is not a {name}, but EventTable says that column \
                 {column:?} has the type {name}"
            ),
        ))
    }
}

/// Returns whether `text` is a UUID in PostgreSQL's syntax: 32 hexadecimal digits in either case,
/// an optional hyphen after each group of four, and optional braces around all of it.
fn is_uuid(text: &str) -> bool {
    let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'));
    let Some(inner) = inner else { return false };
    let (mut digits, mut hyphen) = (0, false);
    for c in inner.chars() {
        match c {
            '-' if !hyphen && digits > 0 && digits < 32 && digits % 4 == 0 => hyphen = true,
            c if c.is_ascii_hexdigit() => {
                digits += 1;
                hyphen = false;
            }
            _ => return false,
        }
    }
    digits == 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked_as_the_server_would_read_them() {
        let id = "6f1c2f0e-5d43-4d5b-9a3e-0d7f4e4b2a11";
        for good in [id, &id.replace('-', ""), &id.to_uppercase(), &format!("{{{id}}}")] {
            assert!(KeyType::Uuid.check("id", good, "c").is_ok(), "{good}");
        }
        let long = format!("{id}0");
        for bad in ["", "a", &id[1..], &long, "{6f1c2f0e", &id.replace('-', "--")] {
            let error = KeyType::Uuid.check("id", bad, "c").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
        for good in ["0", "-1", "9223372036854775807"] {
            assert!(KeyType::Bigint.check("id", good, "c").is_ok(), "{good}");
        }
        for bad in ["", "a", "1.0", "9223372036854775808", "1\0"] {
            assert!(KeyType::Bigint.check("id", bad, "c").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_of_a_type_is_only_a_name() {
        let sql = KeyType::Enum("app.x\"; DROP".into()).cast("$1").unwrap();
        assert_eq!(sql, "$1::text::\"app\".\"x\"\"; DROP\"");
        assert!(KeyType::Enum("app.".into()).cast("$1").is_err());
    }
}
