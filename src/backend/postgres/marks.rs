//! Marks in the columns `pins` and `retirements`, and the statements that change them.

use std::fmt::Write;

use super::connection::{CallFailure, Operation, Session};
use super::delete::{Selected, change, count};
use super::error::{StatementEffect, damaged};
use super::key_text::{self, KeyText};
use super::names::Names;
use super::statement::Statement;
use crate::error::Error;
use crate::mark::{Mark, MarkChange, MarkKind, Marks};
use crate::store::Selection;
use crate::timestamp::Timestamp;
use sqlx::Row;

const fn column(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Pin => "pins",
        MarkKind::Retirement => "retirements",
    }
}

/// Returns the value of the column of a kind, or `None` if there are no marks of that kind.
pub(super) fn object(marks: &Marks, kind: MarkKind) -> Option<String> {
    let mut json = String::new();
    for mark in marks.iter().filter(|mark| mark.kind == kind) {
        json.push(if json.is_empty() { '{' } else { ',' });
        quote(&mut json, &mark.name);
        let _ = write!(json, ":{{\"at\":{},\"actor\":", mark.at.as_micros());
        quote(&mut json, &mark.actor);
        json.push_str(",\"note\":");
        quote(&mut json, &mark.note);
        json.push('}');
    }
    (!json.is_empty()).then(|| json + "}")
}

/// Writes a string as JSON. It is encoded like keys, because `jsonb` cannot hold U+0000 either.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in key_text::encode(text).chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

/// The marks of a row of `table` as one array of strings, five for each mark; NULL if it has none.
pub(super) const PARTS: &str = "CASE WHEN num_nonnulls(pins, retirements) > 0 THEN ARRAY(\
     SELECT p.part FROM (\
       SELECT 'p' AS kind, e.* FROM jsonb_each(pins) AS e \
       UNION ALL SELECT 'r', e.* FROM jsonb_each(retirements) AS e) AS m (kind, name, mark) \
     CROSS JOIN LATERAL unnest(ARRAY[m.kind, m.name, m.mark ->> 'at', m.mark ->> 'actor', \
       m.mark ->> 'note']) WITH ORDINALITY AS p (part, place) \
     ORDER BY m.kind, m.name, p.place) END";

/// Parses an array of [`PARTS`].
pub(super) fn of_parts(
    operation: &'static str,
    parts: Option<Vec<Option<String>>>,
) -> Result<Marks, CallFailure> {
    let Some(parts) = parts else { return Ok(Marks::NONE) };
    let wrong = || damaged(operation, "invalid marks");
    let text = |part: &Option<String>| {
        Some(key_text::decode(part.as_deref().unwrap_or_default())?.into_owned())
    };
    let mark = |parts: &[Option<String>]| {
        let [kind, name, at, actor, note] = parts else { return None };
        let kind = match kind.as_deref()? {
            "p" => MarkKind::Pin,
            _ => MarkKind::Retirement,
        };
        let at = Timestamp::from_micros(at.as_deref()?.parse().ok()?);
        Some(Mark::new(kind, text(name)?, at).actor(text(actor)?).note(text(note)?))
    };
    let marks = parts.chunks(5).map(mark).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    Ok(Marks::new(marks).map_err(|_| wrong())?)
}

/// Translates an error from the server if it is about the number of marks.
pub(super) fn explain(names: &Names, error: &sqlx::Error) -> Option<Error> {
    let constraint = error.as_database_error()?.constraint()?;
    (constraint == names.marks_limit).then(Marks::too_many)
}

/// Sets or clears the mark `$N` on the selected snapshots. `k` locks the changed rows, in order.
fn statement(names: &Names, selected: &Selected<'_>, mark: &MarkChange<'_>) -> Statement {
    let Names { snapshots, .. } = names;
    let next = selected.next();
    let (column, name) = (column(mark.kind()), format!("${next}::text"));
    let (new, differs, guard_at) = match mark {
        MarkChange::Set(_) => {
            let value = format!(
                "jsonb_build_object('at', ${}::int8, 'actor', ${}::text, 'note', ${}::text)",
                next + 1,
                next + 2,
                next + 3
            );
            (
                format!("coalesce({column}, '{{}}') || jsonb_build_object({name}, {value})"),
                format!("{column} -> {name} IS DISTINCT FROM {value}"),
                next + 4,
            )
        }
        MarkChange::Clear { .. } => (
            format!("nullif({column} - {name}, '{{}}')"),
            format!("jsonb_exists({column}, {name})"),
            next + 1,
        ),
    };
    let change = change(&format!("UPDATE {snapshots} AS t SET {column} = {new} FROM"), "1");
    Statement::new(|guard| {
        let and = format!("{differs} AND ${guard_at} = {guard}");
        format!(
            "WITH k AS MATERIALIZED ({}), {change} \
             SELECT {guard}, (SELECT count(*) FROM d) + (SELECT count(*) FROM e)",
            selected.locked_for_update(names, &and)
        )
    })
}

pub(super) struct SetMark<'a> {
    pub(super) names: &'a Names,
    pub(super) key: &'a KeyText<'a>,
    pub(super) selection: Selection<'a>,
    pub(super) change: MarkChange<'a>,
}

impl Operation for SetMark<'_> {
    type Output = u64;
    const NAME: &'static str = "mark snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(self.names, error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<u64, CallFailure> {
        let Some(selected) = Selected::of(self.selection) else { return Ok(0) };
        let statement = statement(self.names, &selected, &self.change);
        let query = statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id);
        let query = selected.bind(query);
        let query = match self.change {
            MarkChange::Set(mark) => query
                .bind(key_text::encode(&mark.name).into_owned())
                .bind(mark.at.as_micros())
                .bind(key_text::encode(&mark.actor).into_owned())
                .bind(key_text::encode(&mark.note).into_owned()),
            MarkChange::Clear { name, .. } => query.bind(key_text::encode(name).into_owned()),
        };
        let row = statement.one(query.bind(statement.guard()), session).await?;
        Ok(count(row.try_get(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_an_object_of_each_kind() {
        let marks = Marks::new([
            Mark::pin("a\"\\", Timestamp::MIN).note("line\n\0"),
            Mark::pin("b", Timestamp::from_micros(5)).actor("x"),
        ]);
        let marks = marks.unwrap();
        assert_eq!(object(&marks, MarkKind::Retirement), None);
        let expected = concat!(
            r#"{"a\"\\":{"at":-9223372036854775808,"actor":"","note":"line\u000a\u0001\u0001"},"#,
            r#""b":{"at":5,"actor":"x","note":""}}"#
        );
        assert_eq!(object(&marks, MarkKind::Pin).unwrap(), expected);
    }
}
