//! Lies about whose snapshots these are: keys that fall together.

use snapfold::AggregateKey;
use snapfold::store::{ListRequest, Query};

use super::mutant::{Answer, Metas, Mutant};
use super::truth::Truth;

mutants! {
    ignores_the_tenant_of_a_key: NoTenant breaks "C-01";
    joins_kind_and_id_without_a_separator: Joined breaks "C-01";
    joins_the_parts_with_a_slash: JoinedBySlash breaks "C-01";
    trims_ids: Trims breaks "C-01";
    folds_the_case_of_ids: FoldsCase breaks "C-01";
    ends_ids_at_a_nul: EndsAtNul breaks "C-01";
    cuts_long_ids: CutsLong breaks "C-01";
    takes_an_id_for_a_path: Path breaks "C-01";
    answers_for_a_key_that_is_a_prefix: PrefixGet breaks "C-01";
    lists_with_a_pattern: LikePattern breaks "C-01";
}

fn with_id(key: &AggregateKey, id: &str) -> AggregateKey {
    AggregateKey::from_stored(key.tenant(), key.kind(), id).unwrap()
}

#[derive(Default)]
struct NoTenant;

impl Mutant for NoTenant {
    fn place(key: &AggregateKey) -> AggregateKey {
        AggregateKey::from_stored("", key.kind(), key.id()).unwrap()
    }
}

#[derive(Default)]
struct Joined;

impl Mutant for Joined {
    fn place(key: &AggregateKey) -> AggregateKey {
        joined(key, "")
    }
}

#[derive(Default)]
struct JoinedBySlash;

impl Mutant for JoinedBySlash {
    fn place(key: &AggregateKey) -> AggregateKey {
        joined(key, "/")
    }
}

fn joined(key: &AggregateKey, separator: &str) -> AggregateKey {
    let text = [key.kind(), key.id()].join(separator);
    // No part is long enough for the longest keys; they are never put.
    let text: String = text.chars().take(16_000).collect();
    AggregateKey::from_stored(key.tenant(), "", &text).unwrap()
}

#[derive(Default)]
struct Trims;

impl Mutant for Trims {
    fn place(key: &AggregateKey) -> AggregateKey {
        with_id(key, key.id().trim())
    }
}

#[derive(Default)]
struct FoldsCase;

impl Mutant for FoldsCase {
    fn place(key: &AggregateKey) -> AggregateKey {
        with_id(key, &key.id().to_ascii_lowercase())
    }
}

#[derive(Default)]
struct EndsAtNul;

impl Mutant for EndsAtNul {
    fn place(key: &AggregateKey) -> AggregateKey {
        with_id(key, key.id().split('\0').next().unwrap())
    }
}

/// A column of 255 characters.
#[derive(Default)]
struct CutsLong;

impl Mutant for CutsLong {
    fn place(key: &AggregateKey) -> AggregateKey {
        with_id(key, &key.id().chars().take(255).collect::<String>())
    }
}

/// A path that is made simple.
#[derive(Default)]
struct Path;

impl Mutant for Path {
    fn place(key: &AggregateKey) -> AggregateKey {
        let parts = key.id().split('/').filter(|part| !matches!(*part, "" | "."));
        let mut path = Vec::new();
        for part in parts {
            if part == ".." {
                path.pop();
            } else {
                path.push(part);
            }
        }
        with_id(key, &path.join("/"))
    }
}

/// Asks an ordered index for the first entry that begins with the key.
#[derive(Default)]
struct PrefixGet;

impl Mutant for PrefixGet {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let longer = {
            let disk = truth.disk();
            let mut keys = disk.written.range(query.key.clone()..).map(|(key, _)| key.clone());
            keys.next()
        };
        let longer = longer.filter(|longer| {
            longer.tenant() == query.key.tenant()
                && longer.kind() == query.key.kind()
                && longer.id().starts_with(query.key.id())
        });
        let mut asked = query;
        asked.key = longer.as_ref().unwrap_or(query.key);
        Ok(truth.get(asked))
    }
}

/// `%` and `_` of an id mean what they mean in a pattern, where nothing is stored under it.
#[derive(Default)]
struct LikePattern;

impl Mutant for LikePattern {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let like = {
            let disk = truth.disk();
            let mut keys = disk.written.keys();
            keys.find(|key| *key != request.key && matches(request.key, key)).cloned()
        };
        match like.filter(|_| truth.rows(request.key).is_none()) {
            Some(like) => {
                let mut of_another = request;
                of_another.key = &like;
                Ok(truth.list(of_another))
            }
            None => Ok(truth.list(request)),
        }
    }
}

fn matches(pattern: &AggregateKey, key: &AggregateKey) -> bool {
    let same = pattern.id().len() == key.id().len();
    let chars = || pattern.id().chars().zip(key.id().chars());
    pattern.tenant() == key.tenant()
        && pattern.kind() == key.kind()
        && (pattern.id() == "%" || same && chars().all(|(p, c)| p == '_' || p == c))
}
