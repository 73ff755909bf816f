//! Secrets that stand in a recording are taken out of it before anything is made of it.
//!
//! A secret is known by where it stands (a field called `token`, `password`, `api_key`) or by its form (what providers begin
//! their tokens with). In its place stands `{{secret:NAME}}`, named after its field: so the playbook names the secret that a
//! job needs, and an operator sets it. What an earlier step of the run answered is no secret of the recording, but flows on
//! from that step. Run and answer are changed alike, so that the proof holds the playbook to the same texts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::plan::{Node, Plan};
use super::template::{Part, Template};
use super::trace::Trace;
use crate::checks::Spec;
use crate::ids::SecretName;

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
/// A token is no shorter; what is shorter is a word.
const TOKEN_CHARS_MIN: usize = 16;
/// A value in a field that is named like a secret is no shorter.
const NAMED_CHARS_MIN: usize = 8;
/// One without a digit is no shorter.
const LONG_CHARS_MIN: usize = 20;

/// Takes secrets out of `trace`, and says by which names they are needed.
pub(super) fn hide(trace: &mut Trace) -> BTreeSet<String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut answered = String::new();
    collect("", &trace.inputs, "", &mut names);
    for attempt in &trace.attempts {
        collect("", &attempt.bound.input, &answered, &mut names);
        answered.push_str(&attempt.output.to_string());
    }
    replace(trace, &names);
    names.into_values().collect()
}

/// What looks like a secret and stands in a plan as it is, with its name: an earlier step had answered it, and yet nothing takes it
/// from there.
pub(super) fn left_in(plan: &Plan) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for node in plan.nodes() {
        if let Node::Step(step) = node {
            in_template("", &step.input, &mut names);
        }
    }
    in_template("", &plan.output, &mut names);
    names
}

fn in_template(field: &str, template: &Template, names: &mut BTreeMap<String, String>) {
    match template {
        Template::Constant(json) => collect(field, &json.value(), "", names),
        Template::Text(parts) => parts.iter().for_each(|part| {
            if let Part::Literal(text) = part {
                collect("", &Value::from(text.as_str()), "", names);
            }
        }),
        Template::Object(fields) => fields.iter().for_each(|(name, below)| in_template(name, below, names)),
        Template::Array(items) => items.iter().for_each(|item| in_template(field, item, names)),
        Template::Value(_) | Template::Either { .. } | Template::Derived { .. } => {}
    }
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
    // The longest first: one may stand in another.
    let mut secrets: Vec<(&String, &String)> = names.iter().collect();
    secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    trace.goal = replaced(&trace.goal, &secrets);
    trace.inputs = cleaned(trace.inputs.take(), &secrets);
    if let Some(fields) = trace.inputs.as_object_mut() {
        // Nobody gives a secret to a job: its name stands where it is used.
        fields.retain(|_, value| value.as_str().is_none_or(|text| !is_placeholder(text)));
    }
    trace.output = trace.output.take().map(|output| cleaned(output, &secrets));
    for attempt in &mut trace.attempts {
        attempt.bound.input = cleaned(attempt.bound.input.take(), &secrets);
        attempt.output = cleaned(attempt.output.take(), &secrets);
        attempt.error = attempt.error.take().map(|error| replaced(&error, &secrets));
        for (_, spec) in &mut attempt.checks {
            if let Ok(clean) = Spec::parse(&cleaned(spec.to_json().value(), &secrets)) {
                *spec = clean;
            }
        }
    }
    trace.secrets.extend(names.values().cloned());
}

fn is_placeholder(text: &str) -> bool {
    text.starts_with("{{secret:") && text.ends_with("}}")
}

/// Finds secrets in `value`, which stands in the field `field`.
fn collect(field: &str, value: &Value, answered: &str, names: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(name, value, answered, names)),
        Value::Array(items) => items.iter().for_each(|item| collect(field, item, answered, names)),
        Value::String(text) => {
            for found in found_in(field, text) {
                if !answered.contains(found) {
                    names.entry(found.to_owned()).or_insert_with(|| name_of(field));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The secrets in a text.
fn found_in<'t>(field: &str, text: &'t str) -> Vec<&'t str> {
    if text.contains("{{secret:") || text.len() > crate::limits::SECRET_BYTES_MAX {
        return Vec::new();
    }
    if is_named(field) {
        let bare =
            ["Bearer ", "bearer ", "Basic ", "token "].into_iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text).trim();
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
        let digits = word.chars().any(|c| c.is_ascii_digit());
        word.len() >= TOKEN_CHARS_MIN && digits && FORMS.iter().any(|form| word.starts_with(form))
    };
    let mut found: Vec<&str> = words.filter(is_token).collect();
    if let Some((_, after)) = text.split_once("Bearer ") {
        found.extend(after.split(|c: char| !token(c)).next().filter(|word| word.len() >= TOKEN_CHARS_MIN));
    }
    found
}

/// True for the name of a field that holds a secret: one of its words, however they are joined.
fn is_named(field: &str) -> bool {
    let mut snake = String::new();
    for c in field.chars() {
        if c.is_uppercase() && snake.ends_with(|c: char| c.is_lowercase()) {
            snake.push('_');
        }
        snake.extend(if c == '-' || c == ' ' || c == '.' { vec!['_'] } else { c.to_lowercase().collect() });
    }
    let counts = ["max_tokens", "token_count", "tokens"].contains(&snake.as_str());
    !counts && NAMED.iter().any(|name| snake == *name || snake.ends_with(&format!("_{name}")) || snake.starts_with(&format!("{name}_")))
}

/// The field's name as one that a secret can have.
fn name_of(field: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = field.chars().take(SecretName::CHARS_MAX / 2).map(fits).collect();
    if name.trim_matches(['_', '-']).is_empty() { "secret".to_owned() } else { name }
}

fn cleaned(value: Value, secrets: &[(&String, &String)]) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(&text, secrets)),
        Value::Array(items) => items.into_iter().map(|item| cleaned(item, secrets)).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, cleaned(value, secrets))).collect()),
        other => other,
    }
}

fn replaced(text: &str, secrets: &[(&String, &String)]) -> String {
    secrets.iter().fold(text.to_owned(), |text, (value, name)| {
        if text.contains(value.as_str()) { text.replace(value.as_str(), &format!("{{{{secret:{name}}}}}")) } else { text }
    })
}
