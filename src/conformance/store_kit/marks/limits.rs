//! Marks beyond the limits are refused, and marks within them are kept.

use super::{clear, open, pin, retirement};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::samples::{NEW, at, id, key, record};
use crate::mark::{Mark, MarkChange, MarkKind, Marks};
use crate::store::Selection;
use crate::timestamp::Timestamp;

cases! { Marks:
    "a mark beyond the limits is refused", ["C-64"], refused;
    "a snapshot can have the maximum number of marks and no more", ["C-64"], full;
    "if one snapshot cannot have another mark, none is changed", ["C-64"], one_is_full;
    "the strings in a mark may contain any character", ["C-64"], odd_texts;
}

async fn refused(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let text = |bytes| "x".repeat(bytes);
    for mark in [
        pin(""),
        pin(&text(Mark::MAX_NAME_BYTES + 1)),
        retirement(&text(1 << 20)),
        pin("a").actor(text(Mark::MAX_ACTOR_BYTES + 1)),
        pin("a").note(text(Mark::MAX_NOTE_BYTES + 1)),
    ] {
        store.refuses(&key, MarkChange::Set(&mark)).await?;
    }
    store.refuses(&key, MarkChange::Clear { kind: MarkKind::Pin, name: "" }).await?;
    store.has_marks(&key, id(NEW, 1), &[], "C-64").await
}

/// Returns as many marks as a snapshot can have, of both kinds.
pub(super) fn most() -> Vec<Mark> {
    let name = |n: usize| format!("{n:02}");
    let pins = (0..Marks::MAX / 2).map(|n| pin(&name(n)));
    pins.chain((Marks::MAX / 2..Marks::MAX).map(|n| retirement(&name(n)))).collect()
}

async fn full(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let id = id(NEW, 1);
    let mut most = most();
    for mark in &most {
        store.blaming("C-64").mark(&key, Selection::All, MarkChange::Set(mark)).await?;
    }
    store.has_marks(&key, id, &most, "C-64").await?;
    for more in [pin("one more"), retirement("one more")] {
        store.refuses(&key, MarkChange::Set(&more)).await?;
    }
    store.has_marks(&key, id, &most, "C-64").await?;
    // An existing mark can still be replaced, or removed to make room for another.
    let later = Mark { at: at(99), ..pin("00") };
    store.blaming("C-64").mark(&key, Selection::All, MarkChange::Set(&later)).await?;
    if let Some(first) = most.first_mut() {
        *first = later;
    }
    store.has_marks(&key, id, &most, "C-61").await?;
    store.mark(&key, Selection::All, clear(&most.remove(1))).await?;
    store.blaming("C-64").mark(&key, Selection::All, MarkChange::Set(&pin("new"))).await?;
    Ok(())
}

async fn one_is_full(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?, record(&key, 2)?, record(&key, 3)?]).await?;
    let most = most();
    let full = [id(NEW, 2)];
    for mark in &most {
        store.mark(&key, Selection::Ids(&full), MarkChange::Set(mark)).await?;
    }
    store.refuses(&key, MarkChange::Set(&pin("one more"))).await?;
    for version in [1, 3] {
        store.has_marks(&key, id(NEW, version), &[], "C-64").await?;
    }
    store.has_marks(&key, full[0], &most, "C-64").await
}

async fn odd_texts(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let id = id(NEW, 1);
    let mut names = vec![
        "\0".to_owned(),
        "\u{1}\u{2}".to_owned(),
        " ".to_owned(),
        "'; DROP TABLE x; --".to_owned(),
        "\"quoted\" \\ %s {}".to_owned(),
        "line\r\nbreak\ttab".to_owned(),
        "\u{1f4cc}\u{301}".to_owned(),
        "\u{7f}\u{ffff}\u{10ffff}".to_owned(),
    ];
    names.push("x".repeat(Mark::MAX_NAME_BYTES));
    for (round, name) in names.iter().enumerate() {
        let long = |bytes: usize| name.chars().cycle().take(bytes / 4).collect::<String>();
        let time = if round % 2 == 0 { Timestamp::MIN } else { Timestamp::MAX };
        let mark = Mark::new(MarkKind::Pin, name.as_str(), time)
            .actor(long(Mark::MAX_ACTOR_BYTES))
            .note(long(Mark::MAX_NOTE_BYTES));
        store.blaming("C-64").mark(&key, Selection::All, MarkChange::Set(&mark)).await?;
        let listed = store.listed_marks(&key, id).await?;
        ensure(*listed == [mark.clone()], || {
            Failure::new("C-64", "list a mark with unusual strings")
                .expected(shown(&mark))
                .got(shown(&listed))
        })?;
        store.marks(&key, Selection::All, clear(&mark), 1, "C-64").await?;
        store.has_marks(&key, id, &[], "C-64").await?;
    }
    Ok(())
}
