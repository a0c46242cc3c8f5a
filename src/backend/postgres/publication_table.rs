//! The migration that adds publications and what is being removed. It does not depend on features, so that the number of a
//! migration means the same in every build.

use super::names::Names;

/// Adds the tables of publications and of the artifacts that are being removed. Their column `tenant`
/// is the project, which is what row-level security goes by.
///
/// A collection can be as long as an entry of an index, so the index has its hash. A statement
/// compares both.
pub(super) fn up(names: &Names) -> String {
    let Names { publications, by_request, removals, .. } = names;
    format!(
        r#"CREATE TABLE {publications} (
             tenant text COLLATE "C" NOT NULL,
             id uuid NOT NULL,
             revision bigint NOT NULL,
             status text NOT NULL CHECK (status IN ('generating', 'completed', 'failed')),
             failure text CHECK ((failure IS NOT NULL) = (status = 'failed')),
             collection text COLLATE "C",
             title text,
             author text,
             description text,
             tags text[] COLLATE "C" NOT NULL DEFAULT '{{}}',
             repo_owner text,
             repo_name text,
             commit_sha text,
             branch text,
             pull_request bigint,
             run_id text,
             run_url text,
             parts jsonb NOT NULL DEFAULT '{{}}',
             request_key bytea CHECK (length(request_key) = 32),
             created_by text NOT NULL,
             created_at bigint NOT NULL,
             expires_at bigint NOT NULL,
             ended_at bigint CHECK ((ended_at IS NULL) = (status = 'generating')),
             PRIMARY KEY (tenant, id)
           );
           CREATE UNIQUE INDEX {by_request} ON {publications} (tenant, request_key)
             WHERE request_key IS NOT NULL AND status <> 'failed';
           CREATE INDEX ON {publications} (tenant, id) WHERE status = 'completed';
           CREATE INDEX ON {publications} (tenant, hashtextextended(collection, 0), id)
             WHERE collection IS NOT NULL;
           CREATE INDEX ON {publications} USING gin (tags);
           CREATE INDEX ON {publications} (expires_at, tenant, id) WHERE status = 'generating';
           COMMENT ON TABLE {publications} IS
             'Artifacts that are published together. Times are microseconds since 1970, UTC.';
           COMMENT ON COLUMN {publications}.tenant IS 'the project';
           COMMENT ON COLUMN {publications}.revision IS 'how often it was changed, from 1 on';
           COMMENT ON COLUMN {publications}.parts IS
             'name: {{size, sha256, type: declared; stored: {{size, sha256, type}}}}';
           COMMENT ON COLUMN {publications}.request_key IS
             'unique in the tenant, except for failed ones';
           CREATE TABLE {removals} (
             tenant text COLLATE "C" PRIMARY KEY,
             revision bigint NOT NULL,
             artifacts bytea NOT NULL CHECK (length(artifacts) % 32 = 0),
             until bigint NOT NULL
           );
           COMMENT ON TABLE {removals} IS
             'Artifacts that are being removed: their SHA-256, 32 bytes each.';"#
    )
}

pub(super) fn down(names: &Names) -> String {
    format!("DROP TABLE {}, {};", names.publications, names.removals)
}
