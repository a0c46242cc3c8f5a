//! [`StoreUrl`]: where a store is.

use std::path::PathBuf;

/// The form of the URLs, for messages.
const FORMS: &str = "use file:DIR for a directory, postgres://USER@HOST/DATABASE for a database, or \
                     s3://BUCKET/ROOT, gs://BUCKET/ROOT or az://CONTAINER/ROOT for object storage";
/// What stands for a password in messages.
const HIDDEN: &str = "***";

/// Where a store is. It has no `Debug`, because it may contain a password.
pub(crate) enum StoreUrl {
    File(PathBuf),
    /// The whole URL, with its password if it has one.
    Postgres(String),
    /// The whole URL of a bucket and a root in it. It has no secrets.
    Bucket(String),
}

impl StoreUrl {
    /// Parses a URL. The message of an error contains nothing of the text but its scheme.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("the store has no scheme: {FORMS}"));
        };
        match scheme {
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err("the store has no directory: use file:DIR".to_owned());
                }
                Ok(Self::File(path.into()))
            }
            "postgres" | "postgresql" if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            "postgres" | "postgresql" => {
                Err("the URL of a database begins with postgres://".to_owned())
            }
            "s3" | "gs" | "az" if rest.starts_with("//") && !rest.contains(['@', '?']) => {
                Ok(Self::Bucket(text.trim_end_matches('/').to_owned()))
            }
            "s3" | "gs" | "az" => Err(format!(
                "the URL of a bucket is {scheme}://BUCKET/ROOT; credentials are in the environment"
            )),
            _ if scheme.len() > 20 || !scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(format!("the store has no scheme: {FORMS}"))
            }
            _ => Err(format!("stores with the scheme {scheme}: are not known: {FORMS}")),
        }
    }

    /// Returns whether this is certainly the place of the other store. Two URLs may be of one
    /// database without looking like it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(own), Self::File(other)) => {
                let place = |dir: &PathBuf| dir.canonicalize().unwrap_or_else(|_| dir.clone());
                place(own) == place(other)
            }
            (Self::Postgres(own), Self::Postgres(other))
            | (Self::Bucket(own), Self::Bucket(other)) => own == other,
            _ => false,
        }
    }

    /// Returns the secrets in the URL, as they are written and decoded.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Self::Postgres(url) = self else { return Vec::new() };
        let mut secrets: Vec<_> = secret_parts(url).map(str::to_owned).collect();
        let decoded: Vec<_> = secrets.iter().map(|secret| decoded(secret)).collect();
        secrets.extend(decoded);
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

/// Hides the secrets in a text, and everything that looks like the password of a URL, because a URL
/// may be in the wrong place on the command line.
pub(crate) fn without_secrets(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    // The longest first: one may contain another.
    let mut found: Vec<_> = secret_parts(&text).map(str::to_owned).collect();
    found.extend_from_slice(secrets);
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in found.iter().filter(|secret| !secret.is_empty() && *secret != HIDDEN) {
        // Hiding each `a` would hide the message, and tell the password.
        if secret.len() < 4 {
            text = text.replace(&format!(":{secret}@"), &format!(":{HIDDEN}@"));
            text = text.replace(&format!("={secret}"), &format!("={HIDDEN}"));
        } else {
            text = text.replace(secret.as_str(), HIDDEN);
        }
    }
    text
}

/// Returns the passwords of all URLs in a text: `scheme://user:PASSWORD@host?password=PASSWORD`.
fn secret_parts(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>');
    let urls = text.match_indices("://").filter_map(move |(at, colon)| {
        let rest = text.get(at + colon.len()..)?;
        Some(rest.split(is_end).next().unwrap_or(rest))
    });
    urls.flat_map(|url| {
        // A password may contain any of `/`, `?` and `@` if it is not encoded as it should be.
        let user = url.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        let query = url.split(['?', '&']).filter_map(|part| part.split_once('='));
        let query = query.filter(|(name, _)| name.to_ascii_lowercase().contains("password"));
        user.into_iter().chain(query).map(|(_, secret)| secret)
    })
}

/// Decodes `%2f` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.split_at_checked(2).filter(|_| *byte == b'%');
        let code = digits.and_then(|(digits, _)| std::str::from_utf8(digits).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(*byte));
        rest = digits.filter(|_| code.is_some()).map_or(after, |(_, after)| after);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_directories_or_databases_and_errors_repeat_only_the_scheme() {
        for text in ["file:a/b", "file://a/b"] {
            assert!(matches!(StoreUrl::parse(text), Ok(StoreUrl::File(dir)) if dir == *"a/b"));
        }
        assert!(matches!(StoreUrl::parse("file:///a"), Ok(StoreUrl::File(dir)) if dir == *"/a"));
        assert!(matches!(StoreUrl::parse("postgresql://h/d"), Ok(StoreUrl::Postgres(_))));
        let bucket = StoreUrl::parse("s3://bucket/a/b/");
        assert!(matches!(bucket, Ok(StoreUrl::Bucket(url)) if url == "s3://bucket/a/b"));
        for text in [
            "mysql://u:hunter2@h/d",
            "u:hunter2@h",
            "hunter2",
            "postgres:u:hunter2@h",
            "s3://hunter2@b",
        ] {
            let error = StoreUrl::parse(text).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("://"), "{error}");
        }
        assert!(StoreUrl::parse("mysql://h/d").err().unwrap().contains("file:DIR"));
    }

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        let url = "postgres://u:p%40ss/w@rd@h/d?sslmode=require&sslpassword=other";
        let secrets = StoreUrl::parse(url).ok().unwrap().secrets();
        let text = format!("cannot use {url}: p@ss/w@rd or p%40ss/w@rd or other");
        let hidden = without_secrets(&text, &secrets);
        for secret in ["p@ss", "p%40ss", "w@rd", "other"] {
            assert!(!hidden.contains(secret), "{hidden}");
        }
        assert!(hidden.contains("u:***@h/d"), "{hidden}");
        // In a text that nobody knows to be a URL.
        let hidden = without_secrets("unexpected 'pg://u:hunter2@h/d' found", &[]);
        assert_eq!(hidden, "unexpected 'pg://u:***@h/d' found");
        assert_eq!(without_secrets("kind://a and b@c", &[]), "kind://a and b@c");
    }
}
