//! What is held in memory is what is there, whatever fails in between, and no more than is allowed.

use super::*;
use crate::compiler::emit::emit;
use crate::compiler::graph::Graph;
use crate::contract::Effect;
use crate::engine::{Promotion, Settings, Upload};
use crate::store::{Batch, PlaybookKey};
use serde_json::json;

async fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::of(dir.path());
    let engine = crate::blocking::run(move || Engine::open(&settings).unwrap()).await;
    (dir, engine)
}

async fn upload(engine: &Engine, space: &Space, id: &str, name: &str) -> PlaybookId {
    let nodes = json!([{"id": "look", "kind": "tool", "tool": "fs/read", "input": {"path": format!("p/{id}")}}]);
    let graph = json!({"graph_version": 1, "goal": "try it", "parameters": [], "nodes": nodes, "output": "x"});
    let bytes = emit(&Graph::of(&graph).unwrap().lower(|_| Some(Effect::Read)).unwrap()).unwrap();
    let id = PlaybookId::parse(id).unwrap();
    engine.upload(space, Upload { playbook_id: Some(id.clone()), name: Some(name.to_owned()), bytes }).await.unwrap();
    id
}

async fn promote(engine: &Engine, space: &Space, id: &PlaybookId, target: Status) {
    let (playbook_id, operator) = (id.clone(), true);
    let promotion = Promotion { playbook_id, from_version: None, target, by: None, note: None, metadata: None, operator };
    engine.promote(space, &promotion).await.unwrap();
}

async fn found(engine: &Engine, space: &Space, goal: &str) -> Result<Vec<String>> {
    let request = MatchRequest { goal: goal.to_owned(), context: Map::new(), tools: None, include_shadow: false, limit: 9 };
    Ok(engine.match_playbooks(space, request).await?.matches.into_iter().map(|found| found.playbook_id).collect())
}

/// What was written was taken off the list of changes when the store failed: it must not be forgotten with that.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_between_leaves_nothing_stale() {
    let (_dir, engine) = engine().await;
    let space = Space::default_space();
    let (a, b) = (upload(&engine, &space, "a", "rotate logs").await, upload(&engine, &space, "b", "prepare release").await);
    promote(&engine, &space, &a, Status::Active).await;
    promote(&engine, &space, &b, Status::Active).await;
    assert_eq!(found(&engine, &space, "rotate").await.unwrap(), ["a"]);
    // Both change, and one of them does not read back for a while.
    promote(&engine, &space, &a, Status::Disabled).await;
    let c = upload(&engine, &space, "c", "rotate keys").await;
    promote(&engine, &space, &c, Status::Active).await;
    promote(&engine, &space, &b, Status::Shadow).await;
    let key = PlaybookKey { space: space.clone(), playbook_id: b.clone() };
    let row = engine.store.get(&key).unwrap().unwrap();
    let put = async |row: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(&key, row);
        engine.store.commit(batch).await.unwrap();
    };
    put(b"{".to_vec()).await;
    assert_eq!(found(&engine, &space, "rotate").await.unwrap_err().code, Code::DataCorrupt);
    put(row).await;
    assert_eq!(found(&engine, &space, "rotate").await.unwrap(), ["c"]);
    assert_eq!(found(&engine, &space, "release").await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_spaces_are_held_than_are_allowed_and_each_is_found_in_again() {
    let (_dir, engine) = engine().await;
    let spaces: Vec<Space> = (0..=limits::MATCH_SPACES_MAX + 1).map(|n| Space::parse(Some(&format!("t{n}")), None).unwrap()).collect();
    for space in &spaces {
        let first = upload(&engine, space, "a", "rotate logs").await;
        promote(&engine, space, &first, Status::Active).await;
        found(&engine, space, "rotate").await.unwrap();
        assert!(engine.matching.spaces() <= limits::MATCH_SPACES_MAX);
    }
    assert_eq!(engine.matching.spaces(), limits::MATCH_SPACES_MAX);
    assert_eq!(found(&engine, &spaces[0], "rotate").await.unwrap(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spaces_that_somebody_made_up_take_nobodys_place() {
    let (_dir, engine) = engine().await;
    let space = Space::default_space();
    let a = upload(&engine, &space, "a", "rotate logs").await;
    promote(&engine, &space, &a, Status::Active).await;
    assert_eq!(found(&engine, &space, "rotate").await.unwrap(), ["a"]);
    let made_up = Space::parse(Some("made-up"), None).unwrap();
    assert_eq!(found(&engine, &made_up, "rotate").await.unwrap(), Vec::<String>::new());
    assert_eq!(engine.matching.spaces(), 1);
    // It is found in as soon as there is something.
    let b = upload(&engine, &made_up, "b", "rotate keys").await;
    promote(&engine, &made_up, &b, Status::Active).await;
    assert_eq!(found(&engine, &made_up, "rotate").await.unwrap(), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_playbook_no_more_words_are_held_than_are_allowed() {
    let (_dir, engine) = engine().await;
    let space = Space::default_space();
    let id = upload(&engine, &space, "p1", "rotate logs").await;
    let mut version = engine.playbook(&space, &id, None).unwrap();
    let most = limits::MATCH_TEXT_WORDS_MAX;
    version.name = format!("{} {}", "x".repeat(limits::MATCH_WORD_BYTES_MAX + 1), "word ".repeat(2 * most));
    let text = engine.text_of(&space, &version).unwrap();
    assert_eq!((text.len(), text[0].as_str(), text[1].as_str()), (most, "p1", "word"));
}
