//! API keys in a table of the application, as the guide to states over HTTP shows.

use std::sync::Arc;

use http::Request;
use snapfold::service::http::{ApiKey, ApiKeyStore, Authenticator as _, Permission, Scope};
use snapfold::{BoxError, Timestamp};
use sqlx::PgPool;

use crate::support::TestDb;

#[derive(Debug)]
struct KeyTable {
    pool: PgPool,
    sql: String,
}

#[async_trait::async_trait]
impl ApiKeyStore for KeyTable {
    async fn find(&self, id: &str) -> Result<Option<Arc<ApiKey>>, BoxError> {
        let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(self.sql.clone()));
        let Some(json) = query.bind(id).fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(Some(Arc::new(serde_json::from_str(&json)?)))
    }
}

#[tokio::test]
async fn keys_in_a_table_admit_until_they_expire_or_are_deleted() {
    let db = TestDb::new().await;
    let table = format!("\"{}\".api_key", db.schema);
    db.run(&format!("CREATE TABLE {table} (id text PRIMARY KEY, key text NOT NULL)")).await;
    let scope = Scope::new([Permission::Read]).tenants(["north"]);
    let mut rows = Vec::new();
    for (name, end) in [("it's valid", Timestamp::MAX), ("expired", Timestamp::from_seconds(0))] {
        let (key, secret) = ApiKey::generate(name, [scope.clone()]).unwrap();
        let key = key.expires_at(end);
        let json = serde_json::to_string(&key).unwrap().replace('\'', "''");
        db.run(&format!("INSERT INTO {table} VALUES ('{}', '{json}')", key.id)).await;
        rows.push((key, secret));
    }
    let sql = format!("SELECT key FROM {table} WHERE id = $1");
    let keys = KeyTable { pool: db.pool.clone(), sql };
    let ask = async |secret: &str| {
        let request = Request::builder().header("authorization", format!("Bearer {secret}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let known = keys.authenticate(&parts).await.map_err(drop)?;
        Ok::<_, ()>(known.map(|principal| (principal.name, principal.scopes)))
    };
    let [(valid, secret), (_, expired)] = &rows[..] else { panic!("two rows") };
    assert_eq!(ask(secret).await, Ok(Some((valid.id.clone(), [scope.clone()].into()))));
    assert_eq!(ask(expired).await, Ok(None));
    let (_, unknown) = ApiKey::generate("unknown", [scope]).unwrap();
    assert_eq!(ask(&unknown).await, Ok(None));
    db.run(&format!("DELETE FROM {table} WHERE id = '{}'", valid.id)).await;
    assert_eq!(ask(secret).await, Ok(None));
    db.run(&format!("DROP TABLE {table}")).await;
    // A table that cannot be asked is an error, and no refusal.
    assert_eq!(ask(secret).await, Err(()));
    db.close().await;
}
