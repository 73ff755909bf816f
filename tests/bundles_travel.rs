//! A playbook goes to another machine in one file, and whatever is wrong with that file is found before anything is kept.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use reprise::bundles::Bundle;
use reprise::ids::Digest;
use serde_json::{Value, json};

use crate::support::cli::Place;
use crate::support::layout::{Layout, files};
use crate::support::page::repository;

const RECORDING: &str = r#"{"run": {"run_id": "sums", "goal": "write a sum down", "inputs": {"a": 40, "date": "2026-12-01"}}}
{"tool": "adder/add", "input": {"a": 40, "b": 2}, "output": 42}
{"tool": "Write", "input": {"file_path": "/home/me/work/2026-12-01.txt", "content": "done on 2026-12-01"}, "output": {"path": "/home/me/work/2026-12-01.txt", "bytes": 18}}
{"end": {"status": "success"}}
"#;
const WASM: &str = "application/wasm";

fn adder() -> Vec<u8> {
    std::fs::read(repository().join("docs/examples/adder.wasm")).unwrap()
}

/// A machine with the tool and the playbook, compiled in a way that its bundle has to tell.
fn machine() -> Place {
    let place = Place::new();
    std::fs::write(place.path("adder.wasm"), adder()).unwrap();
    place.json(0, &["tools", "upload", "adder.wasm"]);
    place.file("sums.jsonl", RECORDING);
    place.json(0, &["record", "sums.jsonl"]);
    place.json(0, &["compile", "sums", "--playbook", "sums", "--root", "/home/me/work=project"]);
    place
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// What a command that must fail with this code says.
fn refused(place: &Place, code: i32, arguments: &[&str]) -> Value {
    let ran = place.run(&[&["--json"], arguments].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
    serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {ran:#?}"))
}

/// What is kept of anything, by name.
fn kept(place: &Place) -> Vec<Value> {
    ["playbooks", "runs"].iter().map(|list| place.json(0, &[list, "list"])[list].clone()).collect()
}

#[test]
fn a_playbook_travels_with_its_tools_and_its_recording_and_runs_elsewhere() {
    let (here, there) = (machine(), Place::new());
    let packed = here.json(0, &["pack", "sums", "-o", "sums.tar"]);
    assert_eq!((&packed["explained_by"], &packed["proof"]["calls"]), (&json!("plan"), &json!(2)), "{packed}");
    std::fs::copy(here.path("sums.tar"), there.path("sums.tar")).unwrap();

    let would = there.json(0, &["install", "sums.tar", "--dry-run"]);
    assert_eq!((&would["dry_run"], &would["version"], &would["repeated"]), (&json!(true), &json!(1), &json!(false)));
    assert_eq!((&would["tools"][0]["namespace"], &would["tools"][0]["activation"]), (&json!("adder"), &json!("active")));
    assert_eq!(kept(&there), [json!([]), json!([])], "a dry run keeps nothing");
    refused(&there, 3, &["tools", "show", "adder"]);

    let installed = there.json(0, &["install", "sums.tar"]);
    let same = |installed: &Value, what: &str| {
        for field in ["content_digest", "component_digest", "name", "imports", "tools", "proof", "grants_needed", "run_id"] {
            assert_eq!(installed[field], would[field], "{what}: {field}");
            assert_eq!(packed["content_digest"], would["content_digest"], "{what}");
        }
    };
    same(&installed, "installed");
    assert_eq!(installed["grants_needed"], json!({"project": "rw"}));
    let inspect = |place: &Place| place.json(0, &["inspect", "sums"]);
    assert_eq!(inspect(&here), inspect(&there));

    std::fs::create_dir(there.path("project")).unwrap();
    let run = |date: &str| {
        let input = json!({"a": 1, "date": date}).to_string();
        there.json(0, &["run", "sums", "--input", &input, "--grant", "fs:project=project"])
    };
    assert_eq!(run("2027-01-31")["status"], "completed");
    assert_eq!(std::fs::read_to_string(there.path("project/2027-01-31.txt")).unwrap(), "done on 2027-01-31");

    // The same bundle once more changes nothing, and what it made is packed into the same bytes.
    let before = kept(&there);
    let again = there.json(0, &["install", "sums.tar"]);
    assert_eq!((&again["version"], &again["repeated"], &again["tools"][0]["repeated"]), (&json!(1), &json!(true), &json!(true)));
    assert_eq!(kept(&there), before);
    there.json(0, &["pack", "sums@1", "--out", "again.tar"]);
    assert!(read(there.path("again.tar")) == read(here.path("sums.tar")), "packed again from what was installed");
    let words = there.ok(&["install", "sums.tar"]);
    for said in ["was here already", "tool:adder/add", "no grant and no secret", "compiles to this very component", "compute"] {
        assert!(words.contains(said), "{said}: {words}");
    }
}

#[test]
fn the_same_is_packed_into_the_same_bytes_as_a_file_and_as_a_directory() {
    let place = machine();
    for (flag, name) in [("-o", "one.tar"), ("-o", "two.tar"), ("--dir", "one"), ("--dir", "two")] {
        place.json(0, &["pack", "sums", flag, name]);
    }
    assert!(read(place.path("one.tar")) == read(place.path("two.tar")));
    assert!(files(&place.path("one")) == files(&place.path("two")));
    assert!(Bundle::read(&place.path("one.tar")).unwrap() == Bundle::read(&place.path("one")).unwrap());
    assert!(refused(&place, 2, &["pack", "sums", "--dir", "one"])["message"].as_str().unwrap().contains("not empty"));
    refused(&place, 2, &["pack", "sums"]);
    refused(&place, 2, &["pack", "sums", "--dir", "x", "-o", "y"]);
    assert_eq!(refused(&place, 3, &["pack", "nothing", "-o", "x"])["error"], "replay_playbook_not_found");
    assert_eq!(refused(&place, 3, &["install", "nowhere.tar"])["error"], "file_not_found");

    // As a tool that knows only tar makes one of the directory.
    let mut tar = tar::Builder::new(std::fs::File::create(place.path("plain.tar")).unwrap());
    tar.append_dir_all(".", place.path("one")).unwrap();
    tar.into_inner().unwrap();
    assert!(Bundle::read(&place.path("plain.tar")).unwrap() == Bundle::read(&place.path("one")).unwrap());
}

/// Held against the image specification and the convention for WebAssembly artifacts, field by field.
#[test]
fn others_find_an_oci_image_layout() {
    let place = machine();
    place.json(0, &["pack", "sums", "--dir", "bundle"]);
    let layout = Layout::copy(&place.path("bundle"));
    assert_eq!(layout.json(&layout.file("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let index = layout.index();
    assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!("application/vnd.oci.image.index.v1+json")));
    let named: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|m| &m["annotations"]["org.opencontainers.image.ref.name"]).collect();
    assert_eq!(named, ["playbook", "tools-adder", "bundle"]);
    for descriptor in index["manifests"].as_array().unwrap() {
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let bytes = read(layout.blob(descriptor["digest"].as_str().unwrap()));
        assert_eq!(descriptor["digest"], format!("sha256:{}", Digest::of(&bytes)));
        assert_eq!(descriptor["size"], bytes.len());
    }
    for (reference, imports, exports) in
        [("playbook", "tool:adder/add", "reprise:playbook/playbook@0.1.0"), ("tools-adder", "", "docs:adder/math@0.1.0")]
    {
        let artifact = layout.artifact(reference);
        assert_eq!((&artifact["schemaVersion"], artifact.get("subject")), (&json!(2), None));
        assert_eq!(artifact["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(artifact["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
        assert_eq!(artifact["layers"].as_array().unwrap().len(), 1, "the convention has one layer");
        let layer = &artifact["layers"][0];
        assert_eq!(layer["mediaType"], WASM);
        assert!(read(layout.blob(layer["digest"].as_str().unwrap())).starts_with(b"\0asm"));
        let config = layout.json(&layout.blob(artifact["config"]["digest"].as_str().unwrap()));
        assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip2")));
        assert_eq!(config["layerDigests"], json!([layer["digest"]]));
        assert_eq!((&config["created"], &config["author"]), (&json!("1970-01-01T00:00:00Z"), &Value::Null));
        let names = |field: &str| config["component"][field].as_array().unwrap().clone();
        assert!(names("exports").contains(&json!(exports)), "{config}");
        assert!(if imports.is_empty() { names("imports").is_empty() } else { names("imports").contains(&json!(imports)) }, "{config}");
        assert_eq!(config["component"]["target"], Value::Null);
    }
    let ours = layout.artifact("bundle");
    let own = "application/vnd.reprise.bundle.v1+json";
    assert_eq!((&ours["artifactType"], &ours["config"]["mediaType"]), (&json!(own), &json!(own)));
    assert_eq!(ours["subject"]["digest"], index["manifests"][0]["digest"]);
    let types: Vec<&Value> = ours["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(types, ["application/vnd.reprise.plan.v1+json", "application/vnd.reprise.recording.v1+jsonl"]);
    let grants = layout.manifest().to_string().contains("grant");
    assert!(!grants && files(layout.path()).len() == 2 + 3 + 3 + 2 + 2, "{:?}", files(layout.path()).keys());
}

#[test]
fn a_byte_that_is_not_what_it_was_is_found_in_every_file() {
    let place = machine();
    place.json(0, &["pack", "sums", "--dir", "bundle"]);
    let whole = files(&place.path("bundle"));
    let complaints = std::cell::RefCell::new(Vec::new());
    for (name, bytes) in &whole {
        let says = |change: &dyn Fn(&Path), says: &[&str]| {
            let layout = Layout::copy(&place.path("bundle"));
            change(&layout.file(name));
            match Bundle::read(layout.path()) {
                Err(e) if e.code.as_str() == "bundle_broken" && says.iter().any(|said| e.message.contains(said)) => {}
                came => complaints.borrow_mut().push(format!("{name}: {:?}", came.map(|_| "was taken").map_err(|e| e.to_string()))),
            }
        };
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let reason = if name.contains('/') { "have the digest" } else { "" };
            says(&|path| std::fs::write(path, &flipped).unwrap(), &[reason]);
        }
        let mut longer = bytes.clone();
        longer.push(b' ');
        says(&|path| std::fs::write(path, &longer).unwrap(), &["have the digest", "is not what"]);
        says(&|path| std::fs::remove_file(path).unwrap(), &["is missing"]);
    }
    assert!(complaints.borrow().is_empty(), "{:#?}", complaints.borrow());
}

/// Each with what it must say.
#[test]
fn a_layout_with_more_less_or_other_than_was_packed_is_refused() {
    let place = machine();
    place.json(0, &["pack", "sums", "--dir", "bundle"]);
    let complaints = std::cell::RefCell::new(Vec::new());
    let broken = |says: &'static str, change: &dyn Fn(&Layout)| {
        let layout = Layout::copy(&place.path("bundle"));
        change(&layout);
        match Bundle::read(layout.path()) {
            Err(e) if e.message.contains(says) => e.code.as_str(),
            came => {
                complaints.borrow_mut().push(format!("{says}: {:?}", came.map(|_| "was taken").map_err(|e| e.to_string())));
                "bundle_broken"
            }
        }
    };
    let write = |layout: &Layout, name: &str| std::fs::write(layout.file(name), b"more").unwrap();
    let extra = format!("blobs/sha256/{}", Digest::of(b"more"));
    let mut codes = vec![
        broken("is no part of", &|layout| write(layout, &extra)),
        broken("no file of a bundle", &|layout| write(layout, "readme.txt")),
        broken("no file of a bundle", &|layout| write(layout, "blobs/more")),
        broken("have the digest", &|layout| write(layout, &format!("blobs/sha256/{}", Digest::of(b"less")))),
        broken("a directory that", &|layout| std::fs::create_dir(layout.file("more")).unwrap()),
        broken("is a link", &|layout| {
            let name = layout.blob(layout.index()["manifests"][0]["digest"].as_str().unwrap());
            std::fs::remove_file(&name).unwrap();
            std::os::unix::fs::symlink(layout.file("index.json"), name).unwrap();
        }),
        // A size that is wrong where the digest is right.
        broken("has 7 bytes, and it has", &|layout| layout.with_artifact("bundle", |ours| ours["layers"][0]["size"] = json!(7))),
        broken("has 1 bytes, and it has", &|layout| {
            let mut index = layout.index();
            index["manifests"][1]["size"] = json!(1);
            std::fs::write(layout.file("index.json"), index.to_string()).unwrap();
        }),
        broken("is no digest", &|layout| layout.with_artifact("bundle", |ours| ours["config"]["digest"] = json!("sha256:../../x"))),
        broken("names no artifact", &|layout| {
            let mut index = layout.index();
            index["manifests"].as_array_mut().unwrap().retain(|m| m["annotations"]["org.opencontainers.image.ref.name"] != "bundle");
            std::fs::write(layout.file("index.json"), index.to_string()).unwrap();
        }),
        broken("two layers", &|layout| {
            layout.with_artifact("bundle", |ours| {
                let plan = ours["layers"][0].clone();
                ours["layers"].as_array_mut().unwrap().push(plan);
            });
        }),
        broken("unknown field", &|layout| layout.with_manifest(|manifest| manifest["grants"] = json!([{"kind": "fs"}]))),
        broken("is no part of a bundle of this content", &|layout| {
            layout.with_artifact("tools-adder", |artifact| {
                let mut config = layout.json(&layout.blob(artifact["config"]["digest"].as_str().unwrap()));
                config["component"]["imports"] = json!(["wasi:sockets/tcp@0.2.0"]);
                layout.exchange(&mut artifact["config"], config.to_string().as_bytes());
            });
        }),
    ];
    codes.dedup();
    assert_eq!(codes, ["bundle_broken"]);
    let newer = broken("newer version", &|layout| layout.with_manifest(|manifest| manifest["bundle_version"] = json!(3)));
    let unknown = broken("knows no layer", &|layout| {
        layout.with_artifact("bundle", |ours| ours["layers"][1]["mediaType"] = json!("application/vnd.reprise.promise.v1+json"));
    });
    assert!(complaints.borrow().is_empty(), "{:#?}", complaints.borrow());
    assert_eq!((newer, unknown), ("not_supported", "not_supported"));
}

#[test]
fn evidence_goes_along_where_it_is_asked_for_and_is_checked() {
    let (here, there) = (machine(), Place::new());
    std::fs::create_dir(here.path("project")).unwrap();
    let input = r#"{"a":1,"date":"x"}"#;
    let job = here.json(0, &["run", "sums", "--input", input, "--grant", "fs:project=project"])["job_id"].as_str().unwrap().to_owned();
    for file in ["one.tar", "two.tar"] {
        here.json(0, &["pack", "sums", "-o", file, "--evidence", &job]);
    }
    assert!(read(here.path("one.tar")) == read(here.path("two.tar")), "evidence is as of the job's last entry");
    std::fs::copy(here.path("one.tar"), there.path("one.tar")).unwrap();
    let installed = there.json(0, &["install", "one.tar"]);
    assert_eq!(installed["evidence"][0]["job_id"], json!(job));
    assert_eq!(installed["evidence"][0]["status"], "completed");

    here.playbook(
        "other",
        r#"{"run": {"run_id": "other", "goal": "g"}}
{"tool": "adder/add", "input": {"a": 1, "b": 1}, "output": 2}
{"end": {"status": "success"}}
"#,
    );
    let e = refused(&here, 5, &["pack", "other", "-o", "three.tar", "--evidence", &job]);
    assert!(e["message"].as_str().unwrap().contains("not this playbook"), "{e}");
    assert!(!here.path("three.tar").exists());
}

#[test]
fn what_was_written_by_hand_and_what_was_made_of_a_graph_travel_too() {
    let (here, there) = (Place::new(), Place::new());
    let bytes = wat::parse_str(include_str!("guests/clock.wat")).unwrap();
    std::fs::write(here.path("clock.wasm"), bytes).unwrap();
    here.json(0, &["upload", "clock.wasm", "--playbook", "clock"]);
    here.file("graph.json", r#"{"graph_version": 1, "goal": "list", "nodes": [{"id": "look", "kind": "tool", "tool": "fs/list", "input": {"path": "project"}}]}"#);
    std::fs::create_dir(here.path("project")).unwrap();
    here.json(0, &["run", "--graph", "graph.json", "--grant", "fs:project=project"]);
    let playbooks = here.json(0, &["playbooks", "list"])["playbooks"].clone();
    for (n, playbook) in playbooks.as_array().unwrap().iter().enumerate() {
        let (id, file) = (playbook["playbook_id"].as_str().unwrap(), format!("{n}.tar"));
        let packed = here.json(0, &["pack", id, "-o", &file]);
        std::fs::copy(here.path(&file), there.path(&file)).unwrap();
        let installed = there.json(0, &["install", &file]);
        assert_eq!(installed["explained_by"], if id == "clock" { "none" } else { "plan" });
        assert_eq!((installed.get("proof"), &installed["content_digest"]), (None, &packed["content_digest"]));
        let words = there.ok(&["install", &file, "--dry-run"]);
        assert!(words.contains("Not shown: no recording is in it"), "{words}");
    }
    assert_eq!(there.json(0, &["playbooks", "list"])["playbooks"].as_array().unwrap().len(), 2);
}

#[test]
fn an_installation_that_is_killed_at_any_flush_is_not_there_or_whole_and_is_completed_by_the_next() {
    let here = machine();
    let packed = here.json(0, &["pack", "sums", "-o", "sums.tar"]);
    let inspected = here.json(0, &["inspect", "sums"]);
    let mut died = 0;
    for moment in ["before", "after"] {
        for flush in 1.. {
            let there = Place::new();
            there.file("data/SCRATCH", "");
            std::fs::copy(here.path("sums.tar"), there.path("sums.tar")).unwrap();
            let ran = there.run(&["--die-at", &format!("{moment}:{flush}"), "install", "sums.tar"]);
            if ran.code == 0 {
                break;
            }
            assert_eq!(ran.code, -1, "it died by a signal: {ran:#?}");
            died += 1;
            if kept(&there)[0] != json!([]) {
                assert_eq!(there.json(0, &["inspect", "sums"]), inspected, "{moment} {flush}");
            }
            let installed = there.json(0, &["install", "sums.tar"]);
            assert_eq!((&installed["content_digest"], &installed["version"]), (&packed["content_digest"], &json!(1)));
            assert_eq!(there.json(0, &["inspect", "sums"]), inspected, "{moment} {flush}");
            assert_eq!(there.json(0, &["tools", "show", "adder"])["versions"].as_array().unwrap().len(), 1);
        }
    }
    assert!(died >= 6, "before and after the recording, the tool and the version: {died}");
}
