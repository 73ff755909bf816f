//! Playbooks are mended by patches, by runs and by proposals; somebody looks at each before it runs, exactly once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::chat::{Chat, Reply};
use crate::support::recorded::record;
use crate::support::server::{Answer, Server};

/// A playbook `p` that writes a version into a file, and where it does so.
pub fn world(config: &str) -> (Server, TempDir) {
    let notes = tempfile::tempdir().unwrap();
    let server = Server::configured(&[format!("fs:notes={}", notes.path().display())], config);
    record(&server, "first", inputs("1.4.0"), &[write("notes/v.txt", "1.4.0"), tell("1.4.0")]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "first", "playbook_id": "p"})).ok();
    (server, notes)
}

fn inputs(version: &str) -> Value {
    json!({"inputs": {"version": version}})
}

fn write(path: &str, version: &str) -> (&'static str, Value, Value) {
    ("Write", json!({"file_path": path, "content": format!("version {version}")}), json!({"safety_level": "auto_ok"}))
}

fn tell(version: &str) -> (&'static str, Value, Value) {
    ("tell", json!({"text": format!("released {version}")}), json!({"safety_level": "auto_ok", "output": {"told": true}}))
}

fn of_p(mut body: Value) -> Value {
    body["playbook_id"] = "p".into();
    body
}

pub fn repair(server: &Server, body: Value) -> Answer {
    server.post("/v1/memory/replay/playbooks/repair", &of_p(body))
}

pub fn review(server: &Server, body: Value) -> Answer {
    server.post("/v1/memory/replay/playbooks/repair/review", &of_p(body))
}

pub fn by_operator(server: &Server, route: &str, body: Value) -> Answer {
    server.operator("POST", &format!("/v1/memory/replay/playbooks/{route}"), Some(&of_p(body)))
}

/// A patch that has the file end otherwise.
pub fn other_text(text: &str) -> Value {
    json!({"patch": {"step_patches": [{"step_index": 1, "set": {"tool_input_template": {"file_path": "notes/v.txt", "content": text}}}]}})
}

#[test]
fn a_repair_shows_what_it_changes_asks_and_breaks_and_runs_only_once_it_is_approved() {
    let (server, _notes) = world("");
    let patch = json!({
        "step_patches": [{"step_index": 1, "set": {"tool_input_template": {"file_path": "notes/w.txt", "content": "version 1.4.0"}}}],
        "insert_after": [{"step_index": 1, "steps": [{"tool": "fs/read", "input": {"constant": {"path": "notes/w.txt"}}}]}],
        "policy_constraints": {"branch": "main"},
    });
    let made = repair(&server, json!({"patch": patch, "actor": "ann", "note": "it has moved"})).ok();
    assert_eq!(
        made["diff_lines"],
        json!(["~ s1 input/path: \"notes/v.txt\" -> \"notes/w.txt\"", "+ r1 fs/read (read) {\"path\":\"notes/w.txt\"}"]),
        "{made}"
    );
    assert_eq!(made["permission_diff"], json!({"added": ["read files (fs/read)"], "removed": []}));
    let held = &made["proof"][0];
    assert_eq!((&held["run_id"], &held["verdict"], &held["step"]), (&json!("first"), &json!("differs"), &json!("s1")), "{made}");
    assert_eq!(made["repair_summary"]["top_level_updates"], json!(["policy_constraints"]));
    // It is there, and what runs is what ran before.
    let got = server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"].clone();
    assert_eq!((&got["version"], &got["active_version"], &got["status"]), (&json!(2), &json!(1), &json!("draft")));
    assert_eq!((&got["repair_review"]["state"], &got["repair_review"]["author"]), (&json!("pending_review"), &json!("ann")));
    assert_eq!(got["policy_constraints"], json!({"branch": "main"}));
    let refused =
        by_operator(&server, "promote", json!({"from_version": 2, "target_status": "active"})).refused(409, "promotion_not_earned");
    assert!(refused["message"].as_str().unwrap().contains("waits for a review"), "{refused}");
    // Who knows its number does not start it either, whether it waits or was rejected.
    let named = |version: u32| server.post("/v1/jobs", &of_p(json!({"version": version, "input": {"version": "1.0.0"}})));
    let refused = named(2).refused(409, "promotion_not_earned");
    assert!(refused["message"].as_str().unwrap().contains("version 2 waits for a review"), "{refused}");
    server
        .post(
            "/v1/memory/replay/playbooks/run",
            &of_p(json!({"version": 2, "mode": "strict", "params": {"version": "1.0.0", "auto_confirm": true}})),
        )
        .refused(409, "promotion_not_earned");
    // The same again is the same; a rejection is for ever.
    assert_eq!(repair(&server, json!({"patch": patch, "actor": "ann", "note": "it has moved", "from_version": 1})).ok()["to_version"], 2);
    let rejected = review(&server, json!({"action": "reject", "actor": "bob", "note": "it has not"})).ok();
    assert_eq!(
        (&rejected["review_state"], &rejected["status"], &rejected["shadow_validation"]),
        (&json!("rejected"), &json!("draft"), &Value::Null)
    );
    review(&server, json!({"action": "approve", "version": 2})).refused(409, "replay_repair_not_pending_review");
    let refused = named(3).refused(409, "promotion_not_earned");
    assert!(refused["message"].as_str().unwrap().contains("was rejected by a review"), "{refused}");
    assert_eq!(server.get("/v1/playbooks/p/evidence?version=2").ok()["evidence"], json!([]));
    let got = server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"].clone();
    assert_eq!((&got["version"], &got["active_version"]), (&json!(3), &json!(1)));
    // What was rejected is not what the next repair begins with.
    assert_eq!(repair(&server, other_text("x")).ok()["from_version"], 1);
    // What asks for more is approved as a draft, and is an operator's to let run.
    let wider = repair(&server, json!({"patch": patch, "from_version": 1})).ok();
    review(&server, json!({"action": "approve", "version": wider["to_version"]})).ok();
    assert_eq!(server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"]["active_version"], 1);
}

#[test]
fn a_run_that_got_past_the_step_is_spliced_in_and_validated_by_itself() {
    let (server, notes) = world("");
    let read = (
        "Read",
        json!({"file_path": "notes/name.txt"}),
        json!({"output": {"text": "notes/place-77.txt", "bytes": 18}, "safety_level": "auto_ok"}),
    );
    record(&server, "second", inputs("2.0.0"), &[read, write("notes/place-77.txt", "2.0.0"), tell("2.0.0")]);
    let made = repair(&server, json!({"run_id": "second", "failing_step": "s1"})).ok();
    assert_eq!(
        made["diff_lines"],
        json!([
            "- s1 fs/write (idempotent) {path: \"notes/v.txt\", text: \"version \" + input.version}",
            "+ r1 fs/read (read) {\"path\":\"notes/name.txt\"}",
            "+ r2 fs/write (idempotent) {path: r1/text, text: \"version \" + input.version}",
        ]),
        "{made}"
    );
    let verdicts: Vec<&Value> = made["proof"].as_array().unwrap().iter().map(|held| &held["verdict"]).collect();
    assert_eq!((verdicts, &made["source_run_id"]), (vec![&json!("differs"), &json!("same")], &json!("second")), "{made}");
    let asked = json!({"action": "approve", "auto_promote_on_pass": true, "auto_promote_target_status": "shadow"});
    let reviewed = by_operator(&server, "repair/review", asked).ok();
    let validation = &reviewed["shadow_validation"];
    assert_eq!(
        (&validation["pass"], &validation["ready_steps"], &validation["executed"]),
        (&json!(true), &json!(3), &json!(false)),
        "{reviewed}"
    );
    assert_eq!(reviewed["auto_promotion"]["reason"], "already_target_status", "{reviewed}");
    let steps = server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"]["steps_template"].clone();
    let numbers: Vec<&Value> = steps.as_array().unwrap().iter().map(|step| &step["step_index"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(2), &json!(3)], "no two steps have one number");
    // It runs, on another place and with another version.
    std::fs::write(notes.path().join("name.txt"), "notes/elsewhere.txt").unwrap();
    by_operator(&server, "promote", json!({"target_status": "active"})).ok();
    let ran = server.post("/v1/memory/replay/playbooks/run", &of_p(json!({"mode": "strict", "params": {"version": "3.0.0"}}))).ok();
    assert_eq!(std::fs::read_to_string(notes.path().join("elsewhere.txt")).unwrap(), "version 3.0.0", "{ran}");
    assert_eq!(
        (&ran["run"]["status"], &ran["steps"][2]["status"]),
        (&json!("in_progress"), &json!("pending")),
        "somebody outside is to tell"
    );
    // A run that does something else before the step is refused, and so is one that is not there.
    record(&server, "third", inputs("4.0.0"), &[tell("4.0.0")]);
    repair(&server, json!({"run_id": "third", "failing_step": "s2", "from_version": 1})).refused(422, "not_compilable");
    repair(&server, json!({"run_id": "nothing"})).refused(404, "replay_run_not_found");
    repair(&server, json!({"run_id": "first", "patch": {}})).refused(400, "invalid_request");
    repair(&server, json!({})).refused(400, "invalid_request");
}

#[test]
fn of_two_reviews_at_once_one_counts() {
    let (server, _notes) = world("");
    for round in 0..5 {
        repair(&server, other_text(&format!("text {round}"))).ok();
        let say = |action: &'static str| {
            let server = &server;
            move || review(server, json!({"action": action})).status
        };
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let asked = ["approve", "reject", "approve", "reject"].map(|action| scope.spawn(say(action)));
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        // Who said the same as the one who was first is answered as they were.
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 2, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 409).count(), 2, "{answers:?}");
        assert_eq!((answers[0], answers[1]), (answers[2], answers[3]), "{answers:?}");
    }
    let repairs = server.get("/v1/repairs").ok();
    let reviewed = repairs["repairs"].as_array().unwrap().iter().filter(|repair| repair["reviewed"]["version"].is_u64()).count();
    assert_eq!(reviewed, 5, "{repairs}");
    let versions = server.get("/v1/playbooks/p/versions?limit=99").ok()["versions"].as_array().unwrap().len();
    assert_eq!(versions, 1 + 5 + 5, "each was reviewed once");
}

#[test]
fn what_a_recording_breaks_with_is_approved_as_a_draft_that_does_not_run_by_itself() {
    let (server, _notes) = world("");
    // The second step takes a value that the first one never answers.
    let input = json!({"object": {"text": {"value": {"output": {"step": "s1", "pointer": "/nowhere"}}}}});
    repair(&server, json!({"patch": {"step_patches": [{"step_id": "s2", "set": {"input": input}}]}})).ok();
    let reviewed = review(&server, json!({"action": "approve", "auto_promote_on_pass": true})).ok();
    assert_eq!((&reviewed["review_state"], &reviewed["status"]), (&json!("approved_shadow_blocked"), &json!("draft")), "{reviewed}");
    assert_eq!((&reviewed["shadow_validation"]["pass"], &reviewed["auto_promotion"]["promoted"]), (&json!(false), &json!(false)));
    assert_eq!(reviewed["auto_promotion"]["reason"], "review_not_in_target_status_on_approve");
    assert_eq!(server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"]["active_version"], 1);
    by_operator(&server, "promote", json!({"target_status": "active"})).refused(409, "promotion_not_earned");
    // Without a validation nothing is known, and nothing is promoted.
    repair(&server, other_text("other")).ok();
    let reviewed = review(&server, json!({"action": "approve", "auto_shadow_validate": false, "auto_promote_on_pass": true})).ok();
    assert_eq!(reviewed["auto_promotion"]["reason"], "auto_shadow_validate_required");
    // A step that no recording knows is no success, unless the gate says that it may be unknown.
    repair(&server, other_text("other still")).ok();
    let gate = json!({"max_unknown_steps": 0, "min_total_steps": 9});
    let reviewed = review(&server, json!({"action": "approve", "auto_promote_on_pass": true, "auto_promote_gate": gate})).ok();
    let reasons = json!(["total_steps_below_threshold", "unknown_steps_above_threshold", "success_ratio_below_threshold"]);
    assert_eq!(reviewed["auto_promotion"]["gate"]["reasons"], reasons, "{reviewed}");
    assert_eq!(reviewed["auto_promotion"]["reason"], "gate_not_passed");
}

#[test]
fn a_repair_of_a_disabled_playbook_enables_nothing() {
    let (server, _notes) = world("");
    by_operator(&server, "promote", json!({"target_status": "disabled", "note": "it does harm"})).ok();
    let made = repair(&server, json!({"patch": other_text("mended")["patch"], "from_version": 1})).ok();
    assert_eq!((&made["to_version"], &made["review_state"]), (&json!(3), &json!("pending_review")));
    let start = || server.post("/v1/jobs", &of_p(json!({"input": {"version": "1.0.0"}})));
    start().refused(409, "playbook_disabled");
    assert_eq!(review(&server, json!({"action": "approve"})).ok()["status"], "draft");
    start().refused(409, "playbook_disabled");
    by_operator(&server, "promote", json!({"target_status": "active"})).ok();
    assert!(start().status < 300);
}

#[test]
fn without_an_operator_an_approval_makes_a_draft_unless_the_policy_opens_reviews() {
    let (server, _notes) = world("");
    by_operator(&server, "promote", json!({"target_status": "active"})).ok();
    // Here the mended steps are the ones that run: only how they are held to is another.
    let same = json!({"patch": {"step_patches": [{"step_index": 1, "set": {"safety_level": "needs_confirm"}}]}});
    for patch in [other_text("a"), same] {
        repair(&server, json!({"patch": patch["patch"], "from_version": 2})).ok();
        let asked = json!({"action": "approve", "target_status_on_approve": "shadow"});
        let refused = review(&server, asked).refused(409, "promotion_not_earned");
        assert!(refused["details"]["missing"][0].as_str().unwrap().contains("as a draft"), "{refused}");
        let approved = review(&server, json!({"action": "approve"})).ok();
        assert_eq!((&approved["status"], &approved["review_state"]), (&json!("draft"), &json!("approved")), "{approved}");
        let got = server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"].clone();
        assert_eq!(got["active_version"], 2, "what runs is lowered by no review");
    }
    server.operator("PUT", "/v1/policy", Some(&json!({"open_review": true}))).ok();
    repair(&server, json!({"patch": other_text("b")["patch"], "from_version": 2})).ok();
    review(&server, json!({"action": "approve", "target_status_on_approve": "active"})).refused(409, "promotion_not_earned");
    assert_eq!(review(&server, json!({"action": "approve"})).ok()["status"], "shadow");
    repair(&server, json!({"patch": other_text("c")["patch"], "from_version": 2})).ok();
    assert_eq!(by_operator(&server, "repair/review", json!({"action": "approve"})).ok()["status"], "shadow");
}

/// A draft runs where nothing but drafts is there, as long as it is one that was recorded: what somebody made of it by a patch waits
/// for evidence or an operator, whoever they say they are.
#[test]
fn what_was_mended_on_nobodys_word_does_not_run_by_itself_where_there_are_only_drafts() {
    let (server, notes) = world("");
    let runs = |version: u32, says: &str| {
        let job = server.post("/v1/jobs", &of_p(json!({"input": {"version": "1.0.0"}}))).ok();
        assert_eq!(job["version"], version, "{job}");
        let begun = std::time::Instant::now();
        let file = notes.path().join("v.txt");
        while std::fs::read_to_string(&file).ok().as_deref() != Some(says) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{job}");
            std::thread::yield_now();
        }
    };
    let unreviewed = |text: &str| json!({"patch": other_text(text)["patch"], "review_required": false});
    assert_eq!(repair(&server, unreviewed("without a review")).ok()["to_version"], 2);
    repair(&server, other_text("approved by nobody")).ok();
    assert_eq!(review(&server, json!({"action": "approve"})).ok()["to_version"], 4);
    repair(&server, other_text("approved by a name")).ok();
    assert_eq!(review(&server, json!({"action": "approve", "actor": "the boss"})).ok()["to_version"], 6);
    runs(1, "version 1.0.0");
    let told = server.get("/v1/playbooks/p/history").ok()["changes"][0].clone();
    assert_eq!((&told["by"], &told["by_operator"]), (&json!("the boss"), &Value::Null), "a name is what somebody said: {told}");
    // What is recorded still takes a draft's place, and an operator's word counts.
    record(&server, "later", inputs("1.5.0"), &[write("notes/v.txt", "1.5.0")]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "later", "playbook_id": "p"})).ok();
    assert_eq!(server.get("/v1/playbooks/p").ok()["version"], 7);
    assert_eq!(
        by_operator(
            &server,
            "repair",
            json!({"patch": unreviewed("by the operator")["patch"], "from_version": 1, "review_required": false})
        )
        .ok()["to_version"],
        8
    );
    runs(8, "by the operator");
    by_operator(&server, "promote", json!({"from_version": 2, "target_status": "shadow"})).ok();
    runs(9, "without a review");
}

#[test]
fn only_an_operator_approves_into_force_or_leaves_the_review_out() {
    let (server, _notes) = world("");
    repair(&server, other_text("a")).ok();
    let refused = review(&server, json!({"action": "approve", "target_status_on_approve": "active"})).refused(409, "promotion_not_earned");
    assert!(refused["details"]["missing"][0].as_str().unwrap().contains("operator"), "{refused}");
    let approved = by_operator(&server, "repair/review", json!({"action": "approve", "target_status_on_approve": "active"})).ok();
    assert_eq!(approved["status"], "active");
    let at_once = |text: &str, target: &str| json!({"patch": other_text(text)["patch"], "review_required": false, "target_status": target});
    repair(&server, at_once("b", "active")).refused(409, "promotion_not_earned");
    assert_eq!(repair(&server, at_once("b", "draft")).ok()["review_state"], "approved");
    let at_once = by_operator(&server, "repair", at_once("c", "active")).ok();
    assert_eq!((&at_once["status"], &at_once["review_required"]), (&json!("active"), &json!(false)));
    // A version that no repair made, and none before it.
    record(&server, "other", json!({}), &[tell("1")]);
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "other", "playbook_id": "q"})).ok();
    let never = json!({"playbook_id": "q", "action": "approve"});
    server.post("/v1/memory/replay/playbooks/repair/review", &never).refused(400, "replay_repair_patch_missing");
}

#[test]
fn a_model_proposes_and_a_person_disposes() {
    let patch = json!({"step_patches": [{"step_id": "s1", "set": {"input": {"constant": {"path": "notes/x.txt", "text": "x"}}}}]});
    let wrong = json!({"step_patches": [{"step_id": "s9", "set": {"input": {"constant": {}}}}]});
    let replies = vec![
        Reply::Says(wrong.to_string()),
        Reply::Says(format!("```json\n{patch}\n```")),
        Reply::Says(r#"{"cannot": "no idea"}"#.to_owned()),
    ];
    let chat = Chat::start(replies);
    let (server, _notes) = world(&chat.config(""));
    let made = repair(&server, json!({"propose": true, "context": {"hint": "it has moved"}, "actor": "robot"})).ok();
    assert_eq!(made["review_state"], "pending_review", "nothing that a model says runs by itself");
    assert_eq!((&made["patch"], &made["proposal"]["rounds"]), (&patch, &json!(2)), "{made}");
    let asked = chat.asked();
    assert!(asked[0]["messages"][1]["content"].as_str().unwrap().contains("it has moved"));
    assert!(asked[1]["messages"].to_string().contains("there is no step"), "what was wrong is sent back");
    repair(&server, json!({"propose": true})).refused(422, "planner_failed");
    let shown = server.get("/v1/repairs/p/2").ok();
    assert_eq!((&shown["source"], &shown["author"], &shown["details"]["patch"]), (&json!("proposal"), &json!("robot"), &patch));
    let (plain, _notes) = world("");
    repair(&plain, json!({"propose": true})).refused(400, "invalid_request");
}

#[test]
fn repairs_are_kept_and_listed_page_by_page() {
    let (server, _notes) = world("");
    for n in 0..5 {
        repair(&server, json!({"patch": other_text(&format!("text {n}"))["patch"], "note": format!("note {n}"), "actor": "ann"})).ok();
    }
    review(&server, json!({"action": "reject", "version": 3, "actor": "bob", "note": "no"})).ok();
    let mut versions = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/repairs?limit=2{cursor}")).ok();
        versions.extend(page["repairs"].as_array().unwrap().iter().map(|repair| repair["version"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(versions, [2, 3, 4, 5, 6]);
    let of = |query: &str| server.get(&format!("/v1/repairs?{query}")).ok()["repairs"].clone();
    assert_eq!(
        of("status=rejected")[0]["reviewed"],
        json!({"version": 7, "by": "bob", "note": "no", "at": of("status=rejected")[0]["reviewed"]["at"]})
    );
    assert_eq!((of("status=pending_review").as_array().unwrap().len(), of("status=approved")), (4, json!([])));
    assert_eq!((of("playbook_id=p").as_array().unwrap().len(), of("playbook_id=q")), (5, json!([])));
    assert_eq!(of("playbook_id=p")[0]["note"], "note 0");
    server.get("/v1/repairs?status=odd").refused(400, "invalid_request");
    server.get("/v1/repairs/p/1").refused(404, "repair_not_found");
    let one = server.get("/v1/repairs/p/3").ok();
    assert_eq!(one["details"]["diff_lines"], json!(["~ s1 input/text: \"version \" + input.version -> \"text 1\""]), "{one}");
}

/// What the run gave back is what it did, too; a playbook that gives back something else has not learned it.
#[test]
fn a_run_that_the_mended_playbook_does_not_do_again_is_not_spliced_in() {
    let server = Server::start();
    let steps =
        |tool: &'static str| [("look", json!({"what": "it"}), json!({"seen": true})), (tool, json!({"at": "it"}), json!({"done": true}))];
    let record = |run: &str, tool: &'static str, gives: &str| {
        let end = json!({"output": gives});
        crate::support::recorder::record_ending(&server, run, "do it", &json!({}), &steps(tool), &end);
    };
    record("first", "press", "pressed");
    record("otherwise", "pull", "pulled");
    record("same", "push", "pressed");
    server.post("/v1/memory/replay/playbooks/compile_from_run", &json!({"run_id": "first", "playbook_id": "p"})).ok();
    let refused = repair(&server, json!({"run_id": "otherwise"})).refused(422, "not_compilable");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("does not do what run otherwise did"), "{refused}");
    assert_eq!(server.get("/v1/repairs").ok()["repairs"], json!([]));
    repair(&server, json!({"run_id": "same"})).ok();
}

/// Every place of a patch that is wrong is named; nothing of it is kept.
#[test]
fn a_patch_with_a_slip_in_it_is_an_error_with_its_place() {
    let (server, _notes) = world("");
    let set = |set: Value| json!({"step_patches": [{"step_index": 1, "set": set}]});
    for (patch, place) in [
        (json!({"remove_step_indices": [9]}), "/patch/remove_step_indices/0"),
        (json!({"step_patches": [{"step_index": 9, "set": {}}]}), "/patch/step_patches/0"),
        (json!({"steps_overide": []}), "/patch"),
        (json!({"step_patches": [{"step_index": 1, "set": {"tool_inptu": 1}}]}), "/patch/step_patches/0/set/tool_inptu"),
        (
            set(json!({"preconditions": [{"kind": "always"}, {"kind": "file_exsts", "path": "notes/v.txt"}]})),
            "/patch/step_patches/0/set/preconditions/1",
        ),
        (set(json!({"preconditions": [{"kind": "file_exists"}]})), "/patch/step_patches/0/set/preconditions/0"),
        (set(json!({"postconditions": [{"kind": "exit_cod", "equals": 0}]})), "/patch/step_patches/0/set/postconditions/0"),
        (
            set(json!({"expected_output_signature": {"stdout_contain": "x"}})),
            "/patch/step_patches/0/set/expected_output_signature/stdout_contain",
        ),
        (
            set(json!({"checks": [{"at": "before", "is": {"constant": {"kind": "file_exsts", "path": "a"}}, "origin": "given"}]})),
            "/patch/step_patches/0/set/checks/0",
        ),
    ] {
        let refused = repair(&server, json!({"patch": patch})).refused(400, "invalid_request");
        assert_eq!(refused["issues"][0]["path"], place, "{patch}: {refused}");
    }
    assert_eq!(server.get("/v1/repairs").ok()["repairs"], json!([]));
    assert_eq!(server.post("/v1/memory/replay/playbooks/get", &of_p(json!({}))).ok()["playbook"]["version"], 1);
}

#[test]
fn who_made_a_repair_does_not_approve_it_unless_the_policy_lets_them() {
    let (server, _notes) = world("[lifecycle]\nseparate_reviewer = true\n");
    repair(&server, json!({"patch": other_text("a")["patch"], "actor": "ann"})).ok();
    let refused = review(&server, json!({"action": "approve", "actor": "ann"})).refused(403, "reviewer_is_author");
    assert_eq!(refused["details"], json!({"author": "ann", "reviewer": "ann"}));
    // It still waits, for another one; and who is not known is nobody's other self.
    assert_eq!(review(&server, json!({"action": "approve", "actor": "bob"})).ok()["review_state"], "approved");
    repair(&server, json!({"patch": other_text("b")["patch"]})).ok();
    assert_eq!(review(&server, json!({"action": "reject"})).ok()["review_state"], "rejected");
    // One's own repair can be taken back, and the policy may let one approve it.
    repair(&server, json!({"patch": other_text("c")["patch"], "actor": "ann"})).ok();
    assert_eq!(review(&server, json!({"action": "reject", "actor": "ann"})).ok()["review_state"], "rejected");
    let (open, _notes) = world("[lifecycle]\nseparate_reviewer = false\n");
    repair(&open, json!({"patch": other_text("a")["patch"], "actor": "ann"})).ok();
    assert_eq!(review(&open, json!({"action": "approve", "actor": "ann"})).ok()["review_state"], "approved");
}

#[test]
fn where_the_operator_opened_promotion_anybody_promotes_as_with_aionis() {
    let (server, _notes) = world("[lifecycle]\nopen_promotion = true\n");
    let promote = |body: Value| server.post("/v1/memory/replay/playbooks/promote", &of_p(body));
    assert_eq!(promote(json!({"target_status": "active"})).ok()["to_version"], 2);
    repair(&server, other_text("a")).ok();
    let approved = review(&server, json!({"action": "approve", "target_status_on_approve": "active"})).ok();
    assert_eq!(approved["status"], "active");
    let (plain, _notes) = world("");
    let promote = |body: Value| plain.post("/v1/memory/replay/playbooks/promote", &of_p(body));
    let refused = promote(json!({"target_status": "active"})).refused(409, "promotion_not_earned");
    assert!(!refused["details"]["missing"].as_array().unwrap().is_empty(), "{refused}");
}
