//! Bundles of journals made for it: what was made verifies, and whatever is changed in it is found.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::bundle::{Making, Manifest};
use super::*;
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error};
use crate::ids::{Digest, JobId, PlaybookId, Space};
use crate::journal::{self, Answer, Body, Entry, Log, On, State, Tip, Verdict as Decided, Waiting, Wake, Woken, shown, stored};
use crate::json::Json;
use crate::store::{Batch, EntryKey, Payload, Store};

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn inline(text: &str) -> Payload {
    Payload::Inline(json(text))
}

fn job() -> JobId {
    JobId::from_bytes([3; 16])
}

fn signer() -> Signer {
    Signer::from_bytes(&[7; 32])
}

fn created(component: Digest) -> Body {
    Body::Created {
        playbook_id: PlaybookId::parse("refund").unwrap(),
        version: 1,
        component,
        input: inline(r#"{"order":"7"}"#),
        input_digest: json(r#"{"order":"7"}"#).digest(),
        grants: vec![json(r#"{"kind":"fs","name":"project","path":"/home/ada/acme"}"#)],
        engine: "wasmtime 48.0.8".to_owned(),
        fuel: 9,
        options: Box::default(),
        parent: None,
        origin: None,
    }
}

fn called(call: u64) -> Body {
    Body::Called {
        call,
        step: Some("s1".to_owned()),
        tool: ToolId::parse("fs/write").unwrap(),
        effect: Effect::Once,
        key: format!("key-{call}"),
        input: inline("{}"),
        input_digest: json("{}").digest(),
    }
}

fn asked(title: &str, request: &str, digest: Digest) -> Body {
    let on = On::Approval { title: title.to_owned(), request: inline(request), digest };
    Body::Waiting(Waiting { wait: 1, step: None, on, until_ms: None })
}

fn approved(digest: Digest) -> Body {
    Body::Woken(Woken { wait: 1, by: Wake::Approved(Decided { by: "ada".to_owned(), digest, answer: json("null") }) })
}

/// A refund that a person approved and that then was called, not answered.
fn story() -> Vec<Body> {
    let digest = shown("refund", &json(r#"{"euros":20}"#));
    let blob = Payload::Blob { digest: Digest::of(b"large"), bytes: 70_000 };
    vec![
        created(Digest::of(b"component")),
        asked("refund", r#"{"euros":20}"#, digest),
        approved(digest),
        called(1),
        Body::Returned { call: 1, answer: Answer::Output(blob) },
        called(2),
    ]
}

fn sealed(bodies: Vec<Body>) -> (Vec<Entry>, Vec<String>) {
    let mut tip = Tip::first(&job());
    let seal = |(n, body)| {
        let (entry, bytes) = stored::seal(tip.next_seq, 1_763_632_000_000 + n, tip.hash, body);
        tip = Tip::after(&entry);
        (entry, String::from_utf8(bytes).unwrap())
    };
    (0u64..).zip(bodies).map(seal).unzip()
}

/// The bundle that these entries make; whoever forges one makes it so.
fn bundle_of(bodies: Vec<Body>, plan: Option<Json>, signer: Option<&Signer>) -> Bundle {
    let (entries, texts) = sealed(bodies);
    let state = State::fold(&entries).unwrap();
    let making = Making {
        space: Space::default_space(),
        plan_digest: plan.as_ref().map(Json::digest),
        made_by: "reprise of another day".to_owned(),
        made_at_ms: 1,
        signed_by: signer.map(|signer| signer.public().to_string()),
    };
    let bytes = texts.iter().map(|text| text.len() as u64).sum();
    let manifest = Manifest::of(job(), &entries, &state, bytes, making);
    rooted(Bundle { manifest_digest: Digest::of(b""), manifest, plan, entries: texts, signature: None }, signer)
}

/// With its root made anew.
fn rooted(mut bundle: Bundle, signer: Option<&Signer>) -> Bundle {
    bundle.manifest_digest = Digest::of(&bundle.manifest.text());
    bundle.signature = signer.map(|signer| signer.sign(&bundle.manifest.text()));
    bundle
}

fn refused(bytes: &[u8], key: Option<&PublicKey>) -> Error {
    verify(bytes, key).map(|_| ()).unwrap_err()
}

#[test]
fn c71_what_was_made_verifies_and_says_what_it_shows() {
    let bundle = bundle_of(story(), None, Some(&signer()));
    let verified = verify(&bundle.to_bytes(), Some(&signer().public())).unwrap();
    assert_eq!(verified.job_id(), job());
    assert_eq!(
        verified.open,
        [Open { seq: 6, call: 2, tool: "fs/write".to_owned(), uncertain: false }],
        "a call without an answer is named"
    );
    let [approval] = verified.manifest.approvals.as_slice() else { panic!("{:?}", verified.manifest.approvals) };
    assert_eq!((approval.seq, approval.shown_at, approval.by.as_str(), approval.approved), (3, 2, "ada", true));
    assert_eq!(verified.manifest.blobs, [Blob { seq: 5, digest: Digest::of(b"large"), bytes: 70_000 }]);
    assert_eq!(verified.manifest.grants, [json(r#"{"kind":"fs","name":"project"}"#)], "the host's directory stays at home");
    assert_eq!(verify(&bundle.to_bytes(), None).unwrap().to_json()["signed_by"], signer().public().to_string());
}

/// One change to a file.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Delete(Index, usize),
    Insert(Index, u8),
    Truncate(Index),
    Swap(Index, Index),
    Repeat(Index, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 1u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        2 => (any::<Index>(), 1..300usize).prop_map(|(at, many)| Change::Delete(at, many)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => any::<Index>().prop_map(Change::Truncate),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => (any::<Index>(), 1..300usize).prop_map(|(at, many)| Change::Repeat(at, many)),
    ]
}

fn changed(mut bytes: Vec<u8>, change: &Change) -> Vec<u8> {
    let length = bytes.len();
    match change {
        Change::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Change::Delete(at, many) => {
            let at = at.index(length);
            bytes.drain(at..(at + many).min(length));
        }
        Change::Insert(at, byte) => bytes.insert(at.index(length + 1), *byte),
        Change::Truncate(at) => bytes.truncate(at.index(length)),
        Change::Swap(a, b) => bytes.swap(a.index(length), b.index(length)),
        Change::Repeat(at, many) => {
            let at = at.index(length);
            let piece = bytes[at..(at + many).min(length)].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

#[test]
fn c70_no_change_to_any_byte_of_a_bundle_goes_unnoticed() {
    let plan = Some(json(r#"{"steps":[1,2]}"#));
    for made in [bundle_of(story(), None, None), bundle_of(story(), plan, Some(&signer()))] {
        let bytes = made.to_bytes();
        assert!(verify(&bytes, None).is_ok());
        TestRunner::new(Config::with_cases(1_500))
            .run(&any_change(), |change| {
                let other = changed(bytes.clone(), &change);
                prop_assume!(other != bytes);
                let error = verify(&other, None).map(|_| ()).expect_err("a changed bundle");
                prop_assert!(matches!(error.code, Code::EvidenceBroken | Code::NotSupported), "{}", error);
                Ok(())
            })
            .unwrap();
    }
}

/// Changes the content of a bundle, lets its maker make the root anew, and says what is found.
fn forged(change: impl FnOnce(&mut Bundle)) -> String {
    let mut bundle = bundle_of(story(), Some(json("[1]")), Some(&signer()));
    change(&mut bundle);
    let error = refused(&rooted(bundle, Some(&signer())).to_bytes(), None);
    assert_eq!(error.code, Code::EvidenceBroken);
    error.message
}

#[test]
fn c70_what_is_changed_under_a_new_root_is_found_at_its_place() {
    let edited = |seq: usize, from: &'static str, to: &'static str| {
        forged(move |bundle| {
            assert!(bundle.entries[seq - 1].contains(from), "{}", bundle.entries[seq - 1]);
            bundle.entries[seq - 1] = bundle.entries[seq - 1].replace(from, to);
        })
    };
    for (what, found, place) in [
        ("an edited entry", edited(4, "key-1", "key-9"), "entries: entry 5: names"),
        ("an edited last entry", edited(6, "key-2", "key-9"), "entries: entry 6: hashes to"),
        ("an entry taken out", forged(|bundle| drop(bundle.entries.remove(2))), "entries: entry 3: entry 4 stands in its place"),
        ("two entries swapped", forged(|bundle| bundle.entries.swap(3, 4)), "entries: entry 4: entry 5 stands in its place"),
        ("the end cut off", forged(|bundle| bundle.entries.truncate(5)), "entries: entry 6: is missing"),
        (
            "the end cut off and the count with it",
            forged(|bundle| {
                bundle.entries.truncate(5);
                bundle.manifest.entries = 5;
            }),
            "entries: entry 5: hashes to",
        ),
        ("another job", forged(|bundle| bundle.manifest.job_id = JobId::from_bytes([4; 16])), "entries: entry 1: names"),
        ("an approval added", forged(|bundle| bundle.manifest.approvals.push(bundle.manifest.approvals[0].clone())), "manifest: approvals"),
        ("an approver exchanged", forged(|bundle| bundle.manifest.approvals[0].by = "bob".to_owned()), "manifest: approvals"),
        ("a grant left out", forged(|bundle| bundle.manifest.grants.clear()), "manifest: grants"),
        ("a blob left out", forged(|bundle| bundle.manifest.blobs.clear()), "manifest: blobs"),
        ("another component", forged(|bundle| bundle.manifest.component = Digest::of(b"other")), "manifest: component"),
        ("another status", forged(|bundle| bundle.manifest.status = crate::journal::Status::Completed), "manifest: status"),
        ("another plan", forged(|bundle| bundle.plan = Some(json("[2]"))), "manifest: plan_digest"),
        ("no plan", forged(|bundle| bundle.plan = None), "manifest: plan_digest"),
        ("another engine", forged(|bundle| bundle.manifest.engine = "other".to_owned()), "manifest: engine"),
    ] {
        assert!(found.starts_with(place), "{what}: {found}");
    }
}

#[test]
fn c71_a_signature_that_is_missing_wrong_or_someone_elses_is_refused() {
    let signed = || bundle_of(story(), None, Some(&signer()));
    let key = signer().public();
    let other = Signer::from_bytes(&[8; 32]);
    for (what, bundle, key, why) in [
        ("by another key", signed(), Some(other.public()), "signature: signed by"),
        ("unsigned, where a key was named", bundle_of(story(), None, None), Some(key), "signature: the bundle is not signed"),
        ("taken off", Bundle { signature: None, ..signed() }, None, "signature: is missing"),
        (
            "put on",
            Bundle { signature: signed().signature, ..bundle_of(story(), None, None) },
            None,
            "signature: it is there, and the manifest",
        ),
        (
            "of another bundle",
            Bundle { signature: bundle_of(story()[..3].to_vec(), None, Some(&signer())).signature, ..signed() },
            None,
            "signature: is not",
        ),
        ("by another under this name", rooted(signed(), Some(&other)), None, "signature: is not"),
    ] {
        let error = refused(&bundle.to_bytes(), key.as_ref());
        assert!(error.code == Code::EvidenceBroken && error.message.starts_with(why), "{what}: {error}");
    }
    assert!(verify(&signed().to_bytes(), Some(&key)).is_ok());
}

#[test]
fn an_approval_of_something_else_than_was_shown_is_found() {
    let digest = Digest::of(b"something else");
    let bodies = vec![created(Digest::of(b"component")), asked("refund", r#"{"euros":20}"#, digest), approved(digest)];
    let error = refused(&bundle_of(bodies, None, Some(&signer())).to_bytes(), None);
    assert_eq!(error.message, "entries: entry 2: its digest is not that of what it shows");
    assert_eq!(error.details, Some(serde_json::json!({"place": "entries", "seq": 2})));
}

#[test]
fn a_plan_of_this_version_must_compile_to_the_component() {
    let mut bundle = bundle_of(story(), Some(json("[1]")), None);
    bundle.manifest.made_by = super::export::made_by();
    let error = refused(&rooted(bundle, None).to_bytes(), None);
    assert!(error.message.starts_with("plan: "), "{error}");
    let older = bundle_of(story(), Some(json("[1]")), None);
    assert_eq!(verify(&older.to_bytes(), None).unwrap().plan_is_component, Some(false), "another version may have compiled it otherwise");
}

#[test]
fn what_is_no_bundle_says_so() {
    let newer = bundle_of(story(), None, None);
    let newer = Bundle { manifest: Manifest { evidence_version: VERSION + 1, ..newer.manifest.clone() }, ..newer };
    assert_eq!(refused(&newer.to_bytes(), None).code, Code::NotSupported);
    for text in ["", "{}", "[]", "null", "{\"manifest\":{}}"] {
        let error = refused(text.as_bytes(), None);
        assert!(error.code == Code::EvidenceBroken && error.message.starts_with("not an evidence bundle"), "{text}: {error}");
    }
}

#[tokio::test]
async fn c70_a_journal_that_was_changed_on_the_disk_gives_no_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (space, job_id) = (Space::default_space(), JobId::fresh());
    let component = store.blobs().put(b"\0asm by hand").unwrap();
    let mut log = Log::create(&store, &space, job_id, created(component), None, 1).await.unwrap();
    for body in story().into_iter().skip(1) {
        log.push(body).unwrap();
    }
    log.flush().await.unwrap();
    let before = export(&store, &space, &job_id, Some(&signer())).unwrap();
    let verified = verify(&before.to_bytes(), Some(&signer().public())).unwrap();
    assert_eq!((verified.manifest.entries, verified.plan_is_component), (6, None));
    let again = export(&store, &space, &job_id, Some(&signer())).unwrap();
    assert_eq!((&again.entries, again.manifest.last_hash), (&before.entries, before.manifest.last_hash));

    for seq in 1..=6 {
        let key = EntryKey { job_id, seq };
        let was = store.get(&key).unwrap().unwrap();
        let text = String::from_utf8(was.clone()).unwrap();
        for tampered in [Some(text.replace("\"v\":2", "\"v\":1")), None] {
            let mut batch = Batch::new();
            match tampered {
                Some(text) => batch.put(&key, text.into_bytes()),
                None => batch.delete(&key),
            }
            store.commit(batch).await.unwrap();
            let error = export(&store, &space, &job_id, None).map(|_| ()).unwrap_err();
            assert_eq!(error.code, Code::DataCorrupt, "{error}");
            assert!(error.message.contains(&format!("entry {seq}")) || error.message.contains(&format!("entry {}", seq + 1)), "{error}");
            let mut batch = Batch::new();
            batch.put(&key, was.clone());
            store.commit(batch).await.unwrap();
        }
    }
    export(&store, &space, &job_id, None).unwrap();
    let elsewhere = Space::parse(Some("other"), None).unwrap();
    assert_eq!(export(&store, &elsewhere, &job_id, None).map(|_| ()).unwrap_err().code, Code::JobNotFound);
    assert_eq!(journal::exact(&store, &space, &JobId::fresh()).map(|_| ()).unwrap_err().code, Code::JobNotFound);
}
