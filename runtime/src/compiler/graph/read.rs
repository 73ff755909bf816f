//! Reads a graph's fields and notes everything that is wrong with their form.
//!
//! Whatever cannot be read leaves an issue and something plain in its place, so that one mistake hides no other.

use serde_json::{Map, Value};

use super::GRAPH_VERSION;
use super::bind::Binder;
use super::document::{Asks, Document, Kind, OnFailure, Otherwise, Written};
use crate::compiler::plan::{Condition, Join, Parameter, StepOptions, Test, Until};
use crate::compiler::template::{Source, Template};
use crate::contract::ToolId;
use crate::error::Issue;
use crate::json::{Json, below};
use crate::limits;

/// The document, and what is wrong with its form. Only without issues it is what was sent.
pub(super) fn document(value: &Value) -> (Document, Vec<Issue>) {
    let mut issues = Vec::new();
    let mut graph = Object { fields: object(value), path: String::new(), issues: &mut issues };
    if !value.is_object() {
        graph.issue("", "a graph is an object with graph_version, goal, nodes and output".to_owned());
    }
    graph.only("a graph", &["graph_version", "goal", "parameters", "nodes", "output"]);
    if graph.get("graph_version").and_then(Value::as_u64) != Some(GRAPH_VERSION) {
        graph.issue("graph_version", format!("must be {GRAPH_VERSION}"));
    }
    let goal = graph.text("goal", limits::TEXT_CHARS_MAX);
    let written = graph.list("parameters");
    let parameters: Vec<Parameter> = written.iter().enumerate().map(|(n, value)| parameter(value, n, &mut issues)).collect();
    let nodes = value.get("nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if nodes.is_empty() || nodes.len() > limits::GRAPH_NODES_MAX {
        let message = format!("a list of 1 to {} nodes belongs here; it has {}", limits::GRAPH_NODES_MAX, nodes.len());
        issues.push(Issue { path: "/nodes".to_owned(), message });
    }
    let nodes = nodes.iter().take(limits::GRAPH_NODES_MAX).enumerate();
    let nodes: Vec<Written> = nodes.map(|(n, value)| node(value, &format!("/nodes/{n}"), &parameters, &mut issues)).collect();
    let output = value.get("output").cloned().unwrap_or(Value::Null);
    let output = Binder { parameters: &parameters, issues: &mut issues }.template(&output, "/output");
    (Document { goal, parameters, nodes, output }, issues)
}

fn object(value: &Value) -> &Map<String, Value> {
    static NONE: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    value.as_object().unwrap_or_else(|| NONE.get_or_init(Map::new))
}

fn parameter(value: &Value, n: usize, issues: &mut Vec<Issue>) -> Parameter {
    let mut it = Object { fields: object(value), path: format!("/parameters/{n}"), issues };
    it.only("a parameter", &["name", "schema", "sample", "default"]);
    let name = it.text("name", limits::ID_CHARS_MAX);
    let schema = it.get("schema").cloned().unwrap_or_else(|| serde_json::json!({"type": "string"}));
    let sample = it.get("sample").map_or_else(|| Json::from(&Value::Null), Json::from);
    let default = it.get("default").map(Json::from);
    Parameter { name, schema: Json::from(&schema), sample, default }
}

fn node(value: &Value, path: &str, parameters: &[Parameter], issues: &mut Vec<Issue>) -> Written {
    let mut it = Object { fields: object(value), path: path.to_owned(), issues };
    let id = it.text("id", limits::GRAPH_ID_CHARS_MAX);
    if !id.is_empty() && crate::ids::StepId::parse(&id).is_err() {
        it.issue("id", format!("{id:?} has characters that an id may not have; letters, digits, - and _ are safe"));
    }
    let after = it.get("after").is_some().then(|| it.ids("after"));
    let read = Reader { it, parameters };
    let (kind, on_failure) = read.kind();
    Written { id, after, on_failure, kind }
}

/// One node's fields while they are being read.
struct Reader<'a, 'i> {
    it: Object<'a, 'i>,
    parameters: &'a [Parameter],
}

impl Reader<'_, '_> {
    fn kind(mut self) -> (Kind, OnFailure) {
        const KINDS: [&str; 8] = ["tool", "playbook", "approval", "wait", "condition", "parallel", "each", "fail"];
        let own: &[&str] = match self.it.get("kind").and_then(Value::as_str) {
            Some("tool") => &["tool", "input", "retry", "timeout_ms", "step_timeout_ms", "on_failure", "compensate"],
            Some("playbook") => &["playbook", "input", "on_failure"],
            Some("approval") => &["title", "for", "show", "then", "timeout_ms", "on_reject", "on_expire"],
            Some("wait") => &["signal", "sleep_ms", "timeout_ms", "on_expire"],
            Some("condition") => &["if", "then", "else"],
            Some("parallel") => &["branches", "join", "on_failure"],
            Some("each") => &["list", "do", "give", "on_failure"],
            Some("fail") => &["message"],
            _ => {
                self.it.issue("kind", format!("must be one of {}", KINDS.join(", ")));
                return (Kind::Fail { message: constant(Value::from("")) }, OnFailure::Stop);
            }
        };
        let kind = self.it.get("kind").and_then(Value::as_str).unwrap_or_default();
        self.it.only(&format!("a node of kind {kind}"), &[&["id", "kind", "after"], own].concat());
        let read = match kind {
            "tool" => self.tool(),
            "playbook" => Kind::Playbook {
                playbook: self.it.text("playbook", limits::ID_CHARS_MAX),
                input: self.template("input", Value::Object(Map::new())),
            },
            "approval" => self.approval(),
            "wait" => self.wait(),
            "condition" => self.condition(),
            "parallel" => self.parallel(),
            "each" => self.each(),
            _ => {
                if self.it.get("message").is_none() {
                    self.it.issue("message", "is missing: what the failure says".to_owned());
                }
                Kind::Fail { message: self.template("message", Value::from("")) }
            }
        };
        let on_failure = match self.it.get("on_failure") {
            None => OnFailure::Stop,
            Some(Value::String(word)) if word == "stop" => OnFailure::Stop,
            Some(Value::String(word)) if word == "continue" => OnFailure::Continue,
            Some(Value::Array(_)) => OnFailure::Nodes(self.it.ids("on_failure")),
            Some(_) => {
                self.it.issue("on_failure", "must be \"stop\", \"continue\" or a list of the ids of nodes to do then".to_owned());
                OnFailure::Stop
            }
        };
        (read, on_failure)
    }

    fn template(&mut self, field: &str, absent: Value) -> Template {
        let value = self.it.get(field).cloned().unwrap_or(absent);
        let path = below(&self.it.path, field);
        Binder { parameters: self.parameters, issues: self.it.issues }.template(&value, &path)
    }

    fn tool(&mut self) -> Kind {
        let tool = self.it.tool("tool");
        let input = self.template("input", Value::Object(Map::new()));
        let retry = self.it.below("retry");
        let (tries, first_pause_ms) = retry.map_or((None, None), |mut retry| {
            retry.only("retry", &["tries", "first_pause_ms"]);
            let tries = retry.number("tries", 1, u64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok());
            (tries, retry.number("first_pause_ms", 0, limits::GRAPH_WAIT_MS_MAX))
        });
        let call_timeout_ms = self.it.number("timeout_ms", 1, limits::GRAPH_WAIT_MS_MAX);
        let step_timeout_ms = self.it.number("step_timeout_ms", 1, limits::GRAPH_WAIT_MS_MAX);
        let options = StepOptions { tries, first_pause_ms, call_timeout_ms, step_timeout_ms };
        let compensate = self.it.below("compensate").map(|mut undo| {
            undo.only("compensate", &["tool", "input"]);
            let tool = undo.tool("tool");
            let path = below(&undo.path, "input");
            let input = undo.get("input").cloned().unwrap_or_else(|| Value::Object(Map::new()));
            (tool, Binder { parameters: self.parameters, issues: undo.issues }.template(&input, &path))
        });
        Kind::Tool { tool, input, options, compensate }
    }

    fn approval(&mut self) -> Kind {
        let title = self.it.text("title", limits::TEXT_CHARS_MAX);
        let asks = match (self.it.get("for"), self.it.get("show")) {
            (Some(_), None) => Asks::For(self.it.text("for", limits::GRAPH_ID_CHARS_MAX)),
            (None, Some(_)) => Asks::Show(self.template("show", Value::Null)),
            (found, _) => {
                let both = if found.is_some() { "has both" } else { "has neither" };
                self.it.issue(
                    "",
                    format!(
                        "{both} `for` (the id of the node that it guards) and `show` (what the person is to see); one of them belongs here"
                    ),
                );
                Asks::Show(constant(Value::Null))
            }
        };
        let then = self.it.ids("then");
        let timeout_ms = self.it.number("timeout_ms", 1, limits::GRAPH_WAIT_MS_MAX);
        let (on_reject, on_expire) = (self.otherwise("on_reject"), self.otherwise("on_expire"));
        if on_expire != Otherwise::Fail && timeout_ms.is_none() {
            self.it.issue("on_expire", "there is no timeout_ms, so that it never expires".to_owned());
        }
        Kind::Approval { title, asks, then, timeout_ms, on_reject, on_expire }
    }

    fn otherwise(&mut self, field: &str) -> Otherwise {
        match self.it.get(field) {
            None => Otherwise::Fail,
            Some(Value::String(word)) if word == "fail" => Otherwise::Fail,
            Some(Value::Array(_)) => Otherwise::Nodes(self.it.ids(field)),
            Some(_) => {
                self.it.issue(field, "must be \"fail\" or a list of the ids of nodes to do then".to_owned());
                Otherwise::Fail
            }
        }
    }

    fn wait(&mut self) -> Kind {
        let timeout_ms = self.it.number("timeout_ms", 1, limits::GRAPH_WAIT_MS_MAX);
        let on_expire = self.otherwise("on_expire");
        let until = match (self.it.get("signal"), self.it.get("sleep_ms")) {
            (Some(_), None) => Until::Signal { name: self.it.text("signal", limits::ID_CHARS_MAX), timeout_ms },
            (None, Some(_)) => Until::SleepMs(self.it.number("sleep_ms", 1, limits::GRAPH_WAIT_MS_MAX).unwrap_or(1)),
            (found, _) => {
                let both = if found.is_some() { "has both" } else { "has neither" };
                self.it.issue("", format!("{both} `signal` (the name of a signal to wait for) and `sleep_ms`; one of them belongs here"));
                Until::SleepMs(1)
            }
        };
        if on_expire != Otherwise::Fail && timeout_ms.is_none() {
            self.it.issue("on_expire", "there is no timeout_ms, so that it never expires".to_owned());
        }
        if matches!(until, Until::SleepMs(_)) && timeout_ms.is_some() {
            self.it.issue("timeout_ms", "a sleep has none; it lasts sleep_ms".to_owned());
        }
        Kind::Wait { until, on_expire }
    }

    fn condition(&mut self) -> Kind {
        let (then, otherwise) = (self.it.ids("then"), self.it.ids("else"));
        if then.is_empty() && otherwise.is_empty() {
            self.it.issue("then", "neither `then` nor `else` names a node, so that nothing depends on the condition".to_owned());
        }
        let nothing = Condition { value: Source::Output { step: String::new(), pointer: String::new() }, is: Test::Exists, to: None };
        let parameters = self.parameters;
        let condition = self.it.below("if").and_then(|mut asked| {
            asked.only("if", &["value", "is", "to"]);
            let is = asked.get("is").and_then(Value::as_str).and_then(|word| Test::NAMES.iter().find(|(name, _)| *name == word));
            if is.is_none() {
                asked.issue("is", format!("must be one of {}", Test::NAMES.map(|(name, _)| name).join(", ")));
            }
            let path = below(&asked.path, "value");
            let value = asked.get("value").cloned().unwrap_or(Value::Null);
            let value = Binder { parameters, issues: asked.issues }.source(&value, &path);
            Some(Condition { value: value?, is: is?.1, to: asked.get("to").map(Json::from) })
        });
        if self.it.get("if").is_none() {
            self.it.issue("if", "is missing: {\"value\": {\"$from\": …}, \"is\": \"equals\", \"to\": …}".to_owned());
        }
        Kind::Condition { condition: condition.unwrap_or(nothing), then, otherwise }
    }

    fn each(&mut self) -> Kind {
        if self.it.get("list").is_none() {
            self.it.issue("list", "is missing: the list for each element of which something is done".to_owned());
        }
        let body = self.it.ids("do");
        if body.is_empty() {
            self.it.issue("do", "names no node, so that nothing is done with the elements".to_owned());
        }
        let give = self.it.get("give").is_some().then(|| self.template("give", Value::Null));
        Kind::Each { list: self.template("list", Value::Array(Vec::new())), body, give }
    }

    fn parallel(&mut self) -> Kind {
        let lists = self.it.list("branches");
        let most = limits::PARALLEL_BRANCHES_MAX;
        if lists.is_empty() || lists.len() > most {
            self.it.issue("branches", format!("1 to {most} lists of node ids belong here; it has {}", lists.len()));
        }
        let branches: Vec<Vec<String>> = (0..lists.len().min(most)).map(|n| self.it.ids(&format!("branches/{n}"))).collect();
        for (n, _) in branches.iter().enumerate().filter(|(_, ids)| ids.is_empty()) {
            self.it.issue(&format!("branches/{n}"), "names no node".to_owned());
        }
        let join = match self.it.get("join").map(Value::as_str) {
            None | Some(Some("all")) => Join::All,
            Some(Some("first")) => Join::First,
            Some(_) => {
                self.it.issue("join", "must be \"all\" or \"first\"".to_owned());
                Join::All
            }
        };
        Kind::Parallel { branches, join }
    }
}

fn constant(value: Value) -> Template {
    Template::Constant(Json::from(&value))
}

/// One object while it is being read.
struct Object<'a, 'i> {
    fields: &'a Map<String, Value>,
    path: String,
    issues: &'i mut Vec<Issue>,
}

impl<'a> Object<'a, '_> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        match field.split_once('/') {
            None => self.fields.get(field),
            Some((list, n)) => self.fields.get(list)?.get(n.parse::<usize>().ok()?),
        }
    }

    fn issue(&mut self, field: &str, message: String) {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}/{field}", self.path) };
        self.issues.push(Issue { path, message });
    }

    fn only(&mut self, what: &str, known: &[&str]) {
        for name in self.fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let path = below(&self.path, name);
            self.issues.push(Issue { path, message: format!("is not a field of {what}; its fields are {}", known.join(", ")) });
        }
    }

    fn text(&mut self, field: &str, most: usize) -> String {
        match self.get(field).map(Value::as_str) {
            Some(Some(text)) if !text.is_empty() && text.chars().count() <= most => return text.to_owned(),
            None => self.issue(field, format!("is missing: a text of 1 to {most} characters")),
            Some(_) => self.issue(field, format!("must be a text of 1 to {most} characters")),
        }
        String::new()
    }

    fn tool(&mut self, field: &str) -> ToolId {
        let text = self.text(field, limits::TOOL_NAME_CHARS_MAX);
        match ToolId::parse(&text) {
            Ok(tool) => tool,
            Err(_) => {
                if !text.is_empty() {
                    self.issue(field, format!("{text:?} is not two kebab-case words joined by a slash, such as fs/read"));
                }
                ToolId::agent("unreadable")
            }
        }
    }

    fn number(&mut self, field: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(field)?;
        let number = value.as_u64().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.issue(field, format!("{value} stands here; it must be a whole number from {least} to {most}"));
        }
        number
    }

    fn list(&mut self, field: &str) -> &'a [Value] {
        match self.get(field) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.issue(field, "must be a list".to_owned());
                &[]
            }
        }
    }

    fn ids(&mut self, field: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for (n, item) in self.list(field).iter().enumerate() {
            match item.as_str() {
                Some(id) => ids.push(id.to_owned()),
                None => self.issue(&format!("{field}/{n}"), format!("{item} stands here; it must be a node's id")),
            }
        }
        ids
    }

    fn below(&mut self, field: &str) -> Option<Object<'a, '_>> {
        match self.get(field) {
            None => None,
            Some(Value::Object(fields)) => Some(Object { fields, path: below(&self.path, field), issues: self.issues }),
            Some(_) => {
                self.issue(field, "must be an object".to_owned());
                None
            }
        }
    }
}
