pub(crate) struct Shape {
    pub fingerprint: u64,
    pub obstacle: Option<String>,
    pub recursive: bool,
}
pub(crate) fn trace<T: serde::Serialize + serde::de::DeserializeOwned>() -> Shape {
    Shape { fingerprint: 1, obstacle: None, recursive: false }
}
