//! Log rotation: every closed log goes into the archive of the day, under the name of the host, and an index says which.
//!
//! There is no tool that moves a file: it is read, written and removed. Surprises: a directory among the logs, which is
//! left where it is; no log at all.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "log rotation", goal: "move the closed logs into the archive", draw, perform };

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    scene.input("host", format!("{}-{}", dice.one(&["web", "db", "mail"]), dice.between(1, 40)));
    scene.file("logs/open.log", "still open\n");
    scene.file("logs/closed/", "");
    let logs = if surprise == Some(Surprise::Other) { 0 } else { dice.between(2, 5) };
    for service in dice.words(logs) {
        let text: String = (0..dice.between(1, 5)).map(|n| format!("{n} {}\n", dice.sentence())).collect();
        scene.file(format!("logs/closed/{service}-{}.log", dice.between(100, 999)), text);
    }
    if surprise == Some(Surprise::One) {
        scene.file("logs/closed/kept/today.log", "not to be moved\n");
    }
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let (host, today) = (agent.input("host"), agent.today.clone());
    agent.slip("fs/list", json!({"path": "project/logs/rotated"}));
    let listed = agent.call("fs/list", json!({"path": "project/logs/closed"}));
    let mut index = Vec::new();
    for entry in listed["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "file") {
        let path = entry["path"].as_str().unwrap();
        let name = path.rsplit_once('/').unwrap().1;
        let log = agent.call("fs/read", json!({"path": path}));
        let archived = format!("project/archive/{today}/{host}-{name}");
        agent.call("fs/write", json!({"path": archived, "text": log["text"], "create_dirs": true}));
        agent.call("fs/remove", json!({"path": path}));
        index.push(format!("{host}-{name}"));
    }
    let text = if index.is_empty() { "nothing was closed\n".to_owned() } else { index.join("\n") + "\n" };
    agent.call("fs/write", json!({"path": format!("project/archive/{today}/INDEX"), "text": text, "create_dirs": true}));
    json!({"archived": index})
}
