//! Data clean-up: each line of a list that somebody typed becomes a file of its own, in one spelling, and the list goes.
//!
//! Surprises: a field in quotes with a comma in it; a line without an address, which is left out.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "data clean-up", goal: "file the new customers", draw, perform };

const HEADER: &str = "name,address,city\n";

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let batch = format!("{}-{}", dice.word(), dice.between(10, 99));
    scene.input("batch", batch.as_str());
    let customers = dice.between(2, 5);
    let odd = dice.between(1, customers);
    let mut text = HEADER.to_owned();
    for (n, name) in (1..=customers).zip(dice.words(customers)) {
        let family = dice.one(&["Meyer", "Okafor", "Silva", "Tanaka"]);
        let shouted = |text: &str, loud: bool| if loud { text.to_uppercase() } else { text.to_owned() };
        let address = shouted(&format!("{name}.{}@Example.org", dice.between(1, 99)), dice.once_in(2));
        let city = shouted(dice.one(&["Bonn", "Lagos", "Osaka", "Porto"]), dice.once_in(3));
        let (name, address) = match surprise {
            Some(Surprise::One) if n == odd => (format!("\"{family}, {name}\""), address),
            Some(Surprise::Other) if n == odd => (format!("{name} {family}"), String::new()),
            _ => (format!("{name} {family}"), address),
        };
        text += &format!("{name},{}{address},{city}\n", if dice.once_in(2) { " " } else { "" });
    }
    scene.file(format!("inbox/{batch}.csv"), text);
    scene.file("customers/README", "one file for each\n");
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let batch = agent.input("batch");
    agent.slip("fs/read", json!({"path": format!("project/{batch}.csv")}));
    let path = format!("project/inbox/{batch}.csv");
    let list = agent.call("fs/read", json!({"path": path}));
    let mut filed = 0;
    for line in list["text"].as_str().unwrap().strip_prefix(HEADER).unwrap().lines() {
        let fields = fields(line);
        let (name, address, city) = (fields[0].trim(), fields[1].trim().to_lowercase(), fields[2].trim().to_uppercase());
        if address.is_empty() {
            continue;
        }
        let text = format!("name: {name}\naddress: {address}\ncity: {city}\nbatch: {batch}\n");
        agent.call("fs/write", json!({"path": format!("project/customers/{address}.txt"), "text": text}));
        filed += 1;
    }
    agent.call("fs/remove", json!({"path": path}));
    json!({"filed": filed})
}

/// The fields of a line, where a comma between quotes is none that separates.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}
