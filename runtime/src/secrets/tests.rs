//! Secrets are there again after a restart, sealed in between, and nothing tells what they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn open(dir: &Path) -> Secrets {
    Secrets::open(&Store::open(dir).unwrap()).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_was_set_is_there_after_a_restart_and_what_was_removed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path());
    assert!(secrets.list().is_empty() && !dir.path().join(KEY_FILE_NAME).exists(), "no key without a secret");
    let (first, new) = secrets.set(&name("api"), text("first value")).await.unwrap();
    assert!(new && first.bytes == 11 && first.created_ms == first.updated_ms);
    assert_eq!(fs::metadata(dir.path().join(KEY_FILE_NAME)).unwrap().permissions().mode() & 0o7777, 0o600);
    let key = fs::read(dir.path().join(KEY_FILE_NAME)).unwrap();
    let before = secrets.known();
    let (second, new) = secrets.set(&name("api"), text("second value")).await.unwrap();
    assert!(!new && second.bytes == 12 && second.created_ms == first.created_ms);
    assert_eq!((before.reveal(&name("api")), secrets.known().reveal(&name("api"))), (Some("first value"), Some("second value")));
    secrets.set(&name("gone"), text("remove me")).await.unwrap();
    secrets.remove(&name("gone")).await.unwrap();
    let error = secrets.remove(&name("gone")).await.unwrap_err();
    assert!(error.code == Code::SecretNotFound && error.message.contains("there are api"), "{error}");
    drop((secrets, before));

    let secrets = open(dir.path());
    secrets.check().unwrap();
    assert_eq!(secrets.list(), [second]);
    assert_eq!(secrets.known().reveal(&name("api")), Some("second value"));
    assert_eq!(fs::read(dir.path().join(KEY_FILE_NAME)).unwrap(), key, "the key stays");
    for shown in [format!("{:?}", secrets.known()), format!("{:?}", text("second value")), format!("{:?}", secrets.list())] {
        assert!(!shown.contains("second value"), "{shown}");
    }
    let line = format!("the log says {}", "second value");
    assert_eq!(scrub_line(line.as_bytes()), b"the log says {{secret:api}}".as_slice());
}

#[tokio::test]
async fn a_value_that_could_not_be_kept_out_of_texts_is_refused_without_being_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path());
    for (value, code, says) in [
        ("", "invalid_request", "has 0 bytes; a secret has at least 8"),
        ("hunter2", "invalid_request", "has 7 bytes"),
        ("hunter22 {{secret:x}}", "invalid_request", "holds a placeholder"),
        (&"hunter22".repeat(8193), "too_large", "has 65544 bytes; a secret has at most 65536"),
    ] {
        let error = secrets.set(&name("a"), text(value)).await.unwrap_err();
        assert!(error.code.as_str() == code && error.message.contains(says), "{error}");
        assert!(!format!("{error} {:?} {:?}", error.details, error.issues).contains("hunter"), "{error}");
    }
    for (wrong, shown) in [("a b", false), ("..", false), ("sk-live-0123456789/abc", false), (&"n".repeat(65), false)] {
        let error = SecretName::parse(wrong).unwrap_err();
        assert!(error.message.contains("1 to 64 of A-Z a-z 0-9 . _ -") && error.message.contains(wrong) == shown, "{error}");
    }
    for n in 0..limits::SECRETS_MAX {
        let row =
            Sealed::seal(&secrets.kept().unwrap().store.key_file(KEY_FILE_NAME).unwrap(), &name("x"), "12345678", 0, 0).unwrap().to_row();
        let mut batch = Batch::new();
        batch.put(&SecretKey { name: name(&format!("s{n}")) }, row);
        secrets.kept().unwrap().store.commit(batch).await.unwrap();
    }
    secrets.read_again().await.unwrap();
    secrets.0.state.write().unwrap().locked = None;
    let error = secrets.set(&name("a"), text("hunter22")).await.unwrap_err();
    assert!(error.code == Code::TooLarge && error.message.contains("there are 256 secrets"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_missing_wrong_or_open_to_others_is_told_and_secrets_can_still_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join(KEY_FILE_NAME);
    let secrets = open(dir.path());
    for other in ["a", "b"] {
        secrets.set(&name(other), text("the value of it")).await.unwrap();
    }
    drop(secrets);
    let right = fs::read(&key).unwrap();
    for (damage, says) in [
        (&(|| set_mode(&key, 0o644)) as &dyn Fn(), "is no secret: others may use it (mode 644); set it to 600"),
        (&|| set_mode(&key, 0o620), "(mode 620)"),
        (&|| fs::write(&key, "not a key\n").unwrap(), "does not hold 64 hex digits"),
        (&|| fs::write(&key, "00".repeat(32)).unwrap(), "the secret a does not open under"),
        (&|| fs::remove_file(&key).unwrap(), "is not there, so the secrets a, b cannot be opened"),
    ] {
        damage();
        let secrets = open(dir.path());
        let error = secrets.check().unwrap_err();
        assert!(error.code == Code::SecretsLocked && error.message.contains(says), "{error}");
        assert!(error.message.contains(key.to_str().unwrap()), "{error}");
        assert!(secrets.known().reveal(&name("a")).is_none());
        assert_eq!(secrets.list().len(), 2, "they are listed all the same");
        let error = secrets.set(&name("c"), text("not under another key")).await.unwrap_err();
        assert_eq!(error.code, Code::SecretsLocked);
        let _ = fs::remove_file(&key);
        fs::write(&key, &right).unwrap();
        set_mode(&key, 0o600);
    }
    open(dir.path()).check().unwrap();

    fs::write(&key, "00".repeat(32)).unwrap();
    let secrets = open(dir.path());
    secrets.remove(&name("a")).await.unwrap();
    assert!(secrets.check().is_err());
    secrets.remove(&name("b")).await.unwrap();
    secrets.check().unwrap();
    secrets.set(&name("a"), text("anew, under this key")).await.unwrap();
    assert!(open_again(secrets, dir.path()).known().reveal(&name("a")).is_some());
}

fn open_again(secrets: Secrets, dir: &Path) -> Secrets {
    drop(secrets);
    open(dir)
}

#[tokio::test]
async fn no_file_of_the_data_directory_holds_a_value() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path());
    let long = "canary of many bytes ".repeat(3000);
    secrets.set(&name("short"), text("canary-4711-4711")).await.unwrap();
    secrets.set(&name("long"), text(&long)).await.unwrap();
    drop(secrets);
    let mut files = 0;
    let mut left = vec![dir.path().to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
    }
    assert!(files >= 4, "the store is there");
    assert!(open(dir.path()).known().reveal(&name("long")) == Some(&long));
}
