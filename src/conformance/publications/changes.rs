//! Publications are created, replaced and deleted.

use super::context::{
    FAILED, PublicationContext, all_of, done, ended, filled, found, holds, next, refused, replaced,
    same, stored, walk,
};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::error::ErrorKind;
use crate::publication::{Publication, PublicationCreated, PublicationStatus, PublicationStore};
use crate::timestamp::Timestamp;

cases! {
    publications Publications:
    "what is stored is found by every node as it was stored", ["P-03", "P-12"], kept;
    "one publication with an id is stored", ["P-10"], one_id;
    "a request key finds the first publication until that has failed", ["P-11"], one_key;
    "a new publication has the revision 1", ["P-13"], first;
    "a publication is replaced by the next revision only", ["P-20"], ordered;
    "what has ended is not replaced", ["P-20"], over;
    "a replacement can be repeated", ["P-21"], again;
    "what never changes cannot be replaced", ["P-22"], fixed;
    "a deleted publication is gone and its request key is free", ["P-50"], gone;
    "a replacement does not bring a deleted publication back", ["P-51"], stale;
}

async fn kept(case: &mut PublicationContext) -> Result<(), Stop> {
    let plain = case.new_one()?;
    let mut full = filled(case.new_one()?);
    full.request_key = Some(case.request_key());
    let mut odd = case.new_one()?;
    odd.project = String::new();
    (odd.created_at, odd.expires_at) = (Timestamp::MIN, Timestamp::MAX);
    for (number, new) in [plain, full, odd].iter().enumerate() {
        stored("P-10", &*case.node(number)?, new).await?;
        for node in 0..4 {
            let store = case.node(node)?;
            let id = if found(&*store, new).await?.is_some() { "P-12" } else { "P-03" };
            holds(id, &*store, new).await?;
        }
        let mut newer = next(new, "newer");
        replaced(&*case.node(number + 1)?, &newer).await?;
        holds("P-03", &*case.node(number)?, &newer).await?;
        newer = filled(next(&newer, "newest"));
        newer.parts.remove("index.html");
        replaced(&*case.node(number)?, &newer).await?;
        holds("P-12", &*case.node(number + 1)?, &newer).await?;
    }
    let other = case.new_one()?;
    same("P-12", "get what is not stored", &found(&*case.node(0)?, &other).await?, &None)
}

/// Fails unless another publication is told that this one exists.
async fn told(
    id: &'static str,
    store: &dyn PublicationStore,
    new: &Publication,
    existing: &Publication,
) -> Result<(), Stop> {
    let created = done(id, "create a publication again", store.create(new).await)?;
    let expected = PublicationCreated::Existing(existing.clone().into());
    same(id, "create a publication again", &created, &expected)
}

async fn one_id(case: &mut PublicationContext) -> Result<(), Stop> {
    for key in [None, Some(case.request_key())] {
        let mut new = case.new_one()?;
        new.request_key = key;
        stored("P-10", &*case.node(0)?, &new).await?;
        let mut others = vec![new.clone(), new.clone()];
        if let Some(other) = others.last_mut() {
            other.created_by = "another".into();
            other.request_key = Some(case.request_key());
        }
        for other in &others {
            told("P-10", &*case.node(1)?, other, &new).await?;
        }
        let newer = next(&new, "newer");
        replaced(&*case.node(2)?, &newer).await?;
        told("P-10", &*case.node(0)?, &new, &newer).await?;
        holds("P-10", &*case.node(1)?, &newer).await?;
        // The key of the one that was not stored is free.
        let mut free = case.new_one()?;
        free.request_key = others.last().and_then(|other| other.request_key);
        stored("P-11", &*case.node(3)?, &free).await?;
    }
    Ok(())
}

async fn one_key(case: &mut PublicationContext) -> Result<(), Stop> {
    let key = Some(case.request_key());
    let mut holder = case.new_one()?;
    holder.request_key = key;
    stored("P-11", &*case.node(0)?, &holder).await?;
    for round in 0..3 {
        let mut other = case.new_one()?;
        other.request_key = key;
        told("P-11", &*case.node(1)?, &other, &holder).await?;
        same("P-11", "get what was not stored", &found(&*case.node(2)?, &other).await?, &None)?;
        let failed = ended(&holder, FAILED);
        replaced(&*case.node(round)?, &failed).await?;
        stored("P-11", &*case.node(2)?, &other).await?;
        holds("P-11", &*case.node(3)?, &failed).await?;
        // The first one has not got its key back.
        holder = other;
    }
    let complete = ended(&holder, PublicationStatus::Completed);
    replaced(&*case.node(0)?, &complete).await?;
    let mut other = case.new_one()?;
    other.request_key = key;
    told("P-11", &*case.node(1)?, &other, &complete).await?;
    // Without a key, or with another one, nothing is shared.
    for key in [None, None, Some(case.request_key())] {
        let mut other = case.new_one()?;
        other.request_key = key;
        stored("P-11", &*case.node(0)?, &other).await?;
    }
    Ok(())
}

async fn first(case: &mut PublicationContext) -> Result<(), Stop> {
    for revision in [2, u64::MAX] {
        let mut new = case.new_one()?;
        new.revision = revision;
        refused("P-13", "create a late revision", case.node(0)?.create(&new).await)?;
        same("P-13", "get what was refused", &found(&*case.node(1)?, &new).await?, &None)?;
    }
    Ok(())
}

async fn ignored(store: &dyn PublicationStore, other: &Publication) -> Result<(), Stop> {
    let replaced = done("P-20", "replace a publication", store.replace(other).await)?;
    same("P-20", "replace a publication by another revision", &replaced, &false)
}

async fn ordered(case: &mut PublicationContext) -> Result<(), Stop> {
    let missing = case.new_one()?;
    ignored(&*case.node(0)?, &next(&missing, "missing")).await?;
    same("P-20", "get what is missing", &found(&*case.node(0)?, &missing).await?, &None)?;
    let new = case.new_one()?;
    stored("P-10", &*case.node(0)?, &new).await?;
    let mut now = new.clone();
    for round in 1..5 {
        for revision in [1, 2, 3, 4, 5, 6, 7, 1_000] {
            if revision == now.revision + 1 {
                continue;
            }
            let mut other = next(&now, "another");
            other.revision = revision;
            ignored(&*case.node(round)?, &other).await?;
        }
        let newer = next(&now, &format!("round {round}"));
        replaced(&*case.node(round + 1)?, &newer).await?;
        holds("P-20", &*case.node(round)?, &newer).await?;
        now = newer;
    }
    Ok(())
}

async fn over(case: &mut PublicationContext) -> Result<(), Stop> {
    for status in [FAILED, PublicationStatus::Completed] {
        let new = case.new_one()?;
        stored("P-10", &*case.node(0)?, &new).await?;
        let end = ended(&new, status);
        replaced(&*case.node(1)?, &end).await?;
        let mut reopened = next(&new, "again");
        reopened.revision = 3;
        ignored(&*case.node(2)?, &reopened).await?;
        ignored(&*case.node(2)?, &next(&end, "changed")).await?;
        holds("P-20", &*case.node(3)?, &end).await?;
    }
    Ok(())
}

async fn again(case: &mut PublicationContext) -> Result<(), Stop> {
    let new = case.new_one()?;
    stored("P-10", &*case.node(0)?, &new).await?;
    let newer = next(&new, "newer");
    let end = ended(&newer, PublicationStatus::Completed);
    for next in [&newer, &end] {
        replaced(&*case.node(0)?, next).await?;
        for node in 0..4 {
            let repeated = done("P-21", "replace again", case.node(node)?.replace(next).await)?;
            same("P-21", "replace again", &repeated, &true)?;
        }
        holds("P-21", &*case.node(1)?, next).await?;
    }
    Ok(())
}

async fn fixed(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut new = case.new_one()?;
    new.request_key = Some(case.request_key());
    stored("P-10", &*case.node(0)?, &new).await?;
    let changes: [fn(&mut Publication); 5] = [
        |it| it.request_key = None,
        |it| it.request_key = Some([1; 32]),
        |it| it.created_by.push('x'),
        |it| it.created_at = Timestamp::from_seconds(5),
        |it| it.expires_at = Timestamp::MAX,
    ];
    for change in changes {
        let mut other = next(&new, "changed");
        change(&mut other);
        refused("P-22", "change what never changes", case.node(1)?.replace(&other).await)?;
        holds("P-22", &*case.node(2)?, &new).await?;
    }
    Ok(())
}

async fn unseen(
    id: &'static str,
    store: &dyn PublicationStore,
    of: &Publication,
) -> Result<(), Stop> {
    same(id, "get a deleted publication", &found(store, of).await?, &None)?;
    let listed = walk(store, all_of(&of.project)).await?.iter().any(|it| it.id == of.id);
    same(id, "list a deleted publication", &listed, &false)?;
    let expired = done("P-40", "find the expired", store.expired(Timestamp::MAX, 1_000).await)?;
    let expired = expired.iter().any(|it| it.id == of.id);
    same(id, "find a deleted publication that would expire", &expired, &false)
}

async fn gone(case: &mut PublicationContext) -> Result<(), Stop> {
    let other = case.new_one()?;
    stored("P-10", &*case.node(0)?, &other).await?;
    for status in [None, Some(FAILED), Some(PublicationStatus::Completed)] {
        let mut new = case.new_one()?;
        new.request_key = Some(case.request_key());
        stored("P-11", &*case.node(0)?, &new).await?;
        let mut now = new.clone();
        for round in 0..3 {
            now = next(&now, &format!("round {round}"));
            replaced(&*case.node(round)?, &now).await?;
        }
        if let Some(status) = status {
            replaced(&*case.node(1)?, &ended(&now, status)).await?;
        }
        for node in 0..3 {
            let deleted = case.node(node)?.delete("p", new.id).await;
            done("P-50", "delete a publication", deleted)?;
            unseen("P-50", &*case.node(node + 1)?, &new).await?;
        }
        let mut free = case.new_one()?;
        free.request_key = new.request_key;
        stored("P-50", &*case.node(2)?, &free).await?;
        holds("P-50", &*case.node(1)?, &other).await?;
    }
    let missing = case.new_one()?;
    done("P-50", "delete what is missing", case.node(0)?.delete("p", missing.id).await)
}

async fn stale(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut new = case.new_one()?;
    new.request_key = Some(case.request_key());
    stored("P-11", &*case.node(0)?, &new).await?;
    let second = next(&new, "second");
    replaced(&*case.node(0)?, &second).await?;
    done("P-50", "delete a publication", case.node(1)?.delete("p", new.id).await)?;
    for late in [second.clone(), next(&second, "third"), ended(&second, FAILED)] {
        let replaced =
            done("P-51", "replace what was deleted", case.node(2)?.replace(&late).await)?;
        same("P-51", "replace what was deleted", &replaced, &false)?;
        unseen("P-51", &*case.node(3)?, &new).await?;
    }
    // A store may take the id again. If not, it says so.
    let mut again = new.clone();
    again.request_key = None;
    match case.node(0)?.create(&again).await {
        Ok(created) => same("P-51", "create it again", &created, &PublicationCreated::New),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            unseen("P-51", &*case.node(1)?, &new).await
        }
        Err(error) => done("P-51", "create what was deleted again", Err(error)),
    }
}
