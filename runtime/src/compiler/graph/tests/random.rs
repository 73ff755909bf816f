//! Random valid graphs, written in random order, against an evaluator that knows nothing of plans or components.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::World;
use super::{graph, run_with};
use crate::json::Json;
use crate::sandbox::Interruption;

/// What a random graph is made of; ids are given when it is written.
#[derive(Debug, Clone)]
enum Item {
    Tool { fails: bool, undo: bool, failure: Failure },
    Condition { holds: bool, then: Vec<Item>, otherwise: Vec<Item> },
    Parallel(Vec<Vec<Item>>),
    Approval { decision: Decision, guarded: Box<Item>, then: Vec<Item>, rejected: Option<Vec<Item>>, expired: Option<Vec<Item>> },
    Signal { late: bool, expired: Option<Vec<Item>> },
}

#[derive(Debug, Clone)]
enum Failure {
    Stop,
    Continue,
    Handler(Vec<Item>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Decision {
    Approved,
    Rejected,
    Expired,
}

fn plain_tool() -> impl Strategy<Value = Item> {
    (prop::bool::weighted(0.1), any::<bool>()).prop_map(|(fails, undo)| Item::Tool { fails, undo, failure: Failure::Stop })
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let leaf = plain_tool().prop_map(|tool| vec![tool]);
    let decision = prop_oneof![Just(Decision::Approved), Just(Decision::Rejected), Just(Decision::Expired)];
    leaf.prop_recursive(3, 24, 4, move |list| {
        let failure = prop_oneof![Just(Failure::Stop), Just(Failure::Continue), list.clone().prop_map(Failure::Handler)];
        let item = prop_oneof![
            3 => plain_tool(),
            2 => (prop::bool::weighted(0.4), any::<bool>(), failure).prop_map(|(fails, undo, failure)| Item::Tool { fails, undo, failure }),
            2 => (any::<bool>(), list.clone(), prop_oneof![Just(Vec::new()), list.clone()])
                .prop_map(|(holds, then, otherwise)| Item::Condition { holds, then, otherwise }),
            2 => prop::collection::vec(list.clone(), 1..4).prop_map(Item::Parallel),
            2 => (decision.clone(), plain_tool(), list.clone(), prop::option::of(list.clone()), prop::option::of(list.clone())).prop_map(
                |(decision, guarded, then, rejected, expired)| Item::Approval { decision, guarded: Box::new(guarded), then, rejected, expired }
            ),
            1 => (any::<bool>(), prop::option::of(list)).prop_map(|(late, expired)| Item::Signal { late, expired }),
        ];
        prop::collection::vec(item, 1..5)
    })
}

/// Writes the graph's nodes, and evaluates it on the way.
#[derive(Default)]
struct Writer {
    nodes: Vec<Value>,
    input: BTreeMap<String, bool>,
    world: World,
    count: usize,
}

/// An item that has its id.
enum Named {
    Tool { id: String, input: Value, fails: bool, undo: bool, failure: Option<Vec<Named>>, stops: bool },
    Condition { holds: bool, then: Vec<Named>, otherwise: Vec<Named> },
    Parallel(Vec<Vec<Named>>),
    Approval { id: String, decision: Decision, approved: Vec<Named>, rejected: Option<Vec<Named>>, expired: Option<Vec<Named>> },
    Signal { id: String, late: bool, expired: Option<Vec<Named>> },
}

impl Writer {
    fn id(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    /// The items with their ids, and the ids. `sure` are tools that have surely answered; those of this list are added.
    fn list(&mut self, items: &[Item], sure: &mut Vec<String>) -> (Vec<Named>, Vec<String>) {
        let mut ids = Vec::new();
        let mut named = Vec::new();
        for item in items {
            let (item, id) = self.item(item, sure);
            named.push(item);
            ids.push(id);
        }
        (named, ids)
    }

    fn arm(&mut self, items: &[Item], sure: &[String]) -> (Vec<Named>, Vec<String>) {
        self.list(items, &mut sure.to_vec())
    }

    fn optional(&mut self, items: Option<&Vec<Item>>, sure: &[String]) -> (Option<Vec<Named>>, Value) {
        match items {
            None => (None, json!("fail")),
            Some(items) => {
                let (named, ids) = self.arm(items, sure);
                (Some(named), json!(ids))
            }
        }
    }

    fn item(&mut self, item: &Item, sure: &mut Vec<String>) -> (Named, String) {
        match item {
            Item::Tool { fails, undo, failure } => {
                let id = self.id("t");
                let (mut input, mut expected) = (json!({"me": id}), json!({"me": id}));
                if let Some(before) = sure.get(self.count % sure.len().max(1)) {
                    input["before"] = json!({"$from": before, "pointer": "/did"});
                    expected["before"] = json!(before);
                }
                let mut node = json!({"id": id, "kind": "tool", "tool": "agent/do", "input": input});
                if *undo {
                    node["compensate"] = json!({"tool": "agent/undo", "input": {"of": {"$from": id, "pointer": "/did"}, "before": input}});
                }
                let handler = match failure {
                    Failure::Stop => None,
                    Failure::Continue => {
                        node["on_failure"] = json!("continue");
                        Some(Vec::new())
                    }
                    Failure::Handler(items) => {
                        let (named, ids) = self.arm(items, sure);
                        node["on_failure"] = json!(ids);
                        Some(named)
                    }
                };
                if *fails {
                    self.world = std::mem::take(&mut self.world).refuses(&id);
                }
                let stops = handler.is_none();
                if stops {
                    sure.push(id.clone());
                }
                self.nodes.push(node);
                (Named::Tool { id: id.clone(), input: expected, fails: *fails, undo: *undo, failure: handler, stops }, id)
            }
            Item::Condition { holds, then, otherwise } => {
                let id = self.id("c");
                self.input.insert(id.clone(), *holds);
                let (then, then_ids) = self.arm(then, sure);
                let (otherwise, else_ids) = self.arm(otherwise, sure);
                let asked = json!({"value": {"$input": format!("/{id}")}, "is": "true"});
                self.nodes.push(json!({"id": id, "kind": "condition", "if": asked, "then": then_ids, "else": else_ids}));
                (Named::Condition { holds: *holds, then, otherwise }, id)
            }
            Item::Parallel(branches) => {
                let id = self.id("p");
                let before = sure.clone();
                let (mut named, mut ids) = (Vec::new(), Vec::new());
                for items in branches {
                    let mut inside = before.clone();
                    let (branch, branch_ids) = self.list(items, &mut inside);
                    sure.extend(inside.split_off(before.len()));
                    named.push(branch);
                    ids.push(branch_ids);
                }
                self.nodes.push(json!({"id": id, "kind": "parallel", "branches": ids}));
                (Named::Parallel(named), id)
            }
            Item::Approval { decision, guarded, then, rejected, expired } => {
                let id = self.id("a");
                let mut inside = sure.clone();
                let (guarded, guarded_id) = self.item(guarded, &mut inside);
                let (mut then, then_ids) = self.list(then, &mut inside);
                let (rejected, on_reject) = self.optional(rejected.as_ref(), sure);
                let (expired, on_expire) = self.optional(expired.as_ref(), sure);
                then.insert(0, guarded);
                self.nodes.push(json!({
                    "id": id, "kind": "approval", "title": "?", "for": guarded_id, "then": then_ids, "timeout_ms": 1,
                    "on_reject": on_reject, "on_expire": on_expire,
                }));
                let interruption = match decision {
                    Decision::Approved => None,
                    Decision::Rejected => Some(Interruption::Rejected(Json::from(&json!("no")))),
                    Decision::Expired => Some(Interruption::Expired),
                };
                if let Some(interruption) = interruption {
                    self.world = std::mem::take(&mut self.world).interrupts(&id, interruption);
                }
                (Named::Approval { id: id.clone(), decision: *decision, approved: then, rejected, expired }, id)
            }
            Item::Signal { late, expired } => {
                let id = self.id("w");
                let (expired, on_expire) = self.optional(expired.as_ref(), sure);
                self.nodes.push(json!({"id": id, "kind": "wait", "signal": "s", "timeout_ms": 1, "on_expire": on_expire}));
                if *late {
                    self.world = std::mem::take(&mut self.world).interrupts(&id, Interruption::Expired);
                }
                (Named::Signal { id: id.clone(), late: *late, expired }, id)
            }
        }
    }
}

/// The whole of what a graph means, in few lines: calls in order; what can be undone; false where it failed.
fn evaluate(items: &[Named], calls: &mut Vec<String>, done: &mut Vec<(String, Value)>) -> bool {
    items.iter().all(|item| match item {
        Named::Tool { id, input, fails, undo, failure, stops } => {
            calls.push(format!("{id} agent/do {input}"));
            if *undo && !fails {
                done.push((id.clone(), input.clone()));
            }
            !fails || (!stops && failure.as_ref().is_some_and(|handler| evaluate(handler, calls, done)))
        }
        Named::Condition { holds, then, otherwise } => evaluate(if *holds { then } else { otherwise }, calls, done),
        Named::Parallel(branches) => branches.iter().all(|branch| {
            let mut own = Vec::new();
            let well = evaluate(branch, calls, &mut own);
            if well {
                done.extend(own)
            } else {
                undo(&own, calls)
            }
            well
        }),
        Named::Approval { id, decision, approved, rejected, expired } => {
            calls.push(format!("{id} asks"));
            match decision {
                Decision::Approved => evaluate(approved, calls, done),
                Decision::Rejected => rejected.as_ref().is_some_and(|arm| evaluate(arm, calls, done)),
                Decision::Expired => expired.as_ref().is_some_and(|arm| evaluate(arm, calls, done)),
            }
        }
        Named::Signal { id, late, expired } => {
            calls.push(format!("{id} waits"));
            !late || expired.as_ref().is_some_and(|arm| evaluate(arm, calls, done))
        }
    })
}

fn undo(done: &[(String, Value)], calls: &mut Vec<String>) {
    if !done.is_empty() {
        calls.push("compensates".to_owned());
    }
    calls.extend(done.iter().rev().map(|(id, input)| format!("{id}.undo agent/undo {}", json!({"of": id, "before": input}))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_random_graph_does_what_the_evaluator_says(items in items(), shuffle in any::<u64>()) {
        let mut writer = Writer::default();
        let (named, top) = writer.list(&items, &mut Vec::new());
        // The top of the graph is written in any order, and says what comes after what.
        for (at, id) in top.iter().enumerate() {
            let after: Vec<&String> = at.checked_sub(1).map(|before| &top[before]).into_iter().collect();
            writer.nodes.iter_mut().find(|node| node["id"] == **id).unwrap()["after"] = json!(after);
        }
        // So do the members of arms that follow an approval, which the form asks for.
        follow_explicitly(&mut writer.nodes);
        let mut order = shuffle;
        for at in (1..writer.nodes.len()).rev() {
            order = order.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            writer.nodes.swap(at, usize::try_from(order >> 33).unwrap() % (at + 1));
        }
        let mut value = graph(json!(writer.nodes), json!("done"));
        value["parameters"] = writer.input.keys().map(|name| json!({"name": name, "schema": {"type": "boolean"}})).collect();

        let (mut expected, mut done) = (Vec::new(), Vec::new());
        let well = evaluate(&named, &mut expected, &mut done);
        if !well {
            undo(&done, &mut expected);
        }
        let (ending, events) = run_with(&value, &json!(writer.input), writer.world);
        let made: Vec<String> = events
            .into_iter()
            .filter(|event| !event.starts_with("starts ") && !event.starts_with("cancels "))
            .map(|event| match event.split_once(" asks ").map(|(id, _)| format!("{id} asks")) {
                Some(asks) => asks,
                None => event.split_once(" waits ").map_or(event.clone(), |(id, _)| format!("{id} waits")),
            })
            .collect();
        prop_assert_eq!(&made, &expected, "{}", value);
        prop_assert_eq!(ending == r#""done""#, well, "{}", ending);
    }
}

/// Whatever follows an approval in its list says so.
fn follow_explicitly(nodes: &mut [Value]) {
    let lists: Vec<Vec<String>> = nodes
        .iter()
        .flat_map(|node| {
            let fields = ["then", "else", "on_failure", "on_reject", "on_expire"].into_iter().map(|field| node[field].clone());
            let branches = node["branches"].as_array().cloned().unwrap_or_default();
            fields.chain(branches).filter_map(|list| serde_json::from_value(list).ok()).collect::<Vec<Vec<String>>>()
        })
        .collect();
    for pair in lists.iter().flat_map(|list| list.windows(2)) {
        if pair[0].starts_with('a') {
            nodes.iter_mut().find(|node| node["id"] == pair[1]).unwrap()["after"] = json!([pair[0]]);
        }
    }
}
