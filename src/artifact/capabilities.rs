//! [`ArtifactCapabilities`]: what an artifact store supports.

/// The capabilities of an artifact store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArtifactCapabilities {
    /// The name of this kind of store, such as "memory". Used in messages.
    pub name: &'static str,
    /// Whether stored artifacts survive a crash of the process or of the machine.
    pub durable: bool,
    /// Whether [`upload`](super::ArtifactStore::upload) is supported.
    pub signs_uploads: bool,
    /// Whether [`download`](super::ArtifactStore::download) is supported.
    pub signs_downloads: bool,
    /// The maximum size of an artifact in bytes (inclusive).
    pub max_bytes: u64,
    /// The maximum length of a tenant in bytes (inclusive) that every call accepts, whatever the
    /// bytes are.
    pub max_tenant_bytes: u64,
}

impl ArtifactCapabilities {
    /// Creates the minimal capabilities: not durable, no URLs, artifacts of up to 1 GiB, tenants of
    /// up to 65,535 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            durable: false,
            signs_uploads: false,
            signs_downloads: false,
            max_bytes: 1 << 30,
            max_tenant_bytes: crate::key::AggregateKey::MAX_PART_BYTES as u64,
        }
    }

    /// Sets [`durable`](Self::durable).
    pub const fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Sets [`signs_uploads`](Self::signs_uploads).
    pub const fn signs_uploads(mut self, signs: bool) -> Self {
        self.signs_uploads = signs;
        self
    }

    /// Sets [`signs_downloads`](Self::signs_downloads).
    pub const fn signs_downloads(mut self, signs: bool) -> Self {
        self.signs_downloads = signs;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`max_tenant_bytes`](Self::max_tenant_bytes).
    pub const fn max_tenant_bytes(mut self, bytes: u64) -> Self {
        self.max_tenant_bytes = bytes;
        self
    }
}
