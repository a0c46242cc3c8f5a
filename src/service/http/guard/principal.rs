//! [`Principal`] and [`Scope`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::all_or_list;
use super::permission::Permission;
use super::quota::RequestQuota;

/// Who sends a request, and what it may do. Made by an [`Authenticator`](super::Authenticator).
/// Clones share the name and the scopes, because each request has a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// A name for logs and the audit trail. Never a secret.
    pub name: Arc<str>,
    /// What it may do: whatever one of these scopes allows.
    pub scopes: Arc<[Scope]>,
    /// How many requests it may send; `None` for the quota of the delivery.
    pub quota: Option<RequestQuota>,
}

/// What may be done to some kinds of some tenants.
///
/// ```
/// use snapfold::service::http::{Permission, Scope};
///
/// // Read accounts of two tenants.
/// let scope = Scope::new([Permission::Read]).tenants(["north", "south"]).kinds(["account"]);
/// assert!(scope.allows(Permission::Read, "north", Some("account")));
/// assert!(!scope.allows(Permission::Read, "north", Some("order")));
/// // Not everything that a list over all kinds would show.
/// assert!(!scope.allows(Permission::Read, "north", None));
/// ```
///
/// In JSON, nothing is allowed that is not written there: all three fields are needed, and unknown
/// ones are refused.
///
/// ```
/// # use snapfold::service::http::{Permission, Scope};
/// let json = r#"{"permissions": ["read"], "tenants": ["north", "south"], "kinds": "all"}"#;
/// let scope: Scope = serde_json::from_str(json)?;
/// assert_eq!(scope, Scope::new([Permission::Read]).tenants(["north", "south"]));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    permissions: Vec<Permission>,
    /// `None` allows all.
    #[serde(with = "all_or_list")]
    tenants: Option<Vec<String>>,
    #[serde(with = "all_or_list")]
    kinds: Option<Vec<String>>,
}

impl Principal {
    /// Creates a principal.
    pub fn new(name: impl Into<Arc<str>>, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { name: name.into(), scopes: scopes.into_iter().collect(), quota: None }
    }

    /// Sets how many requests it may send.
    pub fn quota(mut self, quota: RequestQuota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Returns whether one of the scopes [allows](Scope::allows) this.
    pub fn may(&self, permission: Permission, tenant: &str, kind: Option<&str>) -> bool {
        self.scopes.iter().any(|scope| scope.allows(permission, tenant, kind))
    }
}

impl Scope {
    /// Gives these permissions in the default tenant, for all kinds.
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Self {
        let permissions = permissions.into_iter().collect();
        Self { permissions, tenants: Some(vec![String::new()]), kinds: None }
    }

    /// Allows these tenants and no others. The empty string is the default tenant.
    pub fn tenants<T: Into<String>>(mut self, tenants: impl IntoIterator<Item = T>) -> Self {
        self.tenants = Some(tenants.into_iter().map(Into::into).collect());
        self
    }

    /// Allows all tenants, also those that do not exist yet.
    pub fn all_tenants(mut self) -> Self {
        self.tenants = None;
        self
    }

    /// Allows these kinds and no others.
    pub fn kinds<T: Into<String>>(mut self, kinds: impl IntoIterator<Item = T>) -> Self {
        self.kinds = Some(kinds.into_iter().map(Into::into).collect());
        self
    }

    /// Returns whether this is allowed. Without a kind, the request concerns all kinds of the tenant,
    /// and the scope must allow all.
    pub fn allows(&self, permission: Permission, tenant: &str, kind: Option<&str>) -> bool {
        // The default tenant is empty. An empty string points to no memory, and on processors with
        // AVX-512 a comparison of no bytes there takes as long as the rest of this function.
        let same =
            |one: &str, other: &str| one.len() == other.len() && (one.is_empty() || one == other);
        let has = |list: &Option<Vec<String>>, sought: Option<&str>| match (list, sought) {
            (None, _) => true,
            (Some(list), Some(sought)) => list.iter().any(|one| same(one, sought)),
            (Some(_), None) => false,
        };
        self.permissions.contains(&permission)
            && has(&self.tenants, Some(tenant))
            && has(&self.kinds, kind)
    }
}
