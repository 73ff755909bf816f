//! API pagination into a file: the server names the parts of an export, each is fetched, and all become one file.
//!
//! Surprises: the export is not ready at the first question, and its parts are not all there yet; an export without parts.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "API pagination, parts listed", goal: "fetch the orders of a month into a file", draw, perform };

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let month = format!("20{}-{:02}", dice.between(20, 26), dice.between(1, 12));
    scene.input("month", month.as_str());
    let parts = if surprise == Some(Surprise::Other) { 0 } else { dice.between(2, 5) };
    let export = dice.between(10_000, 99_999);
    let paths: Vec<String> = (1..=parts).map(|n| format!("/exports/{export}/part-{n}.csv")).collect();
    let index = |state: &str, paths: &[String]| json!({"export": export, "state": state, "parts": paths}).to_string();
    if surprise == Some(Surprise::One) {
        scene.page(format!("/exports?month={month}"), "application/json", index("running", &paths[..1]));
    }
    scene.page(format!("/exports?month={month}"), "application/json", index("done", &paths));
    for path in &paths {
        let rows: String = (0..dice.between(1, 6))
            .map(|_| format!("{},{},{}.{:02}\n", dice.between(1000, 9999), dice.word(), dice.between(1, 400), dice.between(0, 99)))
            .collect();
        scene.page(path, "text/csv", rows);
    }
    scene.file("exports/README", "what was fetched\n");
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let month = agent.input("month");
    agent.slip("http/get", json!({"url": agent.url(&format!("/export/{month}"))}));
    let url = agent.url(&format!("/exports?month={month}"));
    let index = loop {
        let index = agent.call("http/get", json!({"url": url}));
        if index["body"]["state"] == "done" {
            break index;
        }
    };
    let parts = index["body"]["parts"].as_array().unwrap();
    let mut rows = String::new();
    for part in parts {
        let url = agent.url(part.as_str().unwrap());
        let part = agent.call("http/get", json!({"url": url, "headers": {"accept": "text/csv"}}));
        rows += part["body"].as_str().unwrap();
    }
    let path = format!("project/exports/orders-{month}.csv");
    agent.call("fs/write", json!({"path": path, "text": format!("order,customer,amount\n{rows}")}));
    json!({"file": path, "parts": parts.len()})
}
