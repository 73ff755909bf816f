//! API pagination by cursor: each page names the next one, and only the last says that it is the last.
//!
//! Surprises: more pages than any ordinary customer has; no order at all.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "API pagination, by cursor", goal: "fetch a customer's orders into a file", draw, perform };

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let customer = format!("{}-{}", dice.word(), dice.between(100, 999));
    scene.input("customer", customer.as_str());
    let pages = match surprise {
        None => dice.between(1, 3),
        Some(Surprise::One) => dice.between(4, 6),
        Some(Surprise::Other) => 1,
    };
    let mut path = format!("/customers/{customer}/orders");
    for page in 1..=pages {
        let next = (page < pages).then(|| format!("/customers/{customer}/orders?after=c{}", dice.between(10_000, 99_999)));
        let orders = if surprise == Some(Surprise::Other) { 0 } else { dice.between(1, 4) };
        let order = |dice: &mut Dice| json!({"id": dice.between(1000, 9999), "item": dice.word(), "amount": dice.between(1, 400)});
        let orders: Vec<Value> = (0..orders).map(|_| order(dice)).collect();
        scene.page(&path, "application/json", json!({"orders": orders, "next": next}).to_string());
        path = next.unwrap_or_default();
    }
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let customer = agent.input("customer");
    let mut path = format!("/customers/{customer}/orders");
    let mut lines = vec!["id,item,amount".to_owned()];
    loop {
        let page = agent.call("http/get", json!({"url": agent.url(&path)}));
        for order in page["body"]["orders"].as_array().unwrap() {
            lines.push(format!("{},{},{}", order["id"], order["item"].as_str().unwrap(), order["amount"]));
        }
        match page["body"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    agent.call("fs/write", json!({"path": format!("project/{customer}.csv"), "text": lines.join("\n") + "\n"}));
    json!({"orders": lines.len() - 1})
}
