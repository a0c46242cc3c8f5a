//! Many tasks at once, and calls that are dropped.

use std::sync::Arc;

use super::context::{
    FAILED, PublicationContext, all_of, done, ended, found, holds, next, replaced, same, stored,
    walk,
};
use crate::conformance::case::cases;
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::Stop;
use crate::error::ErrorKind;
use crate::publication::{Publication, PublicationCreated, PublicationStore};
use crate::timestamp::Timestamp;

cases! {
    publications Concurrent:
    "one of many creators gets a request key", ["P-11"], creators;
    "one of many creators gets the key of what has failed", ["P-11"], successors;
    "one of many creators gets an id", ["P-10"], namesakes;
    "one of many replacements is made", ["P-20"], writers;
    "nothing comes back when others write while it is deleted", ["P-51"], deleters;
    "a dropped call makes its change completely or not at all", ["P-04", "P-21"], dropped;
}

/// Creates publications at the same time. Returns which of them were new.
async fn race(
    case: &PublicationContext,
    id: &'static str,
    all: Vec<Publication>,
) -> Result<Vec<Publication>, Stop> {
    let all = Arc::new(all);
    let created = case
        .at_once(all.len(), |task, store: Arc<dyn PublicationStore>| {
            let all = Arc::clone(&all);
            async move {
                let Some(new) = all.get(task) else { return Ok((None, None)) };
                match done(id, "create a publication", store.create(new).await)? {
                    PublicationCreated::New => Ok((Some(new.clone()), None)),
                    PublicationCreated::Existing(other) => Ok((None, Some(*other))),
                }
            }
        })
        .await?;
    let (new, existing): (Vec<_>, Vec<_>) = created.into_iter().unzip();
    let new: Vec<_> = new.into_iter().flatten().collect();
    for other in existing.into_iter().flatten() {
        same(id, "what exists is what was created", &new.contains(&other), &true)?;
    }
    Ok(new)
}

fn contenders(case: &mut PublicationContext, key: [u8; 32]) -> Result<Vec<Publication>, Stop> {
    let mut all = (0..16).map(|_| case.new_one()).collect::<Result<Vec<_>, _>>()?;
    for new in &mut all {
        new.request_key = Some(key);
    }
    Ok(all)
}

async fn creators(case: &mut PublicationContext) -> Result<(), Stop> {
    for round in 1..=6_usize {
        let key = case.request_key();
        let all = contenders(case, key)?;
        let new = race(case, "P-11", all).await?;
        same("P-11", "how many of many creators got a request key", &new.len(), &1)?;
        let listed = walk(&*case.node(0)?, all_of("p")).await?;
        same("P-11", "how many were stored", &listed.len(), &round)?;
    }
    Ok(())
}

async fn successors(case: &mut PublicationContext) -> Result<(), Stop> {
    let key = case.request_key();
    let mut holder = case.new_one()?;
    holder.request_key = Some(key);
    stored("P-11", &*case.node(0)?, &holder).await?;
    for round in 2..=6_usize {
        replaced(&*case.node(0)?, &ended(&holder, FAILED)).await?;
        let all = contenders(case, key)?;
        let new = race(case, "P-11", all).await?;
        same("P-11", "how many got the key of what has failed", &new.len(), &1)?;
        let listed = walk(&*case.node(0)?, all_of("p")).await?;
        same("P-11", "how many were stored", &listed.len(), &round)?;
        if let Some(new) = new.into_iter().next() {
            holder = new;
        }
    }
    Ok(())
}

async fn namesakes(case: &mut PublicationContext) -> Result<(), Stop> {
    for round in 0..6 {
        let new = case.new_one()?;
        let key = case.request_key();
        let all = (0..16).map(|task| {
            let mut new = new.clone();
            new.created_by = format!("creator {task}");
            // One key for all, or one for each.
            new.request_key = match round % 3 {
                0 => None,
                1 => Some(key),
                _ => Some(key.map(|byte| byte ^ task)),
            };
            new
        });
        let winners = race(case, "P-10", all.collect()).await?;
        same("P-10", "how many of many creators got an id", &winners.len(), &1)?;
        for winner in &winners {
            holds("P-10", &*case.node(0)?, winner).await?;
        }
    }
    Ok(())
}

async fn writers(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut now = case.new_one()?;
    stored("P-10", &*case.node(0)?, &now).await?;
    for _ in 0..6 {
        let made = case
            .at_once(12, |task, store: Arc<dyn PublicationStore>| {
                let next = next(&now, &format!("task {task}"));
                async move {
                    let made = store.replace(&next).await;
                    Ok(done("P-20", "replace a publication", made)?.then_some(next))
                }
            })
            .await?;
        let made: Vec<_> = made.into_iter().flatten().collect();
        same("P-20", "how many replacements were made", &made.len(), &1)?;
        let Some(made) = made.into_iter().next() else { continue };
        holds("P-20", &*case.node(1)?, &made).await?;
        now = made;
    }
    Ok(())
}

async fn deleters(case: &mut PublicationContext) -> Result<(), Stop> {
    for _ in 0..10 {
        let mut new = case.new_one()?;
        new.request_key = Some(case.request_key());
        stored("P-11", &*case.node(0)?, &new).await?;
        case.at_once(8, |task, store: Arc<dyn PublicationStore>| {
            let new = new.clone();
            async move {
                if task == 5 {
                    let deleted = store.delete(&new.project, new.id).await;
                    return done("P-50", "delete a publication", deleted);
                }
                let mut now = new;
                for _ in 0..5 {
                    let newer = next(&now, &format!("task {task}"));
                    done("P-20", "replace a publication", store.replace(&newer).await)?;
                    let Some(found) = found(&*store, &now).await? else { return Ok(()) };
                    now = found;
                }
                Ok(())
            }
        })
        .await?;
        let left = found(&*case.node(0)?, &new).await?;
        same("P-51", "get what was deleted meanwhile", &left, &None)?;
        let listed = walk(&*case.node(1)?, all_of("p")).await?;
        same("P-51", "list what was deleted meanwhile", &listed, &Vec::new())?;
    }
    Ok(())
}

/// Checks that what is seen in different ways agrees.
async fn agrees(case: &PublicationContext, of: &Publication) -> Result<bool, Stop> {
    let store = case.node(1)?;
    let mut there = found(&*store, of).await?;
    // A store may complete what was dropped while this looks.
    for _ in 0..100 {
        if looks_like(&*store, of, there.as_ref()).await.is_ok() {
            return Ok(there.is_some());
        }
        let now = found(&*store, of).await?;
        if now == there {
            break;
        }
        there = now;
    }
    looks_like(&*store, of, there.as_ref()).await?;
    Ok(there.is_some())
}

async fn looks_like(
    store: &dyn PublicationStore,
    of: &Publication,
    there: Option<&Publication>,
) -> Result<(), Stop> {
    let listed = walk(store, all_of("p")).await?.into_iter().find(|it| it.id == of.id);
    same("P-04", "a list and a lookup after a dropped call", &listed.as_ref(), &there)?;
    let open = done("P-40", "find the expired", store.expired(super::context::LATER, 1_000).await)?;
    let open = open.into_iter().find(|it| it.id == of.id);
    let expected = there.filter(|it| it.ended_at.is_none());
    same("P-04", "what will expire after a dropped call", &open.as_ref(), &expected)
}

async fn dropped(case: &mut PublicationContext) -> Result<(), Stop> {
    for polls in 0..20 {
        for with_key in [false, true] {
            let mut new = case.new_one()?;
            new.request_key = with_key.then(|| case.request_key());
            let store = case.node(0)?;
            let created = poll_times(store.create(&new), polls).await;
            let there = agrees(case, &new).await?;
            if created.is_some() {
                same("P-04", "create a publication", &there, &true)?;
            }
            // Whoever comes next gets one.
            let mut other = case.new_one()?;
            (other.request_key, other.created_by) = (new.request_key, "another".into());
            let holder = match done("P-04", "create the next", store.create(&other).await)? {
                PublicationCreated::New => other,
                PublicationCreated::Existing(holder) => *holder,
            };
            agrees(case, &new).await?;
            same("P-04", "the next one is stored", &agrees(case, &holder).await?, &true)?;
            if there && with_key {
                same("P-04", "the holder of the key", &holder.id, &new.id)?;
            }
            let newer = next(&holder, "newer");
            poll_times(store.replace(&newer), polls).await;
            agrees(case, &holder).await?;
            let is_made = found(&*store, &holder).await?.is_some_and(|it| it == newer);
            let id = if is_made { "P-21" } else { "P-04" };
            let again = done(id, "replace after a dropped call", store.replace(&newer).await)?;
            same(id, "replace after a dropped call", &again, &true)?;
            let end = ended(&newer, FAILED);
            poll_times(store.replace(&end), polls).await;
            agrees(case, &holder).await?;
            poll_times(store.delete("p", holder.id), polls).await;
            agrees(case, &holder).await?;
            done("P-04", "delete after a dropped call", store.delete("p", holder.id).await)?;
            same("P-04", "get what was deleted", &agrees(case, &holder).await?, &false)?;
        }
    }
    // What was begun in vain disappears in time, and nobody who is late brings it back.
    for _ in 0..2 {
        let open = case.node(0)?.expired(Timestamp::MAX, 1_000).await;
        for publication in done("P-40", "find the expired", open)? {
            replaced(&*case.node(0)?, &ended(&publication, FAILED)).await?;
        }
    }
    let left = case.node(1)?.expired(Timestamp::MAX, 1_000).await;
    same("P-40", "what is left", &done("P-40", "find the expired", left)?, &Vec::new())?;
    let new = case.new_one()?;
    match case.node(1)?.create(&new).await {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        created => {
            let created = done("P-04", "create at the end", created)?;
            same("P-04", "create at the end", &created, &PublicationCreated::New)
        }
    }
}
