//! Who may read: those with a key, in memory or in a file, or with a token.

use std::fs;

use snapfold::BoxError;
use snapfold::service::http::{AnyOf, ApiKey, ApiKeyFile, ApiKeys, Permission, Scope};

use crate::options::Options;
use crate::tokens::Tokens;

pub(crate) async fn authenticator(options: &Options) -> Result<AnyOf, BoxError> {
    let mut any = AnyOf::new();
    if let Some(path) = &options.keys {
        let keys = ApiKeyFile::open(path).await?;
        if keys.keys().await?.is_empty() {
            for key in new_keys()? {
                keys.add(key).await?;
            }
        }
        any = any.or(keys);
    } else {
        any = any.or(new_keys()?.into_iter().fold(ApiKeys::new(), ApiKeys::with));
    }
    if let Some(path) = &options.tokens {
        any = any.or(Tokens::signed_with(fs::read(path)?.trim_ascii_end())?);
    }
    Ok(any)
}

/// Makes two keys, and prints what only the client can keep.
fn new_keys() -> Result<Vec<ApiKey>, snapfold::Error> {
    let reads = &[Permission::Read][..];
    let mut keys = Vec::new();
    for (name, permissions) in [("reads", reads), ("reads and diagnoses", Permission::ALL)] {
        let (key, secret) = ApiKey::generate(name, [Scope::new(permissions.to_vec())])?;
        println!("{name}: Authorization: Bearer {secret}");
        keys.push(key);
    }
    Ok(keys)
}
