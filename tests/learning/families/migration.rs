//! Config migration: each service's configuration gets the new database host, and a note says which files were changed.
//!
//! Surprises: a file that names the old host twice; a file that was migrated before.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "config migration", goal: "move every service to the new database host", draw, perform };

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let names = dice.words(8);
    let host = |name: &str, n: u64| format!("{name}-db{n}.example.org");
    let (old, new) = (host(names[0], dice.between(1, 9)), host(names[1], dice.between(1, 9)));
    scene.input("old_host", old.as_str());
    scene.input("new_host", new.as_str());
    let services = dice.between(2, 5);
    let odd = dice.between(1, services);
    for (n, service) in (1..=services).zip(&names[2..]) {
        let before = |other: &str| if n == odd { other.to_owned() } else { old.clone() };
        let host = if surprise == Some(Surprise::Other) { before(&new) } else { old.clone() };
        let replica = if surprise == Some(Surprise::One) && n == odd { format!("\nreplica = \"{old}\"") } else { String::new() };
        let text = format!("[{service}]\nhost = \"{host}\"{replica}\nport = {}\nuser = \"{}\"\n", dice.between(1024, 9999), dice.word());
        scene.file(format!("config/{service}.toml"), text);
    }
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let (old, new, today) = (agent.input("old_host"), agent.input("new_host"), agent.today.clone());
    let listed = agent.call("fs/list", json!({"path": "project/config"}));
    let mut changed = Vec::new();
    for entry in listed["entries"].as_array().unwrap() {
        let path = entry["path"].as_str().unwrap();
        let text = agent.call("fs/read", json!({"path": path}));
        let times = text["text"].as_str().unwrap().matches(&old).count();
        if times == 0 {
            continue;
        }
        agent.slip("fs/replace", json!({"path": path, "old": format!("host: {old}"), "new": format!("host: {new}")}));
        let mut replace = json!({"path": path, "old": format!("host = \"{old}\""), "new": format!("host = \"{new}\"")});
        if times > 1 {
            replace["old"] = old.as_str().into();
            replace["new"] = new.as_str().into();
            replace["count"] = times.into();
        }
        agent.call("fs/replace", replace);
        changed.push(path.to_owned());
    }
    let text = format!("{today}: {old} became {new} in\n{}\n", changed.join("\n"));
    agent.call("fs/write", json!({"path": "project/MIGRATED.txt", "text": text}));
    json!({"changed": changed.len()})
}
