//! What `Serialize` does not tell.
