//! [`EventQuery`]: the application's own query for events.

use crate::error::{Error, ErrorKind};

/// A query with placeholders. Its end is trimmed so that it can be embedded in another query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventQuery(Vec<QueryPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum QueryPart {
    Sql(String),
    /// The name without braces.
    Placeholder(&'static str),
}

/// The placeholders that [`EventQuery::parse`] finds, in search order.
const PLACEHOLDERS: [&str; 5] = ["tenant", "kind", "id", "after", "until"];

/// A part of SQL that is not parsed further.
enum Token<'a> {
    /// White space or a comment. Removed at the end of the query.
    Blank,
    /// A quoted string or name.
    Quoted(&'a str),
    Semicolon,
    Other(&'a str),
}

impl EventQuery {
    /// Parses a query.
    ///
    /// # Errors
    /// `InvalidInput` if `sql` is more than one statement, has an unclosed quote, comment or
    /// parenthesis, lacks a placeholder, or has one within quotes.
    pub(super) fn parse(sql: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let (mut rest, mut depth, mut ended) = (sql, 0_i32, false);
        while !rest.is_empty() {
            if let Some((name, after)) = placeholder(rest) {
                if ended {
                    return Err(invalid("is more than one statement"));
                }
                parts.push(QueryPart::Placeholder(name));
                rest = after;
                continue;
            }
            let (token, after) = token(rest)?;
            rest = after;
            let text = match token {
                // A comment up to the end of the line would hide the text that is added after the
                // query.
                Token::Blank => " ",
                Token::Semicolon => {
                    ended = true;
                    continue;
                }
                _ if ended => return Err(invalid("is more than one statement")),
                Token::Quoted(text) => {
                    if let Some(name) =
                        PLACEHOLDERS.iter().find(|name| text.contains(&braced(name)))
                    {
                        let name = braced(name);
                        return Err(invalid(format!(
                            "has {name} within quotes: remove the quotes"
                        )));
                    }
                    text
                }
                Token::Other(text) => {
                    depth += i32::from(text == "(") - i32::from(text == ")");
                    if depth < 0 {
                        return Err(invalid("has an unmatched closing parenthesis"));
                    }
                    text
                }
            };
            match parts.last_mut() {
                Some(QueryPart::Sql(sql)) => sql.push_str(text),
                _ => parts.push(QueryPart::Sql(text.to_owned())),
            }
        }
        if depth > 0 {
            return Err(invalid("has an unclosed parenthesis"));
        }
        for required in ["id", "after"] {
            if !parts
                .iter()
                .any(|part| matches!(part, QueryPart::Placeholder(name) if *name == required))
            {
                return Err(invalid(format!("does not contain {}", braced(required))));
            }
        }
        Ok(Self(parts))
    }

    /// Returns the query with its placeholders replaced.
    pub(super) fn sql(&self, value: impl Fn(&str) -> String) -> String {
        self.0
            .iter()
            .map(|part| match part {
                QueryPart::Sql(sql) => sql.clone(),
                QueryPart::Placeholder(name) => value(name),
            })
            .collect()
    }
}

fn braced(name: &str) -> String {
    format!("{{{name}}}")
}

fn placeholder(sql: &str) -> Option<(&'static str, &str)> {
    let rest = sql.strip_prefix('{')?;
    PLACEHOLDERS.iter().find_map(|name| Some((*name, rest.strip_prefix(name)?.strip_prefix('}')?)))
}

/// Splits `sql`, which must not be empty, into its first token and the rest.
fn token(sql: &str) -> Result<(Token<'_>, &str), Error> {
    let blank = sql.len() - sql.trim_start().len();
    if blank > 0 {
        return Ok((Token::Blank, split(sql, blank).1));
    }
    if let Some(comment) = sql.strip_prefix("--") {
        let end = comment.find(['\n', '\r']).map_or(sql.len(), |end| end + 2);
        return Ok((Token::Blank, split(sql, end).1));
    }
    if sql.starts_with("/*") {
        let end = comment_end(sql).ok_or_else(|| invalid("has an unclosed comment"))?;
        return Ok((Token::Blank, split(sql, end).1));
    }
    let word =
        sql.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(sql.len());
    let is_escaping = matches!(sql.get(..word), Some("e" | "E"));
    let start = if is_escaping { word } else { 0 };
    let end = match sql.get(start..).and_then(|sql| sql.chars().next()) {
        Some('\'') => Some(quoted_end(sql, start, '\'', is_escaping)),
        Some('"') if !is_escaping => Some(quoted_end(sql, 0, '"', false)),
        Some('$') if !is_escaping => dollar_tag(sql).map(|tag| {
            let body = sql.get(tag.len()..).and_then(|body| body.find(tag));
            body.map(|end| end + 2 * tag.len())
        }),
        _ => None,
    };
    match end {
        Some(end) => {
            let end = end.ok_or_else(|| invalid("has an unclosed quote"))?;
            let (token, rest) = split(sql, end);
            Ok((Token::Quoted(token), rest))
        }
        None if sql.starts_with(';') => Ok((Token::Semicolon, split(sql, 1).1)),
        None => {
            let first = sql.chars().next().map_or(0, char::len_utf8);
            let (token, rest) = split(sql, word.max(first));
            Ok((Token::Other(token), rest))
        }
    }
}

fn split(sql: &str, at: usize) -> (&str, &str) {
    sql.split_at_checked(at).unwrap_or((sql, ""))
}

/// Returns the end of a comment that starts at the beginning of `sql`. Comments nest.
fn comment_end(sql: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = sql.get(at..)?;
        let next = rest.find("/*").into_iter().chain(rest.find("*/")).min()?;
        depth += if rest.get(next..)?.starts_with("/*") { 1 } else { -1 };
        at += next + 2;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Returns the end of a quoted string whose first quote is at `start`. A doubled quote does not end
/// it.
fn quoted_end(sql: &str, start: usize, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = sql.get(start + 1..)?.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(start + 1 + at + 1);
        }
    }
    None
}

/// Returns the tag `$$` or `$tag$` at the start of `sql`. `$1` is not a tag.
fn dollar_tag(sql: &str) -> Option<&str> {
    let inner = sql.strip_prefix('$')?;
    let end = inner.find('$')?;
    let name = inner.get(..end)?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then(|| sql.get(..end + 2)).flatten()
}

fn invalid(what: impl Into<String>) -> Error {
    let message = format!("check EventTable: the query {}", what.into());
    Error::new(ErrorKind::InvalidInput, "read events", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Result<String, String> {
        EventQuery::parse(sql)
            .map(|query| query.sql(|name| format!("<{name}>")))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_ends_a_query_does_not_end_what_it_stands_in() {
        let query = "SELECT 1 WHERE a = {id} AND b > {after}";
        let expected = "SELECT 1 WHERE a = <id> AND b > <after>";
        for end in ["", ";", " ; ;\n", "-- the end", "; -- {id};", "/* a /* nested; */ one */;"] {
            let sql = parsed(&format!("{query}{end}")).unwrap();
            assert_eq!(sql.trim_end(), expected, "{end}");
            assert!(!sql.contains("--"));
        }
        let sql = "SELECT ';', \";\", $$;$$, $a$;'$a$, E'\\';', ';''' , $1, e {id}{after}{until}";
        let expected = sql.replace("{id}{after}{until}", "<id><after><until>");
        assert_eq!(parsed(sql).unwrap(), expected);
        assert_eq!(parsed("SELECT a-- {id}\n{id}/**/{after}").unwrap(), "SELECT a  <id> <after>");
    }

    #[test]
    fn what_is_no_query_is_refused_with_its_reason() {
        for (sql, reason) in [
            ("SELECT {after}", "does not contain {id}"),
            ("SELECT {id} -- {after}", "does not contain {after}"),
            ("SELECT '{id}', {id}, {after}", "{id} within quotes"),
            ("SELECT {id}, {after}; DROP TABLE a", "more than one statement"),
            ("SELECT {id}; {after}", "more than one statement"),
            ("SELECT {id}, {after}, 'x", "unclosed quote"),
            ("SELECT {id}, {after}, $x$ $", "unclosed quote"),
            ("SELECT {id}, {after} /* /* */", "unclosed comment"),
            ("SELECT {id}, {after}) UNION (SELECT 1", "unmatched closing"),
            ("SELECT ({id}, {after}", "unclosed parenthesis"),
        ] {
            let error = parsed(sql).unwrap_err();
            assert!(error.contains(reason) && error.contains("EventTable"), "{sql}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(sql in "[a'\"$;{}()id/*\\-\\\\\n \u{e9}]{0,40}") {
            let _ = parsed(&sql);
            let _ = parsed(&format!("{{id}}{{after}}{sql}"));
        }
    }
}
