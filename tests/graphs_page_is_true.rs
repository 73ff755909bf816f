//! The page on task graphs: its graphs compile and are described as it says, its issues are those that are found.

use reprise::compiler::emit::{Explained, emit, read_plan};
use reprise::compiler::graph::{Graph, schema};
use reprise::compiler::words;
use reprise::tools::Registry;
use serde_json::{Value, json};

use crate::support::cli::{Place, assert_golden};
use crate::support::page::blocks;

const PAGE: &str = "docs/GRAPHS.md";

#[test]
fn the_graphs_on_the_page_compile_and_do_what_it_says() {
    let tools = Registry::builtin();
    let mut last = None;
    let (mut graphs, mut described) = (0, 0);
    for block in blocks(PAGE) {
        match block.info.as_str() {
            "json graph" => {
                let graph = Graph::parse(block.text.as_bytes()).unwrap_or_else(|e| panic!("{}: {:#?}", block.place, e.issues));
                let plan = graph.lower(|tool| tools.get(tool).map(|info| info.effect)).unwrap_or_else(|e| panic!("{}: {e}", block.place));
                assert_eq!(read_plan(&emit(&plan).unwrap()), Explained::ByPlan(Box::new(plan.clone())), "{}", block.place);
                last = Some(plan);
                graphs += 1;
            }
            "text inspected" => {
                let lines = words::outline(last.as_ref().unwrap());
                let text: String = lines.iter().map(|line| format!("{}{}\n", "  ".repeat(line.level), line.text)).collect();
                assert_eq!(text, block.text, "{}", block.place);
                described += 1;
            }
            _ => {}
        }
    }
    assert_eq!((graphs, described), (4, 4));
}

#[test]
fn the_issues_on_the_page_are_those_that_are_found() {
    let mut found = None;
    let mut compared = 0;
    for block in blocks(PAGE) {
        match block.info.as_str() {
            "json refused" => found = Some(Graph::parse(block.text.as_bytes()).unwrap_err().issues),
            "json issues" => {
                let issues: Value = serde_json::from_str(&block.text).unwrap();
                assert_eq!(json!(found.take().unwrap()), issues, "{}", block.place);
                compared += 1;
            }
            _ => {}
        }
    }
    assert_eq!(compared, 3);
}

/// The schema and the reader agree on form: what the page shows fits, and what has a wrong form does not.
#[test]
fn the_schema_takes_the_graphs_on_the_page_and_refuses_wrong_forms() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let graphs: Vec<Value> =
        blocks(PAGE).iter().filter(|b| b.info == "json graph").map(|b| serde_json::from_str(&b.text).unwrap()).collect();
    for graph in &graphs {
        let faults: Vec<String> = validator.iter_errors(graph).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    for (place, wrong) in [
        ("/graph_version", json!(2)),
        ("/nodes", json!([])),
        ("/nodes/0/kind", json!("loop")),
        ("/nodes/0/id", json!("")),
        ("/nodes/0/retry", json!({"times": 3})),
        ("/nodes/0/timeout_ms", json!(0)),
        ("/nodes/1/if", json!({"value": 1, "is": "exists"})),
        ("/nodes/2/show", json!(1)),
        ("/nodes/4/on_failure", json!("go")),
    ] {
        let mut graph = graphs[0].clone();
        match graph.pointer_mut(place) {
            Some(value) => *value = wrong,
            None => {
                let (object, field) = place.rsplit_once('/').unwrap();
                graph.pointer_mut(object).unwrap()[field] = wrong;
            }
        }
        assert!(!validator.is_valid(&graph), "{place}");
        assert!(Graph::of(&graph).is_err(), "{place}");
    }
}

#[test]
fn a_reviewer_reads_in_the_inspection_whom_a_graph_asks_and_what_it_starts() {
    let place = Place::new();
    let block = blocks(PAGE).into_iter().rfind(|block| block.info == "json graph").unwrap();
    let plan = Graph::parse(block.text.as_bytes()).unwrap().lower(|_| None).unwrap();
    std::fs::write(place.path("graph.wasm"), emit(&plan).unwrap()).unwrap();
    let file = place.path("graph.wasm");
    assert_golden("inspect-graph.txt", &place.ok(&["inspect", file.to_str().unwrap()]));
    let inspection = place.json(0, &["inspect", file.to_str().unwrap()]);
    assert_eq!(inspection["explained_by"], "plan");
    assert_eq!(inspection["starts"], json!(["run-tests"]));
    assert_eq!(inspection["waits"].as_array().unwrap().len(), 2);
    assert_eq!(inspection["outline"][1], "checks side by side, until all have ended:");
}
