//! Publications: states and their artifacts, sent by clients. So far, the URLs with which they send
//! them ([`UploadUrls`]).

mod urls;

pub use urls::{UploadGrant, UploadKeys, UploadQuery, UploadUrlVerdict, UploadUrls};
