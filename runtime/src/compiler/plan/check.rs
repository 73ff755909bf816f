//! What must hold before a plan is emitted: every value that a node needs is there when it runs.
//!
//! It walks the tree as a job would, once for each way through it, and knows at each place which nodes have surely
//! answered, which perhaps, and which not. It knows nothing of graphs: a fault names the node and the part of it,
//! so that whoever made the plan can say where that is in what they were given.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Branch, Condition, Each, Join, Node, PLAN_VERSION, Plan, Step, Test, Until, all};
use crate::compiler::template::{Source, Template};
use crate::{limits, rules};

/// One thing that is wrong with a plan.
pub(in crate::compiler) struct Fault {
    /// JSON pointer into the plan.
    pub path: String,
    /// The node it belongs to; none for the plan's own fields.
    pub node: Option<String>,
    /// JSON pointer below the node, or below the plan.
    pub part: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with `plan`.
pub(in crate::compiler) fn faults(plan: &Plan) -> Vec<Fault> {
    let parameters: BTreeSet<&str> = plan.parameters.iter().map(|p| p.name.as_str()).collect();
    let defaults = plan.parameters.iter().filter_map(|p| Some((p.name.as_str(), p.default.as_ref()?.value()))).collect();
    let silent = |node: &&Node| matches!(node, Node::Branch(_) | Node::Parallel(_) | Node::Fail(_));
    let silent = plan.nodes().into_iter().filter(silent).filter_map(Node::id).collect();
    let loops: Vec<&Each> =
        plan.nodes().into_iter().filter_map(|node| if let Node::Each(each) = node { Some(each) } else { None }).collect();
    let within = loops.iter().flat_map(|each| all(&each.body)).filter_map(Node::id).collect();
    let mut walk = Walk {
        parameters,
        defaults,
        ids: BTreeSet::new(),
        silent,
        within,
        has_loops: !loops.is_empty(),
        loops: Vec::new(),
        faults: Vec::new(),
    };
    walk.own_fields(plan);
    let (known, _) = walk.list(&plan.body, Known::new(), "/body", 0);
    walk.needs(&plan.output, &known, &Place { path: String::new(), node: None }, "/output");
    walk.faults
}

/// Which nodes have answered at a place: true for surely, false for perhaps.
type Known = BTreeMap<String, bool>;

/// Where a fault is.
struct Place<'a> {
    path: String,
    node: Option<&'a str>,
}

struct Walk<'a> {
    parameters: BTreeSet<&'a str>,
    /// What stands for parameters that are not given.
    defaults: BTreeMap<&'a str, Value>,
    ids: BTreeSet<&'a str>,
    /// Nodes that are there and answer nothing.
    silent: BTreeSet<&'a str>,
    /// Nodes that stand in some loop.
    within: BTreeSet<&'a str>,
    has_loops: bool,
    /// The loops around what is looked at, outermost first.
    loops: Vec<&'a str>,
    faults: Vec<Fault>,
}

/// What is known where several ways meet. A way that ends in failure does not arrive.
fn meet(ways: Vec<(Known, bool)>) -> (Known, bool) {
    let arriving: Vec<Known> = ways.iter().filter(|(_, arrives)| *arrives).map(|(known, _)| known.clone()).collect();
    let Some(first) = arriving.first() else { return (ways.into_iter().next().map(|(known, _)| known).unwrap_or_default(), false) };
    let mut met = first.clone();
    let all: BTreeSet<&String> = arriving.iter().flat_map(BTreeMap::keys).collect();
    for id in all {
        met.insert(id.clone(), arriving.iter().all(|known| known.get(id) == Some(&true)));
    }
    (met, true)
}

fn perhaps(known: Known, before: &Known) -> Known {
    known
        .into_iter()
        .map(|(id, sure)| {
            let sure = sure && before.get(&id) == Some(&true);
            (id, sure)
        })
        .collect()
}

impl<'a> Walk<'a> {
    fn fault(&mut self, place: &Place<'_>, part: &str, message: String) {
        let path = format!("{}{part}", place.path);
        self.faults.push(Fault { path, node: place.node.map(str::to_owned), part: part.to_owned(), message });
    }

    fn own_fields(&mut self, plan: &Plan) {
        let whole = Place { path: String::new(), node: None };
        let least = plan.least_version();
        if plan.plan_version < least || plan.plan_version > PLAN_VERSION {
            let readable = if least == PLAN_VERSION { least.to_string() } else { format!("{least} to {PLAN_VERSION}") };
            self.fault(&whole, "/plan_version", format!("{} where this version reads {readable}", plan.plan_version));
        }
        let nodes = plan.nodes().len();
        if nodes == 0 || nodes > limits::PLAN_STEPS_MAX {
            self.fault(&whole, "/body", format!("{nodes} steps; 1 to {}", limits::PLAN_STEPS_MAX));
        }
        let tools = plan.tools().len();
        if tools > limits::IMPORTS_MAX {
            self.fault(&whole, "/body", format!("calls {tools} different tools; at most {}", limits::IMPORTS_MAX));
        }
        if self.parameters.len() != plan.parameters.len() {
            self.fault(&whole, "/parameters", "a name stands twice".to_owned());
        }
        for (at, (below, message)) in plan.parameters.iter().enumerate().filter_map(|(at, p)| Some((at, p.fault()?))) {
            self.fault(&whole, &format!("/parameters/{at}{below}"), message);
        }
    }

    /// What is known after these nodes, and whether a job can come so far.
    fn list(&mut self, nodes: &'a [Node], mut known: Known, path: &str, depth: usize) -> (Known, bool) {
        if depth > limits::PLAN_NESTING_MAX {
            let place = Place { path: path.to_owned(), node: None };
            self.fault(&place, "", format!("nested deeper than {} levels", limits::PLAN_NESTING_MAX));
            return (known, true);
        }
        let mut arrives = true;
        for (at, node) in nodes.iter().enumerate() {
            let place = Place { path: format!("{path}/{at}/{}", kind(node)), node: node.id() };
            if !arrives {
                self.fault(&place, "", "no job comes here: what stands before it always ends in failure".to_owned());
            }
            (known, arrives) = self.node(node, known, &place, depth);
        }
        (known, arrives)
    }

    fn node(&mut self, node: &'a Node, known: Known, place: &Place<'_>, depth: usize) -> (Known, bool) {
        if let Some(id) = node.id() {
            self.id(id, place, "/id");
        }
        let arm = |walk: &mut Self, nodes: &'a [Node], known: Known, name: &str| {
            walk.list(nodes, known, &format!("{}/{name}", place.path), depth + 1)
        };
        let answered = |mut known: Known, id: &str| {
            known.insert(id.to_owned(), true);
            known
        };
        match node {
            Node::Step(step) => {
                self.needs(&step.input, &known, place, "/input");
                self.checks(step, &known, place);
                let known = answered(known, &step.id);
                self.compensation(step, &known, place);
                (known, true)
            }
            Node::Playbook(start) => {
                self.needs(&start.input, &known, place, "/input");
                if crate::ids::PlaybookId::parse(&start.playbook).is_err() {
                    self.fault(place, "/playbook", format!("{:?} is no playbook's id", start.playbook));
                }
                (answered(known, &start.id), true)
            }
            Node::Fail(fail) => {
                self.needs(&fail.message, &known, place, "/message");
                (known, false)
            }
            Node::Branch(branch) => {
                self.condition(branch, &known, place);
                let then = arm(self, &branch.then, known.clone(), "then");
                let otherwise = arm(self, &branch.otherwise, known, "else");
                meet(vec![then, otherwise])
            }
            Node::Try(tried) => {
                let body = arm(self, &tried.body, known.clone(), "body");
                let failed = perhaps(body.0.clone(), &known);
                let handled = arm(self, &tried.on_failure, failed, "on_failure");
                meet(vec![body, handled])
            }
            Node::Wait(wait) => {
                if let Until::Signal { name, .. } = &wait.until
                    && (name.is_empty() || name.chars().count() > limits::ID_CHARS_MAX)
                {
                    self.fault(place, "/until/signal/name", format!("{name:?} does not have 1 to {} characters", limits::ID_CHARS_MAX));
                }
                let mut ways = vec![(answered(known.clone(), &wait.id), true)];
                ways.extend(wait.expired.as_ref().map(|nodes| arm(self, nodes, known, "expired")));
                meet(ways)
            }
            Node::Approve(ask) => {
                self.needs(&ask.request, &known, place, "/request");
                let mut ways = vec![arm(self, &ask.approved, answered(known.clone(), &ask.id), "approved")];
                ways.extend(ask.rejected.as_ref().map(|nodes| arm(self, nodes, answered(known.clone(), &ask.id), "rejected")));
                ways.extend(ask.expired.as_ref().map(|nodes| arm(self, nodes, known, "expired")));
                meet(ways)
            }
            Node::Each(each) => {
                self.needs(&each.list, &known, place, "/list");
                self.each(each, known.clone(), place, depth);
                // There may be no turn at all, so that what the nodes in it answer is never known.
                (answered(known, &each.id), true)
            }
            Node::Parallel(parallel) => {
                if let Some(around) = self.loops.last() {
                    let message = format!("arms side by side inside of the loop {around:?}; what is done in a loop is done in order");
                    self.fault(place, "", message);
                }
                let (least, most) = (1, limits::PARALLEL_BRANCHES_MAX);
                if parallel.branch_name(most).chars().count() > limits::ID_CHARS_MAX {
                    self.fault(place, "/id", format!("{:?} is too long to name its branches after it", parallel.id));
                }
                if parallel.branches.len() < least || parallel.branches.len() > most {
                    self.fault(place, "/branches", format!("{} branches; {least} to {most}", parallel.branches.len()));
                }
                let mut all = known.clone();
                let mut arrives = true;
                for (at, nodes) in parallel.branches.iter().enumerate() {
                    let (end, ends) = arm(self, nodes, known.clone(), &format!("branches/{at}"));
                    all.extend(end.into_iter().filter(|(id, _)| !known.contains_key(id)));
                    arrives &= ends || parallel.join == Join::First;
                }
                (if parallel.join == Join::First { perhaps(all, &known) } else { all }, arrives)
            }
        }
    }

    fn each(&mut self, each: &'a Each, known: Known, place: &Place<'_>, depth: usize) {
        self.loops.push(&each.id);
        let (known, arrives) = self.list(&each.body, known, &format!("{}/body", place.path), depth + 1);
        let silent = each.body.last().is_none_or(|node| node.id().is_none_or(|id| self.silent.contains(id)));
        match &each.output {
            None if each.body.is_empty() => self.fault(place, "/body", "nothing is done with the elements".to_owned()),
            None if silent && arrives => {
                self.fault(place, "/output", "the last node answers nothing itself; say what each turn gives".to_owned());
            }
            None => {}
            Some(output) => self.needs(output, &known, place, "/output"),
        }
        self.loops.pop();
    }

    fn id(&mut self, id: &'a str, place: &Place<'_>, part: &str) {
        if crate::ids::StepId::parse(id).is_err() {
            self.fault(place, part, format!("{id:?} is not 1 to {} visible characters without \"/\"", limits::ID_CHARS_MAX));
        }
        let turns = self.loops.len() * TURN_CHARS_MAX;
        if turns > 0 && id.chars().count() + turns > limits::ID_CHARS_MAX {
            self.fault(place, part, format!("{id:?} is too long to say its turn behind it"));
        }
        if self.has_loops && id.contains('[') {
            self.fault(place, part, format!("{id:?} has a \"[\", behind which ids say their turn in a plan with loops"));
        }
        if !self.ids.insert(id) {
            self.fault(place, part, format!("{id:?} stands twice"));
        }
    }

    /// A check is made from what is known before the step; the step's own answer is given to it beside.
    fn checks(&mut self, step: &Step, known: &Known, place: &Place<'_>) {
        if step.checks.len() > limits::STEP_CHECKS_MAX {
            self.fault(place, "/checks", format!("{} checks; at most {}", step.checks.len(), limits::STEP_CHECKS_MAX));
        }
        for (at, check) in step.checks.iter().enumerate() {
            let part = format!("/checks/{at}/is");
            if let Some(message) = check.fault() {
                self.fault(place, &part, message);
            }
            self.needs(&check.is, known, place, &part);
        }
    }

    fn compensation(&mut self, step: &'a Step, known: &Known, place: &Place<'_>) {
        let Some(undo) = step.compensation.as_deref() else { return };
        if let Some(around) = self.loops.last() {
            self.fault(place, "/compensation", format!("what is done in the loop {around:?} more than once cannot be undone one by one"));
        }
        self.id(&undo.id, place, "/compensation/id");
        self.needs(&undo.input, known, place, "/compensation/input");
        if undo.compensation.is_some() {
            self.fault(place, "/compensation/compensation", "what undoes a step is not itself undone".to_owned());
        }
        if !undo.checks.is_empty() {
            let message = "what undoes a step is not checked: it is to undo as much as it can".to_owned();
            self.fault(place, "/compensation/checks", message);
        }
    }

    fn condition(&mut self, branch: &Branch, known: &Known, place: &Place<'_>) {
        let Condition { value, is, to } = &branch.condition;
        self.source(value, known, place, "/if/value", false);
        let wrong = match (is, to) {
            (_, None) if is.compares() => Some("there is nothing to compare with".to_owned()),
            (_, Some(_)) if !is.compares() => Some("nothing is compared here".to_owned()),
            (Test::Greater | Test::Less, Some(to)) if !to.value().is_number() => Some(format!("{to} is not a number")),
            _ => None,
        };
        if let Some(message) = wrong {
            self.fault(place, "/if/to", message);
        }
    }

    /// A template may only speak of parameters that exist and of nodes that have answered.
    fn needs(&mut self, template: &Template, known: &Known, place: &Place<'_>, part: &str) {
        if template.depth() > limits::JSON_DEPTH_MAX {
            self.fault(place, part, format!("nested deeper than {} levels", limits::JSON_DEPTH_MAX));
        }
        template.for_each_place(part, &mut |at, source, needed| self.source(source, known, place, at, needed));
        template.for_each_derivation(part, &mut |at, source, rules| match rules::fault(rules) {
            Some((n, message)) => self.fault(place, at, format!("rule {} for {source}: {message}", n + 1)),
            None if rules.is_empty() => self.fault(place, at, format!("no rule says what is made of {source}")),
            None => {}
        });
    }

    fn source(&mut self, source: &Source, known: &Known, place: &Place<'_>, at: &str, needed: bool) {
        match source {
            Source::Parameter { name, .. } if !self.parameters.contains(name.as_str()) => {
                self.fault(place, at, format!("no parameter {name:?}"));
            }
            Source::Parameter { name, pointer }
                if needed && self.defaults.get(name.as_str()).is_some_and(|d| d.pointer(pointer).is_none()) =>
            {
                self.fault(place, at, format!("the default of the parameter {name:?} has no {pointer}"));
            }
            Source::Output { step, .. } if self.silent.contains(step.as_str()) => {
                self.fault(place, at, format!("{step:?} answers nothing itself; what the nodes in it answer can be bound"));
            }
            Source::Item { each, .. } if !self.loops.contains(&each.as_str()) => {
                self.fault(place, at, format!("not inside of a loop {each:?}, whose element this would be"));
            }
            Source::Output { step, .. } if !known.contains_key(step) && self.within.contains(step.as_str()) => {
                self.fault(
                    place,
                    at,
                    format!("{step:?} is in a loop, and has not answered in this turn; what the loop gives can be bound"),
                );
            }
            Source::Output { step, .. } if !known.contains_key(step) => {
                self.fault(place, at, format!("no step {step:?} before this one"));
            }
            Source::Output { step, .. } if needed && !known[step] => {
                let message =
                    format!("{step:?} may not have run, or may have failed, when this is needed; say what stands for it then: \"default\"");
                self.fault(place, at, message);
            }
            Source::Parameter { pointer, .. } | Source::Output { pointer, .. } | Source::Item { pointer, .. } if !is_pointer(pointer) => {
                self.fault(place, at, format!("{pointer:?} is not a JSON pointer"));
            }
            _ => {}
        }
    }
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// What an id says of one turn at the most: `[999]`.
const TURN_CHARS_MAX: usize = 5;
const _: () = assert!(limits::EACH_ITEMS_MAX <= 1_000);

/// The key under which a node stands in the plan's JSON.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Step(_) => "step",
        Node::Branch(_) => "branch",
        Node::Parallel(_) => "parallel",
        Node::Try(_) => "try",
        Node::Wait(_) => "wait",
        Node::Approve(_) => "approve",
        Node::Playbook(_) => "playbook",
        Node::Each(_) => "each",
        Node::Fail(_) => "fail",
    }
}
