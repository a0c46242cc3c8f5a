//! [`Parameters`]: the query of a request.

use std::borrow::Cow;
use std::str::FromStr;

use super::problem::HttpProblem;
use super::query_parameter::QueryParameter;

/// The parameters of a query, of which each is known and given once.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Reads a query that may have the parameters `known`.
    pub(super) fn read(
        query: Option<&'a str>,
        known: &[QueryParameter],
    ) -> Result<Self, HttpProblem> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.iter().any(|known| known.name == name) {
                let known: Vec<_> = known.iter().map(|known| known.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail = format!("the parameter is not known here (known: {known})");
                return Err(HttpProblem::parameter(&name, detail));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(HttpProblem::parameter(&name, "the parameter is given twice"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// A parameter that is parsed. `form` says what it must look like.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, HttpProblem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(HttpProblem::parameter(name, format!("use {form}"))),
        }
    }
}
