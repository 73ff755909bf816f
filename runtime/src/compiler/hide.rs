//! Secrets that stand in a recording are taken out of it before anything is made of it.
//!
//! A secret is known by where it stands (a field called `token`, `password`, `api_key`) or by its form (what providers begin
//! their tokens with). In its place stands `{{secret:NAME}}`, named after its field: so the playbook names the secret that a
//! job needs, and an operator sets it. What an earlier step of the run answered is no secret of the recording, but flows on
//! from that step. Run and answer are changed alike, so that the proof holds the playbook to the same texts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bindings::Bindings;
use super::lift;
use super::plan::{Node, Plan};
use super::template::{Part, Source, Template};
use super::trace::Trace;
use crate::checks::Spec;
use crate::ids::SecretName;
use crate::json::Json;
use crate::runs::{Run, StepStatus};

/// Words in the name of a field that holds a secret.
const NAMED: [&str; 12] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "api_key",
    "authorization",
    "credential",
    "credentials",
    "private_key",
    "access_key",
];
/// What providers begin their tokens with.
const FORMS: [&str; 16] = [
    "sk-",
    "sk_live_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "AIza",
    "npm_",
    "eyJ",
];
/// What stands before a token in a header.
const BEARER: &str = "Bearer ";
/// Fields that say what the value beside them is called.
const NAMING: [&str; 8] = ["name", "key", "header", "env", "variable", "var", "field", "pointer"];
/// Fields whose value is called as another field says.
const VALUES: [&str; 5] = ["value", "equals", "expected", "sample", "default"];
/// What a placeholder begins with.
const OPENING: &str = "{{secret:";
/// A token is no shorter; what is shorter is a word.
const TOKEN_CHARS_MIN: usize = 16;
/// A value in a field that is named like a secret is no shorter.
const NAMED_CHARS_MIN: usize = 8;
/// One without a digit is no shorter.
const LONG_CHARS_MIN: usize = 20;

/// Secrets that were found, and the names under which they are needed: no two have one.
#[derive(Default)]
struct Names {
    of: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// Where these names stand in placeholders already.
    fn beside(texts: impl IntoIterator<Item = String>) -> Names {
        let mut names = Names::default();
        for text in texts {
            let after = text.split(OPENING).skip(1).filter_map(|rest| rest.split_once("}}"));
            names.taken.extend(after.map(|(name, _)| name.to_owned()));
        }
        names
    }

    fn note(&mut self, secret: &str, field: &str) {
        if self.of.contains_key(secret) {
            return;
        }
        let name = name_of(field);
        let mut numbered = std::iter::once(name.clone()).chain((2_u64..).map(|n| format!("{name}_{n}")));
        if let Some(free) = numbered.find(|name| !self.taken.contains(name)) {
            self.taken.insert(free.clone());
            self.of.insert(secret.to_owned(), free);
        }
    }
}

/// Takes secrets out of `trace`, which then says by which names they are needed.
pub(super) fn hide(trace: &mut Trace) {
    let names = names_in(trace);
    replace(trace, &names.of);
    without_placeholders(&mut trace.inputs);
}

/// Nobody gives a secret to a job: its name stands where it is used.
fn without_placeholders(inputs: &mut Value) {
    if let Some(fields) = inputs.as_object_mut() {
        fields.retain(|_, value| value.as_str().is_none_or(|text| !is_placeholder(text)));
    }
}

fn names_in(trace: &Trace) -> Names {
    let attempts = trace.attempts.iter();
    let texts = attempts.flat_map(|attempt| [attempt.bound.input.to_string(), attempt.output.to_string()]);
    let mut names = Names::beside(texts.chain([trace.goal.clone(), trace.inputs.to_string()]));
    collect("", &trace.inputs, "", &mut names);
    // What counts first, so that an attempt that failed with another secret takes no name from it.
    for counts in [true, false] {
        let mut answered = String::new();
        for attempt in &trace.attempts {
            if counts == (attempt.status == Some(StepStatus::Success)) {
                collect("", &attempt.bound.input, &answered, &mut names);
                attempt.checks.iter().for_each(|(_, spec)| collect("", &spec.to_json().value(), &answered, &mut names));
                attempt.error.iter().for_each(|error| by_form(&Value::from(error.as_str()), &answered, &mut names));
            }
            answered.push_str(&attempt.output.to_string());
        }
    }
    by_form(&Value::from(trace.goal.as_str()), "", &mut names);
    names
}

/// A run with the placeholders that stand in its trace once it is compiled, in all that was recorded of it.
pub(super) fn run(run: &Run, bindings: &Bindings) -> Run {
    let mut names = names_in(&Trace::as_recorded(run, bindings));
    let mut answered = String::new();
    for step in &run.steps {
        let after = step.after.as_ref();
        let said = step.preconditions.iter().chain(&step.expected_output_signature).chain(&step.retry_policy);
        let came = after.into_iter().flat_map(|after| after.postconditions.iter().chain(&after.output_signature).chain(&after.error));
        said.chain([&step.tool_input]).chain(came).for_each(|json| collect("", &json.value(), &answered, &mut names));
        if let Some(output) = after.and_then(|after| after.output.as_ref()) {
            answered.push_str(output.as_str());
        }
    }
    let hidden = |run: Run, names: &BTreeMap<String, String>| {
        if names.is_empty() { run } else { run.rewritten(&|json| Json::from(&cleaned_of(json.value(), names))) }
    };
    let run = hidden(run.clone(), &names.of);
    match lift::lift(&Trace::of(&run, bindings)) {
        Ok(lifted) => hidden(run, &left_in(&lifted.plan)),
        Err(_) => run,
    }
}

/// `value`, wherever it comes from, with placeholders for what looks like a secret in it.
pub(super) fn value(value: Value) -> Value {
    let mut names = Names::beside([value.to_string()]);
    collect("", &value, "", &mut names);
    cleaned_of(value, &names.of)
}

/// As [`value`], of a text.
pub(super) fn text(text: &str) -> String {
    match value(Value::from(text)) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// What looks like a secret and stands in a plan as it is, with its name: an earlier step had answered it, and yet nothing takes it
/// from there.
pub(super) fn left_in(plan: &Plan) -> BTreeMap<String, String> {
    let whole = serde_json::to_string(plan).expect("a plan has string keys only");
    let tells = FORMS.iter().chain([&BEARER]).any(|form| whole.contains(form));
    let mut names = Names::beside([whole]);
    for step in plan.steps() {
        in_template("", &step.input, &mut names);
        step.checks.iter().for_each(|check| in_template("", &check.is, &mut names));
    }
    for node in plan.nodes() {
        node.templates().into_iter().for_each(|template| in_template("", template, &mut names));
        if let Node::Branch(branch) = node {
            let field = field_of(&branch.condition.value);
            branch.condition.to.iter().for_each(|to| collect(field, &to.value(), "", &mut names));
        }
    }
    in_template("", &plan.output, &mut names);
    for parameter in &plan.parameters {
        let values = parameter.schema.value()["enum"].take();
        let given = [Some(&parameter.sample), parameter.default.as_ref()].into_iter().flatten().map(Json::value);
        given.chain([values]).for_each(|value| collect(&parameter.name, &value, "", &mut names));
    }
    // Rules, reasons, the goal: of what stands in no field, only the form tells.
    if tells {
        by_form(&plan.to_json().value(), "", &mut names);
    }
    names.of
}

/// The name of the field that a value comes from.
fn field_of(source: &Source) -> &str {
    let (whole, pointer) = match source {
        Source::Parameter { name, pointer } => (name.as_str(), pointer),
        Source::Output { pointer, .. } | Source::Item { pointer, .. } => ("", pointer),
        Source::Today => return "",
    };
    pointer.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(whole)
}

fn in_template(field: &str, template: &Template, names: &mut Names) {
    match template {
        Template::Constant(json) => collect(field, &json.value(), "", names),
        Template::Either { value, default } => {
            let field = if field.is_empty() { field_of(value) } else { field };
            collect(field, &default.value(), "", names);
        }
        Template::Text(parts) => parts.iter().for_each(|part| {
            if let Part::Literal(text) = part {
                collect("", &Value::from(text.as_str()), "", names);
            }
        }),
        Template::Object(fields) => {
            let constants = fields.iter().filter_map(|(name, below)| match below {
                Template::Constant(json) => Some((name.as_str(), json.value())),
                _ => None,
            });
            let constants: Vec<(&str, Value)> = constants.collect();
            let beside = named_beside(&|key| constants.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.as_str()));
            fields.iter().for_each(|(name, below)| in_template(field_in(name, beside), below, names));
        }
        Template::Array(items) => items.iter().for_each(|item| in_template(field, item, names)),
        Template::Value(_) | Template::Derived { .. } => {}
    }
}

/// `{"name": "DEPLOY_TOKEN", "value": ...}`: what the value's field is really called, where that names a secret.
fn named_beside<'a>(find: &dyn Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let called = NAMING.iter().filter_map(|key| find(key)).map(|name| name.rsplit('/').next().unwrap_or(name));
    called.into_iter().find(|name| is_named(name))
}

fn field_in<'a>(name: &'a str, beside: Option<&'a str>) -> &'a str {
    if VALUES.contains(&name) { beside.unwrap_or(name) } else { name }
}

/// True where a text of an answer has something in it that looks like a secret, and is not to be repeated in a check.
pub(super) fn holds_secret(field: &str, text: &str) -> bool {
    let assigned = |line: &str| {
        line.split_once(['=', ':']).is_some_and(|(name, value)| is_named(name.trim()) && value.trim().len() >= NAMED_CHARS_MIN)
    };
    !found_in(field, text).is_empty() || text.lines().any(assigned)
}

/// Puts placeholders in the place of these secrets, wherever they stand in `trace`.
pub(super) fn replace(trace: &mut Trace, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    let secrets = longest_first(names);
    trace.goal = replaced(&trace.goal, &secrets);
    trace.inputs = cleaned(trace.inputs.take(), &secrets);
    without_placeholders(&mut trace.inputs);
    trace.output = trace.output.take().map(|output| cleaned(output, &secrets));
    for attempt in &mut trace.attempts {
        attempt.bound.input = cleaned(attempt.bound.input.take(), &secrets);
        attempt.output = cleaned(attempt.output.take(), &secrets);
        attempt.error = attempt.error.take().map(|error| replaced(&error, &secrets));
        for (_, spec) in &mut attempt.checks {
            let clean = Spec::parse(&cleaned(spec.to_json().value(), &secrets));
            *spec = match clean {
                // No variable has the placeholder in it: that it is there is what is left to ask.
                Ok(Spec::EnvEquals { name, value }) if value.contains(OPENING) => Spec::EnvExists { name },
                Ok(clean) => clean,
                Err(_) => continue,
            };
        }
    }
    trace.secrets.extend(names.values().cloned());
}

fn is_placeholder(text: &str) -> bool {
    text.starts_with(OPENING) && text.ends_with("}}")
}

/// Finds secrets in `value`, which stands in the field `field`.
fn collect(field: &str, value: &Value, answered: &str, names: &mut Names) {
    match value {
        Value::Object(fields) => {
            let beside = named_beside(&|key| fields.get(key).and_then(Value::as_str));
            fields.iter().for_each(|(name, value)| collect(field_in(name, beside), value, answered, names));
        }
        Value::Array(items) => {
            // `["--token", "..."]`, `["Authorization", "..."]`
            let names_next = |text: &&str| !text.contains(char::is_whitespace) && is_named(text);
            for (at, item) in items.iter().enumerate() {
                let before = at.checked_sub(1).and_then(|at| items[at].as_str()).filter(names_next);
                collect(before.unwrap_or(field), item, answered, names);
            }
        }
        Value::String(text) => {
            for found in found_in(field, text) {
                if !answered.contains(found) {
                    names.note(found, field);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Finds what has the form of a secret, wherever it stands.
fn by_form(value: &Value, answered: &str, names: &mut Names) {
    match value {
        Value::Object(fields) => fields.values().for_each(|value| by_form(value, answered, names)),
        Value::Array(items) => items.iter().for_each(|item| by_form(item, answered, names)),
        other => collect("", other, answered, names),
    }
}

/// The secrets in a text.
fn found_in<'t>(field: &str, text: &'t str) -> Vec<&'t str> {
    // The shortest that is looked for stands in a field that is named like a secret.
    if text.len() < NAMED_CHARS_MIN || text.contains(OPENING) || text.len() > crate::limits::SECRET_BYTES_MAX {
        return Vec::new();
    }
    if is_named(field) {
        let bare = [BEARER, "bearer ", "Basic ", "token "].into_iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text).trim();
        // A word that anyone may write is no secret, and would be taken out of every text.
        let odd = bare.chars().any(|c| c.is_ascii_digit()) || bare.chars().count() >= LONG_CHARS_MIN;
        let telling = bare.chars().count() >= NAMED_CHARS_MIN && !bare.contains(char::is_whitespace) && !bare.contains('/') && odd;
        if telling {
            return vec![bare];
        }
    }
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let words = text.split(|c: char| !token(c));
    let is_token = |word: &&str| {
        word.len() >= TOKEN_CHARS_MIN && FORMS.iter().any(|form| word.starts_with(form)) && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    let mut found: Vec<&str> = words.filter(is_token).collect();
    if let Some((_, after)) = text.split_once(BEARER) {
        found.extend(after.split(|c: char| !token(c)).next().filter(|word| word.len() >= TOKEN_CHARS_MIN));
    }
    found
}

/// True for the name of a field that holds a secret: one of its words, however they are joined.
fn is_named(field: &str) -> bool {
    // Asked of every field of every run: what is shorter than the shortest of the words is not looked at.
    if NAMED.iter().all(|name| field.len() < name.len()) {
        return false;
    }
    let (mut snake, mut before) = (String::with_capacity(field.len() + 4), ' ');
    for c in field.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            snake.push('_');
        }
        before = c;
        match c {
            '-' | ' ' | '.' => snake.push('_'),
            _ => snake.extend(c.to_lowercase()),
        }
    }
    let first = |name: &str| snake.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let last = |name: &str| snake.strip_suffix(name).is_some_and(|rest| rest.ends_with('_'));
    !["max_tokens", "token_count", "tokens"].contains(&snake.as_str()) && NAMED.iter().any(|name| first(name) || last(name))
}

/// The field's name as one that a secret can have.
fn name_of(field: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let field = field.trim_matches(['_', '-']);
    let name: String = field.chars().take(SecretName::CHARS_MAX / 2).map(fits).collect();
    if name.is_empty() { "secret".to_owned() } else { name }
}

/// `value` with placeholders in the place of these secrets.
pub(super) fn cleaned_of(value: Value, names: &BTreeMap<String, String>) -> Value {
    if names.is_empty() { value } else { cleaned(value, &longest_first(names)) }
}

/// One may stand in another.
fn longest_first(names: &BTreeMap<String, String>) -> Vec<(&String, &String)> {
    let mut secrets: Vec<(&String, &String)> = names.iter().collect();
    secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    secrets
}

fn cleaned(value: Value, secrets: &[(&String, &String)]) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(&text, secrets)),
        Value::Array(items) => items.into_iter().map(|item| cleaned(item, secrets)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (replaced(&key, secrets), cleaned(value, secrets))).collect())
        }
        other => other,
    }
}

fn replaced(text: &str, secrets: &[(&String, &String)]) -> String {
    secrets.iter().fold(text.to_owned(), |text, (value, name)| {
        if text.contains(value.as_str()) { text.replace(value.as_str(), &format!("{{{{secret:{name}}}}}")) } else { text }
    })
}

#[cfg(test)]
mod tests;
