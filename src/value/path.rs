//! [`Path`]: the location of a value in a state.

use std::fmt::Write;

use super::node::Label;

/// The steps from the state itself down to a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Vec<PathStep>);

#[derive(Clone, Copy, Debug)]
pub(super) enum PathStep {
    Variant(&'static str),
    Field(Label),
    Item(usize),
    Key,
    Value,
}

impl Path {
    pub(super) fn enter(&mut self, step: PathStep) {
        self.0.push(step);
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// Returns the path with the root type and all indexes: `Account.lines[3].amount`.
    #[cfg(feature = "conformance")]
    pub(super) fn exact(&self, root: &str) -> String {
        self.render(root, true)
    }

    /// Returns the path for all items of a list: `Account.lines[].amount`.
    pub(super) fn general(&self, root: &str) -> String {
        self.render(root, false)
    }

    /// Returns the path within the state: `lines[3].amount`, or "the state itself" for an empty
    /// path.
    pub(super) fn relative(&self) -> String {
        let text = self.render("", true);
        match text.trim_start_matches('.') {
            "" => "the state itself".to_owned(),
            path => path.to_owned(),
        }
    }

    fn render(&self, root: &str, exact: bool) -> String {
        let mut text = short_name(root);
        for step in &self.0 {
            // Writing to a String never fails.
            let _ = match step {
                PathStep::Variant(name) => write!(text, "::{name}"),
                PathStep::Field(Label::Name(name)) => write!(text, ".{name}"),
                PathStep::Field(Label::Place(at)) => write!(text, ".{at}"),
                PathStep::Item(at) if exact => write!(text, "[{at}]"),
                PathStep::Item(_) => write!(text, "[]"),
                PathStep::Key => write!(text, "{{key}}"),
                PathStep::Value => write!(text, "{{}}"),
            };
        }
        text
    }
}

/// Shortens `std::collections::HashMap<alloc::string::String, u8>` to `HashMap<String, u8>`.
pub(crate) fn short_name(path: &str) -> String {
    let mut short = String::new();
    let mut rest = path;
    while let Some(at) = rest.find(|c: char| !c.is_alphanumeric() && c != '_') {
        let (word, tail) = rest.split_at(at);
        if let Some(inner) = tail.strip_prefix("::") {
            rest = inner;
            continue;
        }
        short.push_str(word);
        let mut chars = tail.chars();
        short.extend(chars.next());
        rest = chars.as_str();
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::short_name;

    #[test]
    fn names_of_types_lose_their_modules() {
        for (long, short) in [
            ("u8", "u8"),
            ("a::b::Account", "Account"),
            ("std::map::HashMap<a::K, alloc::vec::Vec<b::V>>", "HashMap<K, Vec<V>>"),
            ("(a::B, &[c::D; 3])", "(B, &[D; 3])"),
        ] {
            assert_eq!(short_name(long), short);
        }
    }
}
