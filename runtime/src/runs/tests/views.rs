//! What clients see, byte for byte.

use super::*;
use crate::runs::view::{Include, RunView};

const FILE: &str = r#"{"run": {"run_id": "r", "goal": "g", "inputs": {"v": 2}, "metadata": {"by": "me"}}}
{"tool": "fs/read", "step_id": "s1", "input": {"path": "a"}, "output": "text", "artifact_refs": ["x", {"y": 1}]}
{"tool": "edit", "step_id": "s3", "step_index": 3, "status": "pending", "preconditions": [{"kind": "always"}], "safety_level": "auto_ok"}
{"tool": "edit", "step_id": "s2", "step_index": 2, "status": "failed", "error": "no", "repair_applied": true, "repair_note": "took another", "postconditions": [{}]}
"#;

#[test]
fn a_run_in_progress_is_shown_with_the_fields_of_aionis_and_ours() {
    let space = Space::parse(Some("acme"), Some("web")).unwrap();
    let run = Recording::read(FILE.as_bytes()).unwrap().as_run(&space, 1_700_000_000_123);
    let shown = view::run(&run);
    let at = "2023-11-14T22:13:20.123Z";
    let of_step = |part, step| Node::of_step(&space, part, &run.run_id, &crate::ids::StepId::parse(step).unwrap());
    let run_node = Node::of_run(&space, Part::Run, &run.run_id);
    let entry = |node: &Node, kind: &str, node_type: &str, title: &str, text: &str| {
        json!({"uri": node.uri, "node_id": node.id.to_string(), "type": node_type, "replay_kind": kind, "title": title,
            "text_summary": text, "created_at": at, "commit_id": null, "commit_uri": null})
    };
    let [s1, s2, s3] = ["s1", "s2", "s3"].map(|step| of_step(Part::Step, step));
    let [r1, r2] = ["s1", "s2"].map(|step| of_step(Part::StepResult, step));
    assert!(s1.uri.starts_with("aionis://acme/web/procedure/"), "{}", s1.uri);
    assert_eq!(
        shown,
        json!({
            "tenant_id": "acme",
            "scope": "web",
            "run": {"run_id": "r", "status": "in_progress", "goal": "g", "run_node_id": run_node.id.to_string(), "run_uri": run_node.uri,
                "started_at": at, "ended_at": null, "inputs": {"v": 2}, "metadata": {"by": "me"}},
            "steps": [
                {"step_id": "s1", "step_index": 1, "tool_name": "fs/read", "status": "success", "safety_level": "needs_confirm",
                    "repair_applied": false, "preconditions": [], "postconditions": [], "artifact_refs": ["x", {"y": 1}],
                    "step_uri": s1.uri, "result_uri": r1.uri, "created_at": at, "answered_at": at, "tool_input": {"path": "a"}, "output": "text"},
                {"step_id": "s2", "step_index": 2, "tool_name": "edit", "status": "failed", "safety_level": "needs_confirm",
                    "repair_applied": true, "preconditions": [], "postconditions": [{}], "artifact_refs": [],
                    "step_uri": s2.uri, "result_uri": r2.uri, "created_at": at, "answered_at": at, "tool_input": null, "error": "no",
                    "repair_note": "took another"},
                {"step_id": "s3", "step_index": 3, "tool_name": "edit", "status": "pending", "safety_level": "auto_ok",
                    "repair_applied": false, "preconditions": [{"kind": "always"}], "postconditions": [], "artifact_refs": [],
                    "step_uri": s3.uri, "result_uri": null, "created_at": at, "tool_input": null},
            ],
            "artifacts": ["x", {"y": 1}],
            "timeline": [
                entry(&run_node, "run", "event", "run r", "g"),
                entry(&s1, "step", "procedure", "step 1: fs/read", "fs/read"),
                entry(&r1, "step_result", "evidence", "step 1: success", "success"),
                entry(&s3, "step", "procedure", "step 3: edit", "edit"),
                entry(&s2, "step", "procedure", "step 2: edit", "edit"),
                entry(&r2, "step_result", "evidence", "step 2: failed", "took another"),
            ],
            "counters": {"total_nodes": 6, "step_nodes": 3, "step_result_nodes": 2, "artifact_refs": 2},
        })
    );
    let bare = serde_json::to_value(RunView::of(&run, Include { steps: false, artifacts: false })).unwrap();
    assert_eq!((&bare["steps"], &bare["artifacts"], &bare["counters"]["artifact_refs"]), (&json!([]), &json!([]), &json!(0)));
    assert_eq!(bare["timeline"], shown["timeline"]);
}

#[tokio::test]
async fn a_stored_run_shows_its_end_and_the_commits_that_its_receipts_named() {
    let house = House::new();
    let mut commits = Vec::new();
    for (route, body) in [start("r"), before("r", "s", 1), after("r", "s"), end("r")] {
        commits.push(house.send(route, body).await.unwrap()["commit_uri"].clone());
    }
    let shown = view::run(&house.get("r"));
    let timeline = shown["timeline"].as_array().unwrap();
    assert_eq!(timeline.iter().map(|entry| entry["commit_uri"].clone()).collect::<Vec<_>>(), commits);
    assert_eq!(timeline.last().unwrap()["replay_kind"], "run_end");
    assert_eq!((&shown["run"]["status"], &shown["run"]["summary"]), (&json!("success"), &json!("done")));
    assert!(shown["run"]["ended_at"].is_string());
}

#[tokio::test]
async fn each_answer_has_the_fields_of_aionis() {
    let house = House::new();
    let common = ["commit_hash", "commit_id", "commit_uri", "run_id", "scope", "status", "tenant_id"];
    for ((route, body), own, status) in [
        (start("r"), &["run_node_id", "run_uri"][..], "started"),
        (before("r", "s", 1), &["step_id", "step_index", "step_node_id", "step_uri"], "pending"),
        (after("r", "s"), &["repair_applied", "replay_fallback_triggered", "step_id", "step_result_node_id", "step_result_uri"], "success"),
        (end("r"), &["run_end_node_id", "run_end_uri"], "success"),
    ] {
        let answer = house.send(route, body).await.unwrap();
        let mut fields: Vec<&str> = common.iter().chain(own).copied().collect();
        fields.sort_unstable();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), fields, "{route}");
        assert_eq!(answer["status"], status);
        assert_eq!(answer["commit_hash"].as_str().unwrap().len(), 64);
    }
}
