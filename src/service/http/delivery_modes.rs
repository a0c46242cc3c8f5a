//! [`DeliveryModes`].

use std::collections::{BTreeMap, BTreeSet};

use super::cache_policy::CachePolicy;
use super::delivery_mode::DeliveryMode;

/// How the states of each project are delivered, said once for the
/// [export](super::StaticExport::modes) and the [service](super::DeliveryBuilder::modes).
///
/// A project that is not named has [`DeliveryMode::GuardedRoutes`].
///
/// ```
/// use snapfold::service::http::{DeliveryMode, DeliveryModes};
///
/// let modes = DeliveryModes::new().public_files("north");
/// assert_eq!(modes.of("north"), DeliveryMode::PublicFiles);
/// assert_eq!(modes.of("south"), DeliveryMode::GuardedRoutes);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryModes {
    public: BTreeSet<String>,
}

impl DeliveryModes {
    /// All projects are guarded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a project, which is a tenant, the mode [`DeliveryMode::PublicFiles`]. The empty string is
    /// the default tenant.
    pub fn public_files(mut self, tenant: impl Into<String>) -> Self {
        self.public.insert(tenant.into());
        self
    }

    /// Returns the mode of a project.
    pub fn of(&self, tenant: &str) -> DeliveryMode {
        if self.public.contains(tenant) {
            DeliveryMode::PublicFiles
        } else {
            DeliveryMode::GuardedRoutes
        }
    }

    /// The projects of public files.
    pub(super) fn public(&self) -> impl Iterator<Item = &str> {
        self.public.iter().map(String::as_str)
    }

    pub(super) fn is_public(&self, tenant: &str) -> bool {
        self.of(tenant) == DeliveryMode::PublicFiles
    }

    /// Why a delivery with these settings would tell everybody what is guarded; `None` if it would
    /// not.
    pub(super) fn contradiction(
        &self,
        is_open: bool,
        policy: &CachePolicy,
        policies: &BTreeMap<String, CachePolicy>,
    ) -> Option<String> {
        if is_open {
            return Some("the modes guard projects: call authenticator()".to_owned());
        }
        if policy.is_public() {
            let message = "shared caches would keep the states of guarded projects: call \
                           tenant_cache_policy() for those of public files, not cache_policy()";
            return Some(message.to_owned());
        }
        let mut kept = policies.iter().filter(|(_, policy)| policy.is_public());
        let (tenant, _) = kept.find(|(tenant, _)| !self.is_public(tenant))?;
        Some(format!("shared caches would keep the states of {tenant:?}, which is guarded"))
    }
}
