//! What `reprise playbooks`, `reprise repairs` and `reprise match` tell of a playbook that really lived: compiled, run, promoted,
//! broken by the world, repaired, reviewed, disabled and enabled again. Each view is held to what was done, in words and as JSON.

use serde_json::{Value, json};

use super::support::cli::Place;

const RUN: &str = r#"{"run": {"run_id": "first", "goal": "note a thing", "inputs": {"name": "alpha-1"}}}
{"tool": "fs/list", "input": {"path": "project"}, "output": {"path": "project", "entries": []}}
{"tool": "fs/write", "input": {"path": "project/alpha-1.txt", "text": "noted\n"}, "output": {"path": "project/alpha-1.txt", "bytes": 6}}
{"end": {"status": "success", "metrics": {"total_tokens": 1000, "cost_usd": 0.5}}}
"#;

/// The whole life of the playbook `note`; the ids of its jobs, in order.
fn lived() -> (Place, Vec<String>) {
    let place = Place::new();
    place.playbook("note", RUN);
    place.file("tree/readme", "");
    let run = |name: &str, code: i32| {
        let input = json!({"name": name}).to_string();
        let ran = place.json(code, &["run", "note", "--input", &input, "--grant", "fs:project=tree"]);
        ran["job_id"].as_str().unwrap().to_owned()
    };
    let mut jobs = vec![run("beta-2", 0), run("gamma-3", 0)];
    place.ok(&["playbooks", "promote", "note", "--note", "read it", "--by", "ann"]);
    jobs.push(run("sub/delta-4", 1));
    let set = json!({"tool_input_template": {"path": "project/alpha-1.txt", "text": "noted\n", "create_dirs": true}});
    let patch = place.file("patch.json", &json!({"step_patches": [{"step_id": "s2", "set": set}]}).to_string());
    place.ok(&["repairs", "propose", "note", "--patch", patch.to_str().unwrap(), "--by", "ann", "--note", "directories are new"]);
    place.ok(&["repairs", "approve", "note@3", "--by", "bob", "--note", "so they are"]);
    place.ok(&["playbooks", "promote", "note", "--by", "bob"]);
    jobs.push(run("sub/delta-4", 0));
    place.ok(&["playbooks", "disable", "note", "--note", "too many notes"]);
    assert_eq!(place.json(0, &["match", "note a thing"])["matches"], json!([]));
    place.ok(&["playbooks", "promote", "note@5", "--note", "not enough notes"]);
    jobs.push(run("epsilon-5", 0));
    place.ok(&["playbooks", "policy", "note", "--set", "canary_share=0.25"]);
    (place, jobs)
}

/// Some fields of each row, in the order of the page.
fn fields(rows: &Value, names: &[&str]) -> Value {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| names.iter().map(|name| row.pointer(name).cloned().unwrap_or_default()).collect::<Value>())
        .collect()
}

/// The cells of a table's rows, as they are printed.
fn cells(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with('│'));
    rows.map(|row| row.trim_matches('│').split('┆').map(|cell| cell.trim().to_owned()).collect()).skip(1).collect()
}

/// Every one of these words stands in the text, in this order.
fn says(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some((_, after)) = rest.split_once(word) else { panic!("{word:?} does not follow in: {text}") };
        rest = after;
    }
}

#[test]
fn each_view_tells_what_was_done_in_words_and_as_json() {
    let (place, jobs) = lived();
    let (json, words) = (|arguments: &[&str]| place.json(0, arguments), |arguments: &[&str]| place.ok(arguments));

    let lived = json!([
        [7, "active", "promoted", 5, true],
        [6, "disabled", "promoted", 5, false],
        [5, "active", "promoted", 4, false],
        [4, "shadow", "reviewed", 3, false],
        [3, "draft", "repaired", 2, false],
        [2, "active", "promoted", 1, false],
        [1, "draft", "compiled", null, false],
    ]);
    let versions = json(&["playbooks", "versions", "note"]);
    assert_eq!(fields(&versions["versions"], &["/version", "/status", "/made_by/kind", "/made_by/from_version", "/runs"]), lived);
    assert_eq!(fields(&versions["versions"], &["/review/state", "/reviewed_as/version"])[4], json!(["pending_review", 4]));
    let (first, mended) = (&versions["versions"][6]["component_digest"], &versions["versions"][0]["component_digest"]);
    assert_ne!(first, mended);
    let shown = cells(&words(&["playbooks", "versions", "note"]));
    let told: Vec<[&str; 4]> = shown.iter().map(|row| [&*row[0], &*row[1], &*row[2], &*row[3]]).collect();
    let expected = [
        ["7", "active", "runs", "promoted"],
        ["6", "disabled", "", "promoted"],
        ["5", "active", "", "promoted"],
        ["4", "shadow", "", "reviewed"],
        ["3", "draft", "", "repaired"],
        ["2", "active", "", "promoted"],
        ["1", "draft", "", "compiled"],
    ];
    assert_eq!(told, expected);
    let page = json(&["playbooks", "versions", "note", "--limit", "2"]);
    assert_eq!((page["versions"].as_array().unwrap().len(), &page["next"]), (2, &json!("6")));
    let page = words(&["playbooks", "versions", "note", "--limit", "2", "--cursor", "6"]);
    assert!(cells(&page)[0][0] == "5" && page.contains("more with --cursor 4"), "{page}");

    let history = json(&["playbooks", "history", "note"]);
    let who = fields(&history["changes"], &["/version", "/by", "/note"]);
    let expected = json!([
        [7, null, "not enough notes"],
        [6, null, "too many notes"],
        [5, "bob", null],
        [4, "bob", "so they are"],
        [3, "ann", "directories are new"],
        [2, "ann", "read it"],
        [1, null, null],
    ]);
    assert_eq!(who, expected);
    let lacked = history["changes"][5]["overrode"].as_array().unwrap();
    assert!(lacked.iter().any(|line| line.as_str().unwrap().contains("recordings")), "{lacked:?}");
    let told = words(&["playbooks", "history", "note"]);
    says(
        &told,
        &[
            "7  active    promoted from 5",
            "note: not enough notes",
            "6  disabled  promoted from 5",
            "note: too many notes",
            "5  active    promoted from 4 by bob",
            "4  shadow    reviewed from 3 by bob",
            "note: so they are",
            "3  draft     repaired from 2 by ann",
            "2  active    promoted from 1 by ann",
            "note: read it",
            "although it lacked: ",
            "1  draft     compiled",
        ],
    );

    evidence(&place, &jobs);
    sums(&place, &jobs);

    let diff = json(&["playbooks", "diff", "note", "2", "5"]);
    assert_eq!((&diff["from"], &diff["to"], &diff["same_component"]), (&json!(2), &json!(5), &json!(false)));
    assert_eq!(diff["permission_diff"], json!({"added": [], "removed": []}));
    let lines = diff["lines"].as_array().unwrap();
    assert!(lines.len() == 1 && lines[0].as_str().unwrap().contains("s2 input/create_dirs"), "{diff}");
    let told = words(&["playbooks", "diff", "note", "2"]);
    assert_eq!(told.lines().collect::<Vec<_>>(), ["Playbook note, version 2 to 7:", lines[0].as_str().unwrap()], "to the one that runs");
    assert!(words(&["playbooks", "diff", "note", "1", "2"]).contains("They do the same."));

    let policy = json(&["playbooks", "policy", "note"]);
    assert_eq!((&policy["policy"]["canary_share"], &policy["settled"]), (&json!(0.25), &json!({"canary_share": 0.25})));
    let rows = cells(&words(&["playbooks", "policy", "note"]));
    assert!(rows.contains(&["canary_share", "0.25", "settled here"].map(str::to_owned).to_vec()), "{rows:?}");
    assert!(rows.contains(&["shadow.recordings", "3", ""].map(str::to_owned).to_vec()), "{rows:?}");
    assert_eq!(json(&["playbooks", "policy"])["settled"], json!({}), "it was said of the one playbook");
}

/// Jobs, proofs and rehearsals of the component that runs, and of the one before it.
fn evidence(place: &Place, jobs: &[String]) {
    let of = |playbook: &str| place.json(0, &["playbooks", "evidence", playbook]);
    let tally = |page: &Value| fields(&json!([page["verdict"]]), &["/version", "/status", "/successes", "/failures", "/distinct_inputs"]);
    let (now, before) = (of("note"), of("note@2"));
    assert_eq!((tally(&now), tally(&before)), (json!([[7, "active", 1, 0, 1]]), json!([[2, "active", 0, 1, 0]])), "since they are active");
    let tried = |page: &Value| -> Vec<(String, String, String)> {
        let jobs = page["evidence"].as_array().unwrap().iter().filter(|row| row["kind"] == "job");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        jobs.map(|row| (text(&row["job_id"]), text(&row["outcome"]), text(&row["drift"]["step"]))).collect()
    };
    let is = |at: usize, outcome: &str, step: &str| (jobs[at].clone(), outcome.to_owned(), step.to_owned());
    assert_eq!(tried(&now), [is(4, "success", ""), is(3, "success", "")]);
    assert_eq!(tried(&before), [is(2, "failure", "s2"), is(1, "success", ""), is(0, "success", "")], "the latest first");
    let proofs = before["evidence"].as_array().unwrap().iter().filter(|row| row["kind"] == "proof");
    assert_eq!(proofs.map(|row| row["run_id"].clone()).collect::<Vec<_>>(), [json!("first")]);
    let told = place.ok(&["playbooks", "evidence", "note@2"]);
    says(&told, &["Version 2, active: proved on 1 recordings", "since it is active, 0 jobs succeeded with 0 different inputs, 1 failed"]);
    let rows = cells(&told);
    let failed = rows.iter().find(|row| row[2] == "failure").unwrap();
    assert!(failed[1] == "job" && failed[4].starts_with("s2: "), "{failed:?}");
    assert_eq!(rows.iter().filter(|row| row[1] == "job" && row[2] == "success").count(), 2, "{told}");
}

/// What it spared, what `show` says of it all, what repairs are listed, and to whom it is proposed.
fn sums(place: &Place, jobs: &[String]) {
    let ledger = place.json(0, &["playbooks", "ledger", "note"]);
    assert_eq!((&ledger["jobs"]["successes"], &ledger["jobs"]["failures"]), (&json!(4), &json!(1)));
    assert_eq!(fields(&json!([ledger["per_run"]]), &["/runs", "/calls", "/tokens", "/usd"]), json!([[1, 2.0, 1000.0, 0.5]]));
    assert_eq!((&ledger["saved"]["tokens"], &ledger["saved"]["usd"]), (&json!(4000.0), &json!(2.0)));
    let rows = ledger["rows"].as_array().unwrap();
    let of: Vec<&str> = rows.iter().map(|row| row["job_id"].as_str().unwrap()).collect();
    assert_eq!(of, jobs.iter().rev().map(String::as_str).collect::<Vec<_>>());
    let told = place.ok(&["playbooks", "ledger", "note"]);
    says(
        &told,
        &[
            "4 jobs succeeded and 1 failed",
            "calls: 2 a recorded run",
            "tokens: 1000 a recorded run, 4000 saved",
            "0.5 a recorded run, 2 saved",
        ],
    );
    assert_eq!(cells(&told).iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["success", "success", "failure", "success", "success"]);

    let shown = place.json(0, &["playbooks", "show", "note"]);
    assert_eq!(
        fields(&json!([shown]), &["/playbook_id", "/verdict/version", "/jobs/successes", "/saved/tokens"]),
        json!([["note", 7, 4, 4000.0]])
    );
    assert_eq!(fields(&shown["changes"], &["/version"]), json!([[7], [6], [5], [4], [3]]), "the latest");
    says(
        &place.ok(&["playbooks", "show", "note"]),
        &[
            "Playbook note",
            "Version 7, active:",
            "since it is active, 1 jobs succeeded",
            "4 jobs succeeded and 1 failed",
            "Its latest versions:",
            "7  active",
            "3  draft",
        ],
    );

    let repairs = place.json(0, &["repairs", "list"]);
    let row = ["/playbook_id", "/version", "/from_version", "/status", "/source", "/author", "/note"];
    assert_eq!(fields(&repairs["repairs"], &row), json!([["note", 3, 2, "approved", "patch", "ann", "directories are new"]]));
    assert_eq!(place.json(0, &["repairs", "list", "--status", "rejected"])["repairs"], json!([]));
    let listed = cells(&place.ok(&["repairs", "list", "--playbook", "note"]));
    assert_eq!(listed[0][..5], ["note@3", "2", "approved", "patch", "ann"].map(str::to_owned));
    let repair = place.json(0, &["repairs", "show", "note@3"]);
    assert_eq!((&repair["reviewed"]["version"], &repair["reviewed"]["by"]), (&json!(4), &json!("bob")));
    let proved = fields(&repair["details"]["proof"], &["/run_id", "/verdict", "/step"]);
    assert_eq!(proved, json!([["first", "differs", "s2"]]), "the patch changed what the second step writes");
    says(
        &place.ok(&["repairs", "show", "note@3"]),
        &[
            "Repair note@3 of version 2 by ann: approved",
            "directories are new",
            "reviewed by bob as version 4",
            "It does otherwise:",
            "s2 input/create_dirs",
            "The recordings say:",
            "first differs at s2",
        ],
    );

    let found = place.json(0, &["match", "note a thing", "--context", r#"{"name": "epsilon-5"}"#])["matches"].clone();
    let row = ["/playbook_id", "/version", "/status", "/ready", "/input", "/expected/jobs", "/missing_parameters"];
    assert_eq!(fields(&found, &row), json!([["note", 7, "active", true, {"name": "epsilon-5"}, 2, []]]));
    let bound = found[0]["expected"]["success"].as_f64().unwrap();
    assert!((0.34..0.35).contains(&bound), "two of two of its component, as a shadow and since it is active: {bound}");
    let told = place.ok(&["match", "note a thing"]);
    says(
        &told,
        &[
            "note@7  active  note a thing",
            "(2 of its component so far), 2 calls",
            "files below project (read and written)",
            "nothing is known of: name",
        ],
    );
}
