//! Which artifacts of a project are being removed.

use std::sync::Arc;

use super::context::{PublicationContext, done, refused, same};
use crate::artifact::ArtifactId;
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::error::ErrorKind;
use crate::publication::{ArtifactRemoval, PublicationStore};
use crate::timestamp::Timestamp;

cases! {
    publications Publications:
    "a removal is replaced by the next revision only", ["P-60", "P-62"], ordered;
    "one of many removals with one revision is stored", ["P-60"], raced;
    "a removal can be stored again", ["P-61"], again;
    "a removal beyond a limit is refused", ["P-62"], limited;
    "projects have removals of their own", ["P-01"], apart;
}

/// What the removals of one project were replaced by, in any number.
const ROUNDS: u64 = 40;

fn removal(revision: u64, of: &[u64]) -> ArtifactRemoval {
    let id = |number: &u64| ArtifactId::of(&number.to_le_bytes());
    let until = Timestamp::from_micros(i64::MAX.saturating_sub_unsigned(revision));
    ArtifactRemoval { revision, artifacts: of.iter().map(id).collect(), until }
}

/// Replaces the removal of a project. Skips the case if the store keeps none.
async fn replace(
    id: &'static str,
    store: &dyn PublicationStore,
    project: &str,
    with: &ArtifactRemoval,
) -> Result<bool, Stop> {
    match store.replace_removal(project, with).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Err(Stop::Skipped("PublicationStore::replace_removal"))
        }
        result => done(id, "replace a removal", result),
    }
}

async fn replaced(
    id: &'static str,
    store: &dyn PublicationStore,
    with: &ArtifactRemoval,
    expected: bool,
) -> Result<(), Stop> {
    let what = format!("replace a removal by the revision {}", with.revision);
    same(id, &what, &replace(id, store, "p", with).await?, &expected)
}

async fn holds(
    id: &'static str,
    store: &dyn PublicationStore,
    project: &str,
    expected: Option<&ArtifactRemoval>,
) -> Result<(), Stop> {
    let found = done(id, "get the removal", store.removal(project).await)?;
    same(id, "get the removal", &found.as_ref(), &expected)
}

async fn ordered(case: &mut PublicationContext) -> Result<(), Stop> {
    for revision in [2, 3, 1_000] {
        replaced("P-60", &*case.node(0)?, &removal(revision, &[1]), false).await?;
        holds("P-60", &*case.node(1)?, "p", None).await?;
    }
    for round in 1..=ROUNDS {
        let artifacts: Vec<_> = (0..round % 5).collect();
        let next = removal(round, &artifacts);
        let number = usize::try_from(round).unwrap_or(0);
        replaced("P-60", &*case.node(number)?, &next, true).await?;
        for node in 0..4 {
            holds("P-62", &*case.node(node)?, "p", Some(&next)).await?;
        }
        for other in [1, round.saturating_sub(1).max(1), round, round + 2] {
            replaced("P-60", &*case.node(number + 1)?, &removal(other, &[99]), false).await?;
        }
        holds("P-60", &*case.node(number + 2)?, "p", Some(&next)).await?;
    }
    let largest: Vec<_> = (0..ArtifactRemoval::MAX_ARTIFACTS as u64).collect();
    let largest = removal(ROUNDS + 1, &largest);
    replaced("P-62", &*case.node(0)?, &largest, true).await?;
    holds("P-62", &*case.node(1)?, "p", Some(&largest)).await
}

async fn raced(case: &mut PublicationContext) -> Result<(), Stop> {
    for round in 1..=ROUNDS {
        let contender = move |task: usize| removal(round, &[task as u64]);
        let won = case
            .at_once(8, move |task, store: Arc<dyn PublicationStore>| async move {
                replace("P-60", &*store, "p", &contender(task)).await
            })
            .await?;
        let winners: Vec<_> = (0..won.len()).filter(|task| won.get(*task) == Some(&true)).collect();
        same("P-60", "how many of many removals were stored", &winners.len(), &1)?;
        let winner = winners.first().map(|task| contender(*task));
        holds("P-60", &*case.node(0)?, "p", winner.as_ref()).await?;
    }
    Ok(())
}

async fn again(case: &mut PublicationContext) -> Result<(), Stop> {
    for revision in 1..=20 {
        let next = removal(revision, &[revision]);
        for node in 0..4 {
            replaced("P-61", &*case.node(node)?, &next, true).await?;
        }
        let mut other = next.clone();
        other.until = Timestamp::from_seconds(5);
        replaced("P-61", &*case.node(0)?, &other, false).await?;
        holds("P-61", &*case.node(1)?, "p", Some(&next)).await?;
    }
    Ok(())
}

async fn limited(case: &mut PublicationContext) -> Result<(), Stop> {
    let kept = removal(1, &[1]);
    replaced("P-62", &*case.node(0)?, &kept, true).await?;
    let too_many: Vec<_> = (0..=ArtifactRemoval::MAX_ARTIFACTS as u64).collect();
    for wrong in [removal(0, &[1]), removal(u64::MAX, &[1]), removal(2, &too_many)] {
        refused("P-62", "store a wrong removal", case.node(1)?.replace_removal("p", &wrong).await)?;
        holds("P-62", &*case.node(2)?, "p", Some(&kept)).await?;
    }
    Ok(())
}

async fn apart(case: &mut PublicationContext) -> Result<(), Stop> {
    let projects = ["p", "P", "", "p/", "\0", "p\u{e9}", "pe\u{301}", "q"];
    for (number, project) in (1..).zip(projects) {
        let own = removal(1, &[number]);
        let stored = replace("P-01", &*case.node(0)?, project, &own).await?;
        same("P-01", "store the first removal of a project", &stored, &true)?;
    }
    for (number, project) in (1..).zip(projects) {
        let own = removal(1, &[number]);
        holds("P-01", &*case.node(1)?, project, Some(&own)).await?;
    }
    let none = case.new_one()?;
    holds("P-01", &*case.node(1)?, &format!("{}-none", none.project), None).await
}
