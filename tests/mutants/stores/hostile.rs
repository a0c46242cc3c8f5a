//! Lies about what a store can bear: odd ids, odd numbers, foreign bytes.

use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{KeysRequest, ListRequest, Lookup, PutOptions, Query, Selection};
use snapfold::{AggregateKey, Error, ErrorKind};

use super::mutant::{Answer, Erased, Keys, Metas, Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    panics_on_a_strange_id: PanicsOnNul breaks "C-03";
    panics_between_two_bytes_of_a_character: CutsCharacters breaks "C-03";
    hangs_on_an_empty_put: HangsOnNothing breaks "C-03";
    reserves_what_the_limit_says: ReservesTheLimit breaks "C-03";
    counts_down_from_version_0: CountsBack breaks "C-03";
    trusts_the_payloads_that_are_stored: TrustsBytes breaks "C-03";
    trusts_the_headers_that_are_stored: TrustsHeaders breaks "C-03";
    fails_to_list_what_it_cannot_read: FailsOnHeaders breaks "C-33";
    trusts_a_cursor_of_nobody: TrustsCursors breaks "C-03";
    refuses_ids_that_make_no_file_name: RefusesIds breaks "C-15";
}

#[derive(Default)]
struct PanicsOnNul;

impl Mutant for PanicsOnNul {
    fn place(key: &AggregateKey) -> AggregateKey {
        assert!(!key.id().contains('\0'), "a name with a NUL");
        key.clone()
    }
}

/// Shards by the first two bytes of the id.
#[derive(Default)]
struct CutsCharacters;

impl Mutant for CutsCharacters {
    fn place(key: &AggregateKey) -> AggregateKey {
        let _shard = &key.id()[..key.id().len().min(2)];
        key.clone()
    }
}

#[derive(Default)]
struct HangsOnNothing;

impl Mutant for HangsOnNothing {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        if records.is_empty() {
            // The writer wakes whoever waits when it has written something.
            std::future::pending::<()>().await;
        }
        truth.put(records, options)
    }
}

#[derive(Default)]
struct ReservesTheLimit;

impl Mutant for ReservesTheLimit {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        reserve::<SnapshotMeta>(request.limit);
        Ok(truth.list(request))
    }

    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        reserve::<AggregateKey>(request.limit);
        truth.keys(request)
    }
}

/// `Vec::with_capacity`, where memory ends at 1 GiB and the process would.
fn reserve<T>(items: usize) {
    let bytes = items.saturating_mul(size_of::<T>());
    assert!(bytes <= 1 << 30, "memory allocation of {bytes} bytes failed");
}

/// Turns an exclusive bound into an inclusive one.
#[derive(Default)]
struct CountsBack;

impl Mutant for CountsBack {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        if let Selection::Below(version) = selection {
            let _last = version.checked_sub(1).expect("attempt to subtract with overflow");
        }
        Ok(truth.delete(key, selection))
    }
}

#[derive(Default)]
struct TrustsBytes;

impl Mutant for TrustsBytes {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let answer = truth.get(query);
        if let Lookup::Found(found) = &answer {
            found.record.verify().expect("the store wrote it");
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct TrustsHeaders;

impl Mutant for TrustsHeaders {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        for row in truth.rows(request.key).into_iter().flat_map(|rows| rows.by_id.into_values()) {
            row.record.header().expect("the store wrote it");
        }
        Ok(truth.list(request))
    }
}

#[derive(Default)]
struct FailsOnHeaders;

impl Mutant for FailsOnHeaders {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let damaged = |_| Error::new(ErrorKind::CorruptStore, "list", "a header is damaged");
        for row in truth.rows(request.key).into_iter().flat_map(|rows| rows.by_id.into_values()) {
            row.record.header().map_err(damaged)?;
        }
        Ok(truth.list(request))
    }
}

#[derive(Default)]
struct TrustsCursors;

impl Mutant for TrustsCursors {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        if let Some(cursor) = request.after {
            let bytes = cursor.as_bytes();
            let tenant = u16::from_le_bytes([bytes[0], bytes[1]]);
            let _tenant = &bytes[4..4 + usize::from(tenant)];
        }
        truth.keys(request)
    }
}

/// As a store does whose file names are the ids.
#[derive(Default)]
struct RefusesIds;

impl Mutant for RefusesIds {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
        if records.iter().any(|record| record.header().unwrap().id.contains(odd)) {
            return Err(Error::new(ErrorKind::InvalidInput, "put", "no name for a file"));
        }
        truth.put(records, options)
    }
}
