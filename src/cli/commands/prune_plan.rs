//! [`plan_without_code`]: a retention plan for an aggregate whose code is not here.

use std::collections::BTreeSet;

use super::check_aggregate::is_sound;
use crate::error::Error;
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionContext, RetentionPlan};
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;

/// Plans for all `metas` of one aggregate, highest version first.
///
/// Which generation is the current one is unknown, so none is superseded. Whether a state can be
/// decoded is unknown too. Therefore the newest undamaged snapshot of each generation counts as
/// usable, and a generation without one keeps everything. If the events below `floor` are gone, the
/// lowest undamaged snapshot at or above it is kept as well.
pub(super) async fn plan_without_code(
    store: &dyn SnapshotStore,
    metas: &[SnapshotMeta],
    policy: &dyn Retention,
    now: Timestamp,
    floor: Option<u64>,
) -> Result<RetentionPlan, Error> {
    let mut context = RetentionContext::new(now);
    let draft = RetentionPlan::new(metas, policy, &context);
    let touched: BTreeSet<_> = draft.dropped().map(|judged| judged.id.generation).collect();
    for generation in touched {
        let own: Vec<_> = metas.iter().filter(|meta| meta.generation == generation).collect();
        let candidates = || own.iter().copied().filter(|meta| !meta.is_retired());
        match first_sound(store, candidates()).await? {
            Some(newest) => context = context.usable(newest.id()),
            None => {
                for meta in &own {
                    let reason = "no snapshot of its generation was found undamaged";
                    context = context.protect(meta.id(), reason);
                }
            }
        }
        let Some(floor) = floor else { continue };
        let above = candidates().rev().filter(|meta| meta.version >= floor);
        if let Some(lowest) = first_sound(store, above).await? {
            let reason = "the lowest undamaged one at or above the replay floor";
            context = context.protect(lowest.id(), reason);
        }
    }
    Ok(RetentionPlan::new(metas, policy, &context))
}

async fn first_sound<'m>(
    store: &dyn SnapshotStore,
    candidates: impl Iterator<Item = &'m SnapshotMeta> + Send,
) -> Result<Option<&'m SnapshotMeta>, Error> {
    for meta in candidates {
        if is_sound(store, meta).await? {
            return Ok(Some(meta));
        }
    }
    Ok(None)
}
