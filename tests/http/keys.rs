//! Where keys are: in a file that several processes share, in a store of the application, in several
//! places.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use http::request::Parts;
use snapfold::engine::ManualClock;
use snapfold::service::http::{
    AnyOf, ApiKey, ApiKeyFile, ApiKeyStore, ApiKeys, Authenticator, Delivery, Permission,
    Principal, RequestQuota, Scope,
};
use snapfold::{BoxError, ErrorKind};
use tower_service::Service as _;

use crate::support::{Shop, at, get_with, stock};

const PATH: &str = "/projects/~/entities/stock/alice";

fn shop() -> Shop {
    let shop = Shop::new();
    shop.grow(&stock("alice"), 3);
    shop
}

fn new_key(name: &str) -> (ApiKey, String) {
    let (key, secret) = ApiKey::generate(name, [Scope::new([Permission::Read])]).unwrap();
    (key, format!("Bearer {secret}"))
}

fn hash_text(key: &ApiKey) -> String {
    format!("{:02x?}", key.hash).replace(['[', ']', ',', ' '], "")
}

async fn status(delivery: &Delivery, credentials: &str) -> u16 {
    get_with(delivery, PATH, &[("authorization", credentials)]).await.status.as_u16()
}

#[tokio::test]
async fn a_file_of_keys_is_shared_by_processes() {
    let (shop, clock) = (shop(), ManualClock::at(at(0)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let open = async || ApiKeyFile::open(&path).await.unwrap().clock(clock.clone());
    let (here, there) = (open().await, open().await);
    let delivery = shop.builder().authenticator(here.clone()).build().unwrap();
    let (first, first_secret) = new_key("first");
    let (second, second_secret) = new_key("second");
    let (first_id, second_id) = (first.id.clone(), second.id.clone());
    assert_eq!(status(&delivery, &first_secret).await, 401);
    // This process sees its own changes at once.
    here.add(first.clone().expires_at(at(1_000))).await.unwrap();
    assert_eq!(status(&delivery, &first_secret).await, 200);
    // Those of others, when it reads the file again.
    there.add(second).await.unwrap();
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(status(&delivery, &second_secret).await, 401);
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&delivery, &second_secret).await, 200);
    assert_eq!(status(&delivery, &first_secret).await, 200);
    assert!(there.revoke(&second_id).await.unwrap());
    assert!(!there.revoke(&second_id).await.unwrap());
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(status(&delivery, &second_secret).await, 200);
    clock.advance(Duration::from_millis(1));
    assert_eq!(status(&delivery, &second_secret).await, 401);
    // One that opens it later finds what was added.
    let later = open().await;
    assert_eq!(later.keys().await.unwrap(), [first.clone().expires_at(at(1_000))]);
    let later = shop.builder().authenticator(later).build().unwrap();
    assert_eq!(status(&later, &first_secret).await, 200);
    clock.set(at(1_000));
    assert_eq!(status(&later, &first_secret).await, 401);
    // A key is replaced in its place.
    here.add(first).await.unwrap();
    assert_eq!(status(&delivery, &first_secret).await, 200);
    assert!(here.revoke(&first_id).await.unwrap());
    assert_eq!(status(&delivery, &first_secret).await, 401);
    assert_eq!(here.keys().await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_file_admits_nobody_and_loses_no_revocation() {
    let (shop, clock) = (shop(), ManualClock::at(at(0)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = ApiKeyFile::open(&path).await.unwrap().clock(clock.clone());
    let (kept, kept_secret) = new_key("kept");
    let (revoked, revoked_secret) = new_key("revoked");
    keys.add(kept.clone()).await.unwrap();
    keys.add(revoked.clone()).await.unwrap();
    let quota = RequestQuota::new(1, Duration::from_secs(3_600));
    let delivery = shop.builder().authenticator(keys.clone()).clock(clock.clone());
    let mut delivery = delivery.failed_authentications(quota).build().unwrap();
    assert_eq!(status(&delivery, &revoked_secret).await, 200);
    let good = fs::read_to_string(&path).unwrap();
    // Somebody wants to revoke a key with an editor, and also loses a brace.
    let without: serde_json::Value = {
        let mut document: serde_json::Value = serde_json::from_str(&good).unwrap();
        let list = document["keys"].as_array_mut().unwrap();
        list.retain(|key| key["id"] != *revoked.id);
        document
    };
    let without = without.to_string();
    for damage in [Some(&without[..without.len() - 1]), Some(""), None] {
        match damage {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        clock.advance(Duration::from_secs(5));
        // Not counted as wrong credentials, so it is 503 each time.
        for secret in [&kept_secret, &revoked_secret, &revoked_secret] {
            let request = Request::builder().uri(PATH).header("authorization", secret.as_str());
            let Ok(answer) = delivery.call(request.body(String::new()).unwrap()).await;
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
            // The application is told why, and the client is not.
            let error = answer.extensions().get::<snapfold::Error>().unwrap();
            let text = format!("{error:#} {error:?}");
            assert!(text.contains("keys.json"), "{text}");
            for key in [&kept, &revoked] {
                let hash = hash_text(key);
                assert!(!text.contains(&hash[..16]), "{text}");
            }
            let seen = get_with(&delivery, PATH, &[("authorization", secret)]).await;
            assert!(!seen.text().contains("keys.json"), "{seen:?}");
        }
        // It is not repaired by overwriting it, or by creating another one.
        assert!(keys.add(new_key("new").0).await.is_err());
        assert!(keys.revoke(&kept.id).await.is_err());
        assert!(keys.keys().await.is_err());
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), damage);
        // Whoever has no credentials need not know.
        assert_eq!(status(&delivery, "Bearer x").await, 401);
        if damage.is_some() {
            fs::write(&path, &good).unwrap();
            clock.advance(Duration::from_millis(999));
            assert_eq!(status(&delivery, &kept_secret).await, 503);
            clock.advance(Duration::from_millis(1));
            assert_eq!(status(&delivery, &kept_secret).await, 200);
            clock.advance(Duration::from_secs(3_600));
        }
    }
    fs::write(&path, &without).unwrap();
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(status(&delivery, &kept_secret).await, 200);
    assert_eq!(status(&delivery, &revoked_secret).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_are_all_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let tasks = (0..8).map(|n| {
        let path = path.clone();
        tokio::spawn(async move {
            // Each as a process of its own.
            let keys = ApiKeyFile::open(&path).await.unwrap();
            let added: Vec<_> = (0..6).map(|m| new_key(&format!("{n}.{m}")).0).collect();
            for key in &added {
                keys.add(key.clone()).await.unwrap();
            }
            for key in &added[3..] {
                assert!(keys.revoke(&key.id).await.unwrap());
            }
        })
    });
    futures_util::future::try_join_all(tasks.collect::<Vec<_>>()).await.unwrap();
    let keys = ApiKeyFile::open(&path).await.unwrap().keys().await.unwrap();
    let mut names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
    names.sort_unstable();
    let expected: Vec<_> = (0..8).flat_map(|n| (0..3).map(move |m| format!("{n}.{m}"))).collect();
    assert_eq!(names, expected);
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    files.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    let files: Vec<_> = files.iter().map(|entry| entry.as_ref().unwrap().file_name()).collect();
    assert_eq!(files, ["keys.json", "keys.json.lock"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_and_another_mode_or_link_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("keys.json"), folder.path().join("link.json"));
    let keys = ApiKeyFile::open(&path).await.unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    keys.add(new_key("a").0).await.unwrap();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let linked = ApiKeyFile::open(&link).await.unwrap();
    linked.add(new_key("b").0).await.unwrap();
    assert_eq!((mode(), keys.keys().await.unwrap().len()), (0o640, 2));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn what_is_no_file_of_keys_is_neither_opened_nor_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let error = ApiKeyFile::open(folder.path()).await.unwrap_err();
    assert!(format!("{error:#}").contains("it is no file"), "{error:#}");
    let error = ApiKeyFile::open(folder.path().join("no/keys.json")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    fs::write(&path, "[]").unwrap();
    let error = ApiKeyFile::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("keys.json is not used: it has no format number"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
    fs::write(&path, " ".repeat((4 << 20) + 1)).unwrap();
    let error = ApiKeyFile::open(&path).await.unwrap_err();
    assert!(format!("{error:#}").contains("more than 4194304 bytes"), "{error:#}");

    fs::remove_file(&path).unwrap();
    let keys = ApiKeyFile::open(&path).await.unwrap();
    let empty = fs::read_to_string(&path).unwrap();
    let refused = [
        ApiKey::from_stored("0123456789AB", [0; 32], "capitals"),
        ApiKey::from_stored("0123456789ab", [0; 32], "long".repeat(1 << 20)),
    ];
    for key in refused {
        let error = keys.add(key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), empty);
    }
}

#[tokio::test]
async fn no_secret_is_in_a_file_or_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = ApiKeyFile::open(&path).await.unwrap();
    let (key, secret) = ApiKey::generate("ops", [Scope::new([Permission::Read])]).unwrap();
    keys.add(key.clone()).await.unwrap();
    let stored = fs::read_to_string(&path).unwrap();
    let hash = hash_text(&key);
    assert!(stored.contains(&hash) && !stored.contains(&secret[17..40]), "{stored}");
    let printed = format!("{keys:?} {keys:#?} {:?}", AnyOf::new().or(keys.clone()));
    assert!(!printed.contains(&hash[..16]) && !printed.contains(&secret[17..40]), "{printed}");
}

/// As an application has keys in a database.
#[derive(Debug, Default)]
struct Table {
    /// Rows of JSON.
    rows: Vec<(String, String)>,
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl ApiKeyStore for Table {
    async fn find(&self, id: &str) -> Result<Option<Arc<ApiKey>>, BoxError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_down.load(Ordering::Relaxed) {
            return Err("no route to 10.0.0.7".into());
        }
        let Some((_, row)) = self.rows.iter().find(|(known, _)| known == id) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(serde_json::from_str(row)?)))
    }
}

/// Knows who has a cookie.
#[derive(Debug)]
struct Sessions;

#[async_trait]
impl Authenticator for Sessions {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError> {
        let is_known = request.headers.get("cookie").is_some_and(|cookie| cookie == "session=1");
        Ok(is_known.then(|| Principal::new("user:1", [Scope::new([Permission::Read])])))
    }
}

/// Knows who has a name: at once, or only later.
#[derive(Debug)]
struct Names {
    at_once: bool,
    waits: Arc<AtomicUsize>,
}

impl Names {
    fn known(request: &Parts) -> Result<Option<Principal>, BoxError> {
        let Some(name) = request.headers.get("name") else { return Ok(None) };
        let name = name.to_str()?;
        if name == "mallory" {
            return Err("the list of names is gone".into());
        }
        Ok(Some(Principal::new(name, [Scope::new([Permission::Read])])))
    }
}

#[async_trait]
impl Authenticator for Names {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        Self::known(request)
    }

    fn authenticate_at_once(&self, request: &Parts) -> Option<Result<Option<Principal>, BoxError>> {
        self.at_once.then(|| Self::known(request))
    }
}

#[tokio::test]
async fn only_who_is_not_known_at_once_is_waited_for() {
    let shop = shop();
    let (key, secret) = new_key("key");
    let (keys, waits) = (ApiKeys::new().with(key.clone()), Arc::<AtomicUsize>::default());
    let names = |at_once| Names { at_once, waits: Arc::clone(&waits) };
    let (key, name, bad) =
        (("authorization", secret.as_str()), ("name", "ada"), ("name", "mallory"));
    // The statuses are the same, whether or not somebody has to wait.
    for (headers, expected, slow) in [
        (vec![key], 200, 0),
        (vec![name], 200, 1),
        (vec![bad], 503, 1),
        (vec![key, bad], 200, 0),
        (vec![], 401, 1),
    ] {
        for (at_once, expected_waits) in [(true, 0), (false, slow)] {
            let either = AnyOf::new().or(keys.clone()).or(names(at_once));
            let delivery = shop.builder().authenticator(either).build().unwrap();
            waits.store(0, Ordering::Relaxed);
            let answer = get_with(&delivery, PATH, &headers).await;
            assert_eq!(answer.status, expected, "{headers:?} {at_once}");
            assert_eq!(waits.load(Ordering::Relaxed), expected_waits, "{headers:?} {at_once}");
        }
    }
    // One that fails at once does not lock out those whom the next one knows.
    let either = AnyOf::new().or(names(true)).or(keys);
    let delivery = shop.builder().authenticator(either).build().unwrap();
    assert_eq!(get_with(&delivery, PATH, &[key, bad]).await.status, 200);
}

#[tokio::test]
async fn a_file_answers_at_once_as_long_as_it_need_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(at(0));
    let keys = ApiKeyFile::open(folder.path().join("keys.json")).await.unwrap();
    let keys = keys.clock(clock.clone());
    let (key, _) = new_key("key");
    let found = || keys.find_at_once(&key.id).map(|found| found.unwrap().is_some());
    assert_eq!(found(), None);
    assert_eq!(keys.find(&key.id).await.unwrap(), None);
    assert_eq!(found(), Some(false));
    keys.add(key.clone()).await.unwrap();
    assert_eq!(found(), Some(true));
    clock.advance(Duration::from_secs(5));
    assert_eq!(found(), None);
    assert!(keys.revoke(&key.id).await.unwrap());
    assert_eq!(found(), Some(false));
    fs::write(folder.path().join("keys.json"), "").unwrap();
    clock.advance(Duration::from_secs(5));
    assert!(keys.find(&key.id).await.is_err());
    // Nobody is admitted, and nobody waits for it, until it is read again.
    assert!(keys.find_at_once(&key.id).unwrap().is_err());
}

#[tokio::test]
async fn keys_of_the_application_and_several_authenticators() {
    let shop = shop();
    let (key, secret) = new_key("row");
    let mut table = Table::default();
    table.rows.push((key.id.to_string(), serde_json::to_string(&key).unwrap()));
    let (is_down, asked) = (table.is_down.clone(), table.asked.clone());
    let delivery =
        shop.builder().authenticator(AnyOf::new().or(table).or(Sessions)).build().unwrap();
    let ask = async |headers: &[(&str, &str)]| {
        let answer = get_with(&delivery, PATH, headers).await;
        (answer.status.as_u16(), answer.text().contains("10.0.0.7"))
    };
    let (_, unknown) = new_key("unknown");
    // Another secret behind the same id, with the checksum that belongs to it.
    let wrong = {
        let end = secret.len() - 8;
        let text =
            secret[7..end - 1].to_owned() + if &secret[end - 1..end] == "0" { "1" } else { "0" };
        format!("Bearer {text}{:08x}", crc32fast::hash(text.as_bytes()))
    };
    let session = ("cookie", "session=1");
    for (headers, expected, is_asked) in [
        (vec![("authorization", secret.as_str())], 200, 1),
        (vec![("authorization", wrong.as_str())], 401, 1),
        (vec![("authorization", unknown.as_str())], 401, 1),
        (vec![("authorization", unknown.as_str()), session], 200, 1),
        (vec![session], 200, 0),
        (vec![], 401, 0),
        // A typing error needs no look-up.
        (vec![("authorization", &secret[..secret.len() - 1])], 401, 0),
        (vec![("authorization", &secret.replace(&secret[40..42], "zz"))], 401, 0),
    ] {
        asked.store(0, Ordering::Relaxed);
        assert_eq!(ask(&headers).await, (expected, false), "{headers:?}");
        assert_eq!(asked.load(Ordering::Relaxed), is_asked, "{headers:?}");
    }
    // A database that is down is no wrong key, and does not lock out those whom it does not know.
    is_down.store(true, Ordering::Relaxed);
    assert_eq!(ask(&[("authorization", &secret)]).await, (503, false));
    assert_eq!(ask(&[("authorization", &secret), session]).await, (200, false));
    assert_eq!(ask(&[session]).await, (200, false));
    let nobody = shop.builder().authenticator(AnyOf::new()).build().unwrap();
    assert_eq!(status(&nobody, &secret).await, 401);
}
