//! The playbook in `guest-sdk/text`: as it stands there it uploads, explains itself and runs, through the real program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::page::repository;

fn reprise(data: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .arg("--json")
        .arg("--data")
        .arg(data)
        .args(arguments)
        .env("REPRISE_LOG", "off")
        .output()
        .unwrap();
    let text = if stdout.is_empty() { stderr } else { stdout };
    (status.code(), serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&text))))
}

#[test]
fn the_smallest_playbook_uploads_explains_itself_and_runs() {
    let place = tempfile::tempdir().unwrap();
    let (data, tree, file) = (place.path().join("data"), place.path().join("tree"), place.path().join("greet.wasm"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a.txt"), "hello").unwrap();
    let bytes = wat::parse_file(repository().join("guest-sdk/text/greet.wat")).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();

    let (code, inspected) = reprise(&data, &["inspect", file]);
    assert_eq!(code, Some(0), "{inspected}");
    let imports = |shown: &Value| {
        shown["imports"].as_array().unwrap().iter().map(|line| line["import"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (inspected["explained_by"].as_str(), imports(&inspected)),
        (Some("none"), vec!["tool:fs/list".to_owned(), "flow.step".to_owned()])
    );

    let (code, uploaded) = reprise(&data, &["upload", file, "--playbook", "greet"]);
    assert_eq!(
        (code, &uploaded["version"], &uploaded["repeated"], &uploaded["component_bytes"]),
        (Some(0), &json!(1), &json!(false), &json!(bytes.len()))
    );
    assert_eq!(imports(&uploaded), imports(&inspected));
    let (code, again) = reprise(&data, &["upload", file, "--playbook", "greet"]);
    assert_eq!((code, &again["version"], &again["repeated"]), (Some(0), &json!(1), &json!(true)));

    let grant = format!("fs:project={}:ro", tree.display());
    let run = |input: &str| reprise(&data, &["run", "greet", "--input", input, "--grant", &grant]);
    let (code, job) = run(r#"{"path": "project"}"#);
    let entries = json!([{"path": "project/a.txt", "kind": "file", "bytes": 5}]);
    assert_eq!((code, &job["output"]), (Some(0), &json!({"hello": {"path": "project", "entries": entries}})), "{job}");
    let (code, job) = run(r#"{"path": "elsewhere"}"#);
    assert_eq!((code, &job["failure"]["step"], &job["failure"]["cause"]), (Some(1), &json!("look"), &json!("playbook")), "{job}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("elsewhere"), "{job}");
}

#[test]
fn what_is_no_component_is_refused_with_its_exit_code() {
    let place = tempfile::tempdir().unwrap();
    let (data, text) = (place.path().join("data"), repository().join("guest-sdk/text/greet.wat"));
    let (code, refused) = reprise(&data, &["upload", text.to_str().unwrap()]);
    assert_eq!((code, &refused["error"]), (Some(5), &json!("not_a_component")), "{refused}");
    let (code, missing) = reprise(&data, &["upload", "nowhere.wasm"]);
    assert_eq!((code, &missing["error"]), (Some(3), &json!("file_not_found")), "{missing}");
    let large = place.path().join("large.wasm");
    std::fs::File::create(&large).unwrap().set_len(33 * 1024 * 1024).unwrap();
    let (code, refused) = reprise(&data, &["upload", large.to_str().unwrap()]);
    assert_eq!((code, &refused["error"]), (Some(2), &json!("too_large")), "{refused}");
}
