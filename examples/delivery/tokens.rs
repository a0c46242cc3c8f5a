//! JSON Web Tokens: `{"sub": "ada", "exp": 1800000000, "scopes": [...]}`, with each scope as in a
//! file of keys.

use std::fmt;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use snapfold::BoxError;
use snapfold::service::http::{Authenticator, Principal, Scope};

/// Checks tokens that are signed with HMAC-SHA-256. A token without an expiry is not valid, and one
/// for another audience neither.
pub(crate) struct Tokens {
    key: DecodingKey,
    rules: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    scopes: Vec<Scope>,
}

impl Tokens {
    pub(crate) fn signed_with(secret: &[u8]) -> Result<Self, BoxError> {
        // RFC 7518, section 3.2.
        if secret.len() < 32 {
            return Err("the secret of the tokens has less than 32 bytes".into());
        }
        Ok(Self {
            key: DecodingKey::from_secret(secret)?,
            // Not the algorithm that the token names.
            rules: Validation::new(Algorithm::HS256),
        })
    }

    fn check(&self, request: &Parts) -> Option<Principal> {
        let (scheme, token) = request.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let Claims { sub, scopes } = decode(token.trim(), &self.key, &self.rules).ok()?.claims;
        // Never the name of a key, whose requests are counted by its name too.
        Some(Principal::new(format!("token:{sub}"), scopes))
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError> {
        Ok(self.check(request))
    }

    // Nothing has to be waited for.
    fn authenticate_at_once(&self, request: &Parts) -> Option<Result<Option<Principal>, BoxError>> {
        Some(Ok(self.check(request)))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::{Value, json};
    use snapfold::service::http::Permission;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn token(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret).unwrap()).unwrap()
    }

    fn check(header: &str) -> Option<Principal> {
        let request = http::Request::builder().header(AUTHORIZATION, header).body(()).unwrap();
        Tokens::signed_with(SECRET).unwrap().check(&request.into_parts().0)
    }

    #[test]
    fn a_token_is_who_it_says_within_its_time_and_signature() {
        let now = get_current_timestamp();
        let scopes = json!([{"permissions": ["read"], "tenants": [""], "kinds": ["tree"]}]);
        let claims = |exp: u64| json!({"sub": "ada", "exp": exp, "scopes": scopes});
        let good = token(Algorithm::HS256, SECRET, &claims(now + 600));
        let ada = check(&format!("Bearer {good}")).unwrap();
        assert_eq!(&*ada.name, "token:ada");
        assert!(ada.may(Permission::Read, "", Some("tree")));
        assert!(!ada.may(Permission::Read, "", Some("authors")));
        assert!(!ada.may(Permission::Diagnose, "", Some("tree")));
        let (body, signature) = good.rsplit_once('.').unwrap();
        let (_, claimed) = body.split_once('.').unwrap();
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIn0.{claimed}.");
        let without = |name: &str| {
            let mut claims = claims(now + 600);
            claims.as_object_mut().unwrap().remove(name);
            token(Algorithm::HS256, SECRET, &claims)
        };
        let mut unlimited = claims(now + 600);
        unlimited["scopes"] = json!([{"permissions": ["read"]}]);
        for wrong in [
            token(Algorithm::HS256, SECRET, &claims(now - 600)),
            token(Algorithm::HS256, b"another secret that has 32 bytes", &claims(now + 600)),
            token(Algorithm::HS384, SECRET, &claims(now + 600)),
            token(Algorithm::HS256, SECRET, &unlimited),
            without("exp"),
            without("sub"),
            without("scopes"),
            unsigned,
            format!("{body}.{signature}x"),
            body.to_owned(),
            String::new(),
        ] {
            assert_eq!(check(&format!("Bearer {wrong}")), None, "{wrong}");
        }
        assert_eq!(check(&format!("Basic {good}")), None);
        assert!(Tokens::signed_with(&SECRET[..31]).is_err());
    }
}
