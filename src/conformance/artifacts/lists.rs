//! Lists are in order and complete.

use super::context::{ArtifactContext, done, listed, now, same, stored};
use crate::artifact::ArtifactId;
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;

cases! {
    artifacts Artifacts:
    "the pages of a tenant list each of its artifacts once, in order", ["A-01", "A-40"], paged;
    "a list continues after any id", ["A-40"], anywhere;
    "an artifact that is stored throughout is listed while others come and go", ["A-40"], moving;
}

async fn paged(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let mut all = Vec::new();
    let before = now();
    for n in 0..23 {
        let content = case.content(n * 10);
        let artifact = stored(&*store, "t", &content).await?;
        all.push((artifact.id, artifact.size));
        let foreign = case.content(n + 1);
        stored(&*store, if n % 2 == 0 { "" } else { "tt" }, &foreign).await?;
    }
    all.sort_unstable();
    for limit in [0, 1, 2, 5, 22, 23, 24, 1_000, usize::MAX] {
        let found = listed(&*case.node(1)?, "t", limit).await?;
        let found_at = found.iter().map(|item| item.stored_at);
        let minute = std::time::Duration::from_secs(60);
        let span = before.saturating_sub(minute)..=now().saturating_add(minute);
        let timely = found_at.into_iter().all(|at| span.contains(&at));
        same("A-40", "the times at which artifacts were stored", &timely, &true)?;
        let found: Vec<_> = found.into_iter().map(|item| (item.id, item.size)).collect();
        same("A-40", &format!("list in pages of {limit}"), &found, &all)?;
    }
    let page = done("A-40", "list artifacts", store.list("t", None, 23).await)?;
    same("A-40", "`next` at the end of a list", &page.next, &None)
}

async fn anywhere(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let mut ids = Vec::new();
    for _ in 0..9 {
        let content = case.content(100);
        ids.push(stored(&*store, "t", &content).await?.id);
    }
    ids.sort_unstable();
    let ends = [[0; 32], [255; 32]].map(ArtifactId::from_bytes);
    let other = ArtifactId::of(b"not stored");
    for after in ids.iter().chain(&ends).chain([&other]) {
        let page = done("A-40", "list artifacts", store.list("t", Some(after), 100).await)?;
        let found: Vec<_> = page.items.iter().map(|item| item.id).collect();
        let expected: Vec<_> = ids.iter().filter(|id| *id > after).copied().collect();
        same("A-40", "list the artifacts after an id", &found, &expected)?;
        same("A-40", "`next` at the end of a list", &page.next, &None)?;
    }
    Ok(())
}

async fn moving(case: &mut ArtifactContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let (mut fixed, mut others) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let content = case.content(50);
        let artifact = stored(&*store, "t", &content).await?;
        if n % 2 == 0 { fixed.push(artifact.id) } else { others.push((artifact.id, content)) }
    }
    fixed.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.list("t", after.as_ref(), 3).await;
        let page = done("A-40", "list artifacts", page)?;
        found.extend(page.items.into_iter().map(|item| item.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        // Also the artifact with which the page ended.
        if let Some((id, _)) = others.pop() {
            done("A-30", "delete an artifact", store.delete("t", &id).await)?;
        }
        let added = case.content(60);
        stored(&*store, "t", &added).await?;
    }
    let in_order = found.is_sorted();
    same("A-40", "the order of a list that changes", &in_order, &true)?;
    found.retain(|id| fixed.contains(id));
    same("A-40", "the artifacts that stay, in a list that changes", &found, &fixed)
}
