//! The migration that adds views for people and for reporting tools.

use super::names::{Names, literal, not_reserved};
use crate::codec::CodecId;

/// How many characters of an actor are indexed. With the longest tenant, an index entry of a longer
/// text would not fit in a page, and the entry could not be stored.
const ACTOR_CHARACTERS: usize = 48;

/// Returns microseconds since 1970 as `timestamptz`: `-infinity` if it cannot hold the time.
pub(super) fn instant(micros: &str) -> String {
    format!(
        "CASE WHEN {micros} < -210866803200000000 THEN '-infinity'::timestamptz \
         ELSE to_timestamp(0) + {micros} / 1000000 * interval '1 second' \
           + {micros} % 1000000 * interval '1 microsecond' END"
    )
}

/// Returns a field of all marks in a column, in the order of their names, as one text.
fn of_marks(column: &str, field: &str) -> String {
    format!(
        "(SELECT string_agg(m.value ->> '{field}', ', ' ORDER BY m.key) \
         FROM jsonb_each({column}) AS m)"
    )
}

/// The name of the codec in the column `codec`.
fn codec_name() -> String {
    let known = [CodecId::POSTCARD, CodecId::MSGPACK, CodecId::JSON, CodecId::BINCODE];
    let names = known.map(|codec| format!("WHEN {} THEN '{codec}'", codec.as_u16())).join(" ");
    format!(
        "CASE codec {names} ELSE CASE WHEN codec >= 32768 \
         THEN 'custom codec ' || codec - 32768 ELSE 'codec ' || codec END END"
    )
}

/// Tells from a header whether its payload is the encoded state: not compressed, sealed or a delta.
/// It walks through the header (`docs/format.md`). It is false if the header is damaged, so that no
/// row makes a query fail.
const IS_PLAIN: &str = "
DECLARE
  place int := 28;
  byte int;
  shift int;
  length int;
  key_length int := 0;
BEGIN
  IF get_byte(header, 3) <> 1 THEN RETURN false; END IF;
  -- The lengths of the header, the tenant, the kind and the id.
  FOR part IN 1..4 LOOP
    length := 0;
    shift := 0;
    LOOP
      byte := get_byte(header, place);
      place := place + 1;
      length := length | ((byte & 127) << shift);
      shift := shift + 7;
      EXIT WHEN byte < 128 OR shift > 21;
    END LOOP;
    IF part > 1 THEN key_length := key_length + length; END IF;
  END LOOP;
  place := place + key_length;
  IF get_byte(header, place + 1) <> 0 THEN RETURN false; END IF;
  place := place + CASE WHEN get_byte(header, place) < 16 THEN 4 ELSE 20 END;
  -- Schema version, version, creation time, payload length.
  FOR part IN 1..4 LOOP
    WHILE get_byte(header, place) > 127 LOOP place := place + 1; END LOOP;
    place := place + 1;
  END LOOP;
  -- The extensions. A tag from 128 on changes the meaning of the payload.
  WHILE place < octet_length(header) LOOP
    IF get_byte(header, place) > 127 THEN RETURN false; END IF;
    place := place + 3 + get_byte(header, place + 1) + 256 * get_byte(header, place + 2);
  END LOOP;
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END";

/// Parses JSON; NULL if it is invalid, or nothing that `jsonb` can hold (U+0000, deep nesting).
const TO_JSON: &str = "
BEGIN
  RETURN convert_from(json, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END";

pub(super) fn up(names: &Names) -> String {
    let Names { is_plain, to_json, audit, by_actor, by_at, .. } = names;
    let (is_plain_body, to_json_body) = (literal(IS_PLAIN), literal(TO_JSON));
    format!(
        "CREATE FUNCTION {is_plain}(header bytea) RETURNS boolean
           LANGUAGE plpgsql IMMUTABLE STRICT AS {is_plain_body};
         CREATE FUNCTION {to_json}(json bytea) RETURNS jsonb
           LANGUAGE plpgsql IMMUTABLE STRICT AS {to_json_body};
         {}
         {}
         CREATE INDEX {by_actor} ON {audit} (tenant, left(actor, {ACTOR_CHARACTERS}), at);
         CREATE INDEX {by_at} ON {audit} (tenant, at);",
        snapshots_view(names),
        audit_view(names, None),
    )
}

fn snapshots_view(names: &Names) -> String {
    let Names { snapshots, view, is_plain, to_json, .. } = names;
    let [as_of, created_at, replaced_at] = ["as_of", "created_at", "replaced_at"].map(instant);
    let retired_at = instant("(m.value ->> 'at')::bigint");
    let [pinned_by, pin_reasons, retired_by, retirement_reasons] =
        [("pins", "actor"), ("pins", "note"), ("retirements", "actor"), ("retirements", "note")]
            .map(|(column, field)| of_marks(column, field));
    let (codec, json) = (codec_name(), CodecId::JSON.as_u16());
    let not_reserved = not_reserved("kind");
    format!(
        "CREATE VIEW {view} WITH (security_invoker = true) AS SELECT
           tenant, kind, id, version, schema_version,
           lpad(to_hex(fingerprint # '-9223372036854775808'::bigint), 16, '0') AS fingerprint,
           {as_of} AS as_of,
           {created_at} AS created_at,
           CASE WHEN retirements IS NULL THEN 'active' ELSE 'retired' END AS status,
           pins IS NOT NULL AS pinned,
           {pinned_by} AS pinned_by,
           {pin_reasons} AS pin_reasons,
           retirements IS NOT NULL AS retired,
           {retired_by} AS retired_by,
           {retirement_reasons} AS retirement_reasons,
           (SELECT min({retired_at}) FROM jsonb_each(retirements) AS m) AS retired_at,
           {codec} AS codec,
           base AS base_version,
           octet_length(header) AS header_bytes,
           octet_length(payload) AS payload_bytes,
           raw_bytes,
           replacements,
           {replaced_at} AS replaced_at,
           pins, retirements,
           CASE WHEN codec = {json} AND base IS NULL AND {is_plain}(header)
             THEN {to_json}(payload) END AS state
         FROM {snapshots} WHERE {not_reserved};
         COMMENT ON VIEW {view} IS
           'Snapshots to read. Nothing is verified: use snapfold where it matters.';"
    )
}

/// Creates or replaces the view of the audit trails, with the entries of `unsealed`.
pub(super) fn audit_view(names: &Names, unsealed: Option<&String>) -> String {
    let Names { audit, audit_view, to_json, .. } = names;
    let at = instant("at");
    let select = |sequence: &str, table: &str| {
        format!(
            "SELECT tenant, {sequence} AS sequence, {at} AS at, actor, action, kind, id, version, \
               reason, meta, {to_json}(convert_to(meta, 'UTF8')) AS meta_json, idempotency, \
               coalesce(failed, 'ok') AS outcome, failure FROM {table}"
        )
    };
    let sealed = select("sequence", audit);
    let unsealed = unsealed
        .map_or_else(String::new, |table| format!("UNION ALL {}", select("NULL::bigint", table)));
    format!(
        "CREATE OR REPLACE VIEW {audit_view} WITH (security_invoker = true) AS
           {sealed} {unsealed};
         COMMENT ON VIEW {audit_view} IS
           'Audit trails to read. The hash chain is not verified: use snapfold for that.';"
    )
}

pub(super) fn down(names: &Names) -> String {
    let Names { schema, view, audit_view, is_plain, to_json, by_actor, by_at, .. } = names;
    format!(
        "DROP VIEW {view}, {audit_view};
         DROP FUNCTION {is_plain}(bytea); DROP FUNCTION {to_json}(bytea);
         DROP INDEX {schema}.{by_actor}, {schema}.{by_at};"
    )
}
