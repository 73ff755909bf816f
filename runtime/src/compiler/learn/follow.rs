//! A plan followed over a recorded run without a component: which calls it would make, judged one by one.
//!
//! The proof runs the component itself. This is for what would cost too much there: runs that were left out while learning,
//! and which call of a run belongs to which step.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Pass;
use crate::checks::Verdict;
use crate::compiler::plan::{Check, Condition, Node, Plan, Test};
use crate::compiler::template::{Known, Template};
use crate::json::Json;

/// How far a plan came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Followed {
    /// It made exactly the recorded calls, with what the steps were given: step and place in the run.
    Right(Vec<(String, usize)>, Value),
    /// It stopped before it did anything that was not recorded.
    Refused(String),
    /// It would have made another call.
    Wrong(String),
}

struct Follower<'a> {
    pass: &'a Pass<'a>,
    /// True where answers are held to the plan's checks.
    checked: bool,
    input: Value,
    outputs: BTreeMap<String, Value>,
    items: BTreeMap<String, Value>,
    calls: Vec<(String, usize)>,
}

/// Follows `plan` over `pass`, and holds the answers to its checks.
pub(super) fn follow_checked(plan: &Plan, pass: &Pass<'_>) -> Followed {
    followed(plan, pass, true)
}

/// Follows `plan` over `pass`.
pub(super) fn follow(plan: &Plan, pass: &Pass<'_>) -> Followed {
    followed(plan, pass, false)
}

fn followed(plan: &Plan, pass: &Pass<'_>, checked: bool) -> Followed {
    let input = match given(plan, &pass.trace.inputs) {
        Ok(input) => plan.completed(&input),
        Err(why) => return Followed::Refused(why),
    };
    let mut follower = Follower { pass, checked, input, outputs: BTreeMap::new(), items: BTreeMap::new(), calls: Vec::new() };
    if let Err(stopped) = follower.nodes(&plan.body) {
        return stopped;
    }
    if follower.calls.len() < pass.attempts.len() {
        return Followed::Wrong(format!("it ends after {} calls; the run made {}", follower.calls.len(), pass.attempts.len()));
    }
    match follower.made(&plan.output) {
        Ok(output) => Followed::Right(follower.calls, output),
        Err(stopped) => stopped,
    }
}

/// A run's inputs as a job would have to give them; none where the plan would not take them.
pub(super) fn given(plan: &Plan, inputs: &Value) -> Result<Value, String> {
    let mut fields = serde_json::Map::new();
    for parameter in &plan.parameters {
        let Some(value) = inputs.get(&parameter.name) else {
            match &parameter.default {
                Some(_) => continue,
                None => return Err(format!("there is no input {:?}", parameter.name)),
            }
        };
        let schema = parameter.schema.value();
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return Err(format!("the input {:?} has a value that no run had", parameter.name));
        }
        fields.insert(parameter.name.clone(), value.clone());
    }
    Ok(Value::Object(fields))
}

impl Follower<'_> {
    fn known(&self) -> Known<'_> {
        Known { input: &self.input, outputs: &self.outputs, items: &self.items, today: Some(&self.pass.today) }
    }

    fn made(&self, template: &Template) -> Result<Value, Followed> {
        template.evaluate(&self.known()).map_err(|unmade| Followed::Refused(unmade.to_string()))
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<(), Followed> {
        for node in nodes {
            match node {
                Node::Step(step) => {
                    let input = self.made(&step.input)?;
                    let at = self.calls.len();
                    let Some(attempt) = self.pass.attempts.get(at) else {
                        return Err(Followed::Wrong(format!("{} would call {} where the run had ended", step.id, step.tool)));
                    };
                    if attempt.bound.tool != step.tool || Json::from(&input) != Json::from(&attempt.bound.input) {
                        return Err(Followed::Wrong(format!(
                            "{} would call {} with {}",
                            step.id,
                            step.tool,
                            super::explain::shown(&input)
                        )));
                    }
                    let fails =
                        |check: &Check| check.spec()?.judge(Some(&attempt.output)).filter(|finding| finding.verdict == Verdict::Fail);
                    if let Some(finding) = step.checks.iter().filter(|_| self.checked).find_map(fails) {
                        return Err(Followed::Refused(format!("{}: {}", step.id, finding.why)));
                    }
                    self.calls.push((step.id.clone(), at));
                    self.outputs.insert(step.id.clone(), attempt.output.clone());
                }
                Node::Branch(branch) => self.nodes(if self.holds(&branch.condition) { &branch.then } else { &branch.otherwise })?,
                Node::Each(each) => {
                    let list = self.made(&each.list)?;
                    let Value::Array(items) = list else { return Err(Followed::Refused(format!("{} has no list to go through", each.id))) };
                    let gives = each.gives();
                    let mut answers = Vec::new();
                    for item in items {
                        self.items.insert(each.id.clone(), item);
                        self.nodes(&each.body)?;
                        answers.push(gives.as_ref().map_or(Ok(Value::Null), |template| self.made(template))?);
                    }
                    self.items.remove(&each.id);
                    self.outputs.insert(each.id.clone(), Value::Array(answers));
                }
                other => return Err(Followed::Refused(format!("{:?} is not learned from runs", other.id()))),
            }
        }
        Ok(())
    }

    fn holds(&self, condition: &Condition) -> bool {
        let value = condition.value.find(&self.known());
        let same = || value.as_ref().zip(condition.to.as_ref()).is_some_and(|(value, to)| Json::from(value) == *to);
        match condition.is {
            Test::True => value == Some(Value::Bool(true)),
            Test::Equals => same(),
            Test::NotEquals => !same(),
            Test::Exists => value.is_some(),
            Test::Greater | Test::Less => {
                let numbers = value.as_ref().and_then(Value::as_f64).zip(condition.to.as_ref().and_then(|to| to.value().as_f64()));
                numbers.is_some_and(|(value, to)| if condition.is == Test::Greater { value > to } else { value < to })
            }
        }
    }
}
