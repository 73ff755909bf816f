//! `[lifecycle]`: what a playbook version has to show before it is trusted further, and what takes that trust away.
//!
//! The policy is data. Its knobs stand in one table, from which the configuration file, the API and the documents are read; what
//! follows from it is decided in `lifecycle`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Spanned;
use utoipa::ToSchema;

use super::source::Source;
use crate::error::{Issue, Result};
use crate::limits;

/// When versions rise and fall by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Whether evidence alone promotes. Where it is false, evidence still demotes, and only people promote.
    pub auto_promote: bool,
    /// Whether evidence alone demotes. Where it is false, only people take a status away.
    pub auto_demote: bool,
    /// What makes a draft a shadow.
    pub shadow: ShadowRule,
    /// What makes a shadow active.
    pub active: ActiveRule,
    /// What takes a status away.
    pub demote: DemoteRule,
    /// The share of jobs started without a version that goes to a shadow beside an active version, 0 to 1. Only to one that asks
    /// for no more and calls no tool whose call happens again when it is repeated.
    pub canary_share: f64,
    /// Whether whoever repaired a version may not be the one who approves it, where both are known.
    pub separate_reviewer: bool,
    /// Whether anybody may approve a repair as a shadow. Where it is false, an approval without the operator's token makes a draft.
    pub open_review: bool,
}

/// What makes a draft a shadow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShadowRule {
    /// It was proved against a recording.
    pub proved: bool,
    /// Recorded runs that it reproduces without touching anything.
    pub recordings: u64,
}

/// What makes a shadow active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActiveRule {
    /// Jobs that succeeded.
    pub successes: u64,
    /// Different inputs among them.
    pub distinct_inputs: u64,
    /// The least that its true share of successes is with 97.5 % certainty (Wilson's lower bound), 0 to 1.
    pub wilson_floor: f64,
    /// Seconds that it has been a shadow.
    pub min_age_s: u64,
}

/// What takes a status away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DemoteRule {
    /// Wilson's lower bound below this, 0 to 1.
    pub floor: f64,
    /// Over so many of the latest jobs.
    pub window: u64,
    /// With at least so many failures among them.
    pub min_failures: u64,
}

impl Default for Policy {
    /// Careful: three recordings, then five successes with three inputs and none in six failed (5 of 5 give 0.57, 5 of 6 give
    /// 0.44), over at least ten minutes; and gone after three failures at the start or four among the latest ten.
    fn default() -> Self {
        Policy {
            auto_promote: true,
            auto_demote: true,
            shadow: ShadowRule { proved: true, recordings: 3 },
            active: ActiveRule { successes: 5, distinct_inputs: 3, wilson_floor: 0.5, min_age_s: 600 },
            demote: DemoteRule { floor: 0.35, window: 10, min_failures: 3 },
            canary_share: 0.1,
            separate_reviewer: true,
            open_review: false,
        }
    }
}

/// What a knob takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Flag,
    /// A whole number from 0 to this.
    Count(u64),
    /// A number from 0 to 1.
    Share,
}

const KNOBS: &[(&str, &str, Takes)] = &[
    ("", "auto_promote", Takes::Flag),
    ("", "auto_demote", Takes::Flag),
    ("shadow", "proved", Takes::Flag),
    ("shadow", "recordings", Takes::Count(limits::EVIDENCE_LOOK_BACK as u64)),
    ("active", "successes", Takes::Count(limits::EVIDENCE_LOOK_BACK as u64)),
    ("active", "distinct_inputs", Takes::Count(limits::EVIDENCE_LOOK_BACK as u64)),
    ("active", "wilson_floor", Takes::Share),
    ("active", "min_age_s", Takes::Count(limits::POLICY_AGE_S_MAX)),
    ("demote", "floor", Takes::Share),
    ("demote", "window", Takes::Count(limits::EVIDENCE_LOOK_BACK as u64)),
    ("demote", "min_failures", Takes::Count(limits::EVIDENCE_LOOK_BACK as u64)),
    ("", "canary_share", Takes::Share),
    ("", "separate_reviewer", Takes::Flag),
    ("", "open_review", Takes::Flag),
];

impl Takes {
    fn fits(self, value: &Value) -> bool {
        match self {
            Takes::Flag => value.is_boolean(),
            Takes::Count(most) => value.as_u64().is_some_and(|n| n <= most),
            Takes::Share => value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
        }
    }

    fn words(self) -> String {
        match self {
            Takes::Flag => "true or false".to_owned(),
            Takes::Count(most) => format!("a whole number from 0 to {most}"),
            Takes::Share => "a number from 0 to 1".to_owned(),
        }
    }
}

/// Some of a policy's knobs, set: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyChange(Map<String, Value>);

impl PolicyChange {
    /// The object of this form, every knob of it checked.
    ///
    /// # Errors
    /// Each place that is no knob, or is not what the knob takes.
    pub fn read(value: &Value) -> Result<PolicyChange, Vec<Issue>> {
        let Some(object) = value.as_object() else {
            return Err(vec![Issue { path: String::new(), message: "is not an object".to_owned() }]);
        };
        let mut issues = Vec::new();
        for (name, value) in object {
            match value.as_object().filter(|_| KNOBS.iter().any(|(group, ..)| group == name)) {
                Some(group) => group.iter().for_each(|(knob, value)| check(name, knob, value, &mut issues)),
                None => check("", name, value, &mut issues),
            }
        }
        if issues.is_empty() { Ok(PolicyChange(object.clone())) } else { Err(issues) }
    }

    /// As it was given.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// True where it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(group: &str, knob: &str, value: &Value, issues: &mut Vec<Issue>) {
    let path = if group.is_empty() { format!("/{knob}") } else { format!("/{group}/{knob}") };
    match KNOBS.iter().find(|(of, name, _)| (*of, *name) == (group, knob)) {
        Some((_, _, takes)) if takes.fits(value) => {}
        Some((_, _, takes)) => issues.push(Issue { path, message: format!("is not {}", takes.words()) }),
        None if group.is_empty() && KNOBS.iter().any(|(of, ..)| *of == knob) => {
            issues.push(Issue { path, message: "is not an object".to_owned() });
        }
        None => {
            let known: Vec<String> =
                KNOBS.iter().map(|(of, name, _)| if of.is_empty() { (*name).to_owned() } else { format!("{of}.{name}") }).collect();
            issues.push(Issue { path, message: format!("is no part of a policy; there are {}", known.join(", ")) });
        }
    }
}

impl Policy {
    /// Where its knobs, each of which has a value that it takes, come to something that nobody can want: a version that could fail at
    /// every job and keep its status.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        let DemoteRule { floor, window, min_failures } = self.demote;
        let never = "so that nothing is ever demoted";
        let off = "`auto_demote` false switches that off";
        let wrong = [
            (
                self.auto_demote && window == 0,
                "/demote/window",
                format!("is 0, {never}: say over how many of the latest jobs, at least 1; {off}"),
            ),
            (
                self.auto_demote && min_failures == 0,
                "/demote/min_failures",
                format!("is 0, and what has no failure is never demoted: say how many it takes, at least 1; {off}"),
            ),
            (
                self.auto_demote && window > 0 && min_failures > window,
                "/demote/min_failures",
                format!("is {min_failures}, more than the {window} jobs of `demote.window`, {never}: at most {window}; {off}"),
            ),
            (
                self.auto_demote && floor <= 0.0,
                "/demote/floor",
                format!("is 0, below which no share of successes is, {never}: say a share above 0; {off}"),
            ),
        ];
        let issue = |(_, path, message): (bool, &str, String)| Issue { path: path.to_owned(), message };
        wrong.into_iter().filter(|(is_so, ..)| *is_so).map(issue).collect()
    }

    /// The same, where it was put together of parts that were settled apart and do not go together any more: it demotes at the most
    /// failures that its window can hold, and where it could never demote though it says that it does, as `base` does.
    #[must_use]
    pub fn tempered(mut self, base: &Policy) -> Policy {
        if self.demote.window > 0 {
            self.demote.min_failures = self.demote.min_failures.min(self.demote.window);
        }
        if self.issues().is_empty() {
            return self;
        }
        // What is configured may have demotion switched off, with numbers that make no sense where it is on.
        let with = |demote: &DemoteRule| Policy { demote: demote.clone(), ..self.clone() };
        let as_base = with(&base.demote);
        if as_base.issues().is_empty() { as_base } else { with(&Policy::default().demote) }
    }

    /// The same with these knobs set.
    #[must_use]
    pub fn with(&self, change: &PolicyChange) -> Policy {
        let mut policy = serde_json::to_value(self).expect("numbers and flags print");
        for (name, value) in &change.0 {
            match (&mut policy[name], value) {
                (Value::Object(group), Value::Object(set)) => group.extend(set.clone()),
                (knob, value) => *knob = value.clone(),
            }
        }
        serde_json::from_value(policy).expect("every knob was checked when the change was read")
    }
}

/// What an operator settled for the whole server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LifecycleSettings {
    /// What holds where nothing else is said.
    pub policy: Policy,
    /// Whether anybody may change a version's status, as with Aionis, and not operators alone.
    pub open_promotion: bool,
}

#[derive(Deserialize)]
pub(super) struct Table {
    #[serde(default)]
    open_promotion: bool,
    #[serde(flatten)]
    knobs: BTreeMap<String, toml::Value>,
}

pub(super) fn read(table: Option<&Spanned<Table>>, source: &Source) -> Result<LifecycleSettings> {
    let Some(table) = table else { return Ok(LifecycleSettings::default()) };
    let knobs = serde_json::to_value(&table.get_ref().knobs).map_err(|e| source.wrong(table.span(), format!("[lifecycle]: {e}")))?;
    let wrong = |issues: Vec<Issue>| {
        let words: Vec<String> =
            issues.iter().map(|issue| format!("{} {}", issue.path.trim_start_matches('/').replace('/', "."), issue.message)).collect();
        source.wrong(table.span(), format!("[lifecycle]: {}", words.join("; ")))
    };
    let policy = Policy::default().with(&PolicyChange::read(&knobs).map_err(wrong)?);
    let issues = policy.issues();
    if !issues.is_empty() {
        return Err(wrong(issues));
    }
    Ok(LifecycleSettings { policy, open_promotion: table.get_ref().open_promotion })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_knob_of_a_policy_is_in_the_table_and_is_set_by_its_name() {
        let policy = serde_json::to_value(Policy::default()).unwrap();
        let named = policy.as_object().unwrap().iter().flat_map(|(name, value)| match value {
            Value::Object(group) => group.keys().map(|knob| (name.clone(), knob.clone())).collect(),
            _ => vec![(String::new(), name.clone())],
        });
        let mut named: Vec<(String, String)> = named.collect();
        let mut table: Vec<(String, String)> = KNOBS.iter().map(|(of, name, _)| ((*of).to_owned(), (*name).to_owned())).collect();
        named.sort();
        table.sort();
        assert_eq!(named, table);
        let change = json!({"auto_promote": false, "active": {"successes": 1, "wilson_floor": 0}, "canary_share": 1});
        let changed = Policy::default().with(&PolicyChange::read(&change).unwrap());
        let expected = Policy {
            auto_promote: false,
            active: ActiveRule { successes: 1, wilson_floor: 0.0, ..Policy::default().active },
            canary_share: 1.0,
            ..Policy::default()
        };
        assert_eq!(changed, expected);
    }

    #[test]
    fn what_is_no_knob_or_does_not_fit_one_is_named() {
        for (change, path, message) in [
            (json!(7), "", "is not an object"),
            (json!({"auto_promot": true}), "/auto_promot", "is no part of a policy; there are auto_promote, auto_demote, shadow.proved"),
            (json!({"shadow": {"proofs": 1}}), "/shadow/proofs", "is no part of a policy"),
            (json!({"shadow": true}), "/shadow", "is not an object"),
            (json!({"canary_share": 1.5}), "/canary_share", "is not a number from 0 to 1"),
            (json!({"demote": {"floor": -0.1}}), "/demote/floor", "is not a number from 0 to 1"),
            (json!({"active": {"successes": -1}}), "/active/successes", "is not a whole number from 0 to"),
            (json!({"active": {"successes": 1.5}}), "/active/successes", "is not a whole number"),
            (json!({"separate_reviewer": "yes"}), "/separate_reviewer", "is not true or false"),
        ] {
            let issues = PolicyChange::read(&change).unwrap_err();
            assert!(issues.len() == 1 && issues[0].path == path && issues[0].message.contains(message), "{change}: {issues:?}");
        }
    }

    #[test]
    fn a_policy_that_could_never_do_what_it_says_is_named_with_what_would() {
        let of = |change: serde_json::Value| Policy::default().with(&PolicyChange::read(&change).unwrap()).issues();
        for (change, path, message) in [
            (json!({"demote": {"window": 0}}), "/demote/window", "at least 1; `auto_demote` false switches that off"),
            (json!({"demote": {"min_failures": 0}}), "/demote/min_failures", "at least 1; `auto_demote` false"),
            (json!({"demote": {"min_failures": 11}}), "/demote/min_failures", "is 11, more than the 10 jobs of `demote.window`"),
            (json!({"demote": {"window": 2}}), "/demote/min_failures", "at most 2"),
            (json!({"demote": {"floor": 0}}), "/demote/floor", "say a share above 0; `auto_demote` false"),
        ] {
            let issues = of(change.clone());
            assert!(issues.len() == 1 && issues[0].path == path && issues[0].message.contains(message), "{change}: {issues:?}");
        }
        for change in [
            json!({}),
            json!({"auto_demote": false, "demote": {"window": 0, "min_failures": 9, "floor": 0}}),
            json!({"demote": {"window": 1, "min_failures": 1, "floor": 0.001}}),
            json!({"active": {"successes": 0, "distinct_inputs": 0}}),
            // Both are the least: three jobs with three inputs are two and more.
            json!({"active": {"successes": 2, "distinct_inputs": 3}}),
        ] {
            assert_eq!(of(change.clone()), Vec::new(), "{change}");
        }
    }

    #[test]
    fn parts_that_do_not_go_together_still_demote() {
        let own = Policy { demote: DemoteRule { floor: 0.2, window: 6, min_failures: 4 }, ..Policy::default() };
        let off = Policy { auto_demote: false, demote: DemoteRule { floor: 0.0, window: 0, min_failures: 0 }, ..Policy::default() };
        let of = |base: &Policy, demote: DemoteRule| Policy { demote, ..Policy::default() }.tempered(base).demote;
        let rule = |floor, window, min_failures| DemoteRule { floor, window, min_failures };
        assert_eq!(of(&own, rule(0.9, 2, 3)), rule(0.9, 2, 2), "so many failures as its window has jobs are enough");
        assert_eq!(of(&own, rule(0.9, 10, 3)), rule(0.9, 10, 3));
        for never in [rule(0.9, 0, 3), rule(0.0, 10, 3), rule(0.9, 10, 0)] {
            assert_eq!(of(&own, never.clone()), own.demote);
            assert_eq!(of(&off, never), Policy::default().demote, "what is configured could not demote either");
        }
        assert_eq!(off.clone().tempered(&own), off, "where it is switched off, nothing has to make sense");
    }
}
