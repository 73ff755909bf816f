//! What a recorder wrote down beside a step, as checks of the plan.
//!
//! Paths and texts in it are made like a step's input: what came from the run's inputs or from an earlier answer comes from
//! there in every job. A condition that its own recording does not fulfil is no condition, and is reported.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bindings::Bindings;
use super::dataflow::Origins;
use super::plan::Check;
use super::template::Template;
use crate::checks::{At, Origin, Spec, Verdict, postcondition, precondition, signature};
use crate::json::Json;
use crate::runs::Step;

/// Fields whose text may be another in every job.
const VARYING: [&str; 2] = ["path", "text"];

/// What was recorded of a step, in the terms of the tools here.
pub(super) fn of(step: &Step, bindings: &Bindings) -> Vec<(At, Spec)> {
    let before = step.preconditions.iter().map(|recorded| (At::Before, precondition(&recorded.value())));
    let signed = step.expected_output_signature.iter().flat_map(|recorded| signature(&recorded.value()));
    let after = step.after.iter().flat_map(|after| &after.postconditions).map(|recorded| postcondition(&recorded.value()));
    let after = signed.chain(after).map(|spec| (At::After, spec));
    before.chain(after).map(|(at, spec)| (at, bindings.check_below_roots(spec))).collect()
}

/// The checks of a step; and those that its recorded `answer` does not fulfil, each with the reason.
pub(super) fn lifted(recorded: &[(At, Spec)], answer: &Value, origins: &Origins) -> (Vec<Check>, Vec<(Spec, String)>) {
    let (mut checks, mut contradicted): (Vec<Check>, Vec<(Spec, String)>) = (Vec::new(), Vec::new());
    for (at, spec) in recorded {
        let finding = spec.judge((*at == At::After).then_some(answer));
        if let Some(finding) = finding.filter(|finding| finding.verdict == Verdict::Fail) {
            contradicted.push((spec.clone(), finding.why));
            continue;
        }
        let check = Check { at: *at, is: made_of(spec, origins), origin: Origin::Recorded, reason: String::new() };
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
    (checks, contradicted)
}

fn made_of(spec: &Spec, origins: &Origins) -> Template {
    let Value::Object(fields) = spec.to_json().value() else { return Template::Constant(spec.to_json()) };
    let field = |(name, value): (String, Value)| {
        let template = match VARYING.contains(&name.as_str()) && value.is_string() {
            true => origins.explain("", &value, &mut Vec::new()),
            false => Template::Constant(Json::from(&value)),
        };
        (name, template)
    };
    Template::Object(fields.into_iter().map(field).collect::<BTreeMap<_, _>>()).simplified()
}
