//! The narrowest grants that cover what a playbook's calls reach, ready for an operator to approve.
//!
//! Its job: from the inputs of calls to grants. Of each input it takes what the plan fixes for every job, and what was recorded
//! where the plan fixes nothing. It grants nothing, and does not know who may. What must stay true: a proposal covers each call
//! that it was made of, and no more than what these have in common.

mod files;
mod programs;
mod secrets;
mod spaces;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Engine;
use crate::blocking;
use crate::compiler::{self, Options, Reached};
use crate::error::Result;
use crate::ids::{RunId, Space};
use crate::tools::grants::{Grant, GrantName, To};

/// A grant that would cover some calls, and how it stands beside what is granted.
#[derive(Debug, Clone)]
pub struct GrantProposal {
    /// What it is called.
    pub name: String,
    /// Of which kind it is.
    pub kind: &'static str,
    /// What it lets in.
    pub words: String,
    /// How it stands beside what is granted under this name.
    pub standing: ProposalStanding,
    /// The steps that it covers.
    pub steps: Vec<String>,
    /// What only an operator knows, where something is missing.
    pub missing: Option<String>,
    /// Its parts, as far as they are known.
    parts: Map<String, Value>,
    /// True where a part says where something lies on this host, and the caller did not say so.
    of_the_host: bool,
}

/// How a proposal stands beside what is granted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProposalStanding {
    /// Nothing is granted under this name.
    New,
    /// It is narrower than what is.
    Narrows,
    /// It is what is granted.
    Same,
    /// What is granted does not cover it.
    Changes,
}

/// A proposal, as every face shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GrantProposalView {
    /// What it is called.
    pub name: String,
    /// `fs`, `http`, `kv`, `exec` or `secret`.
    pub kind: &'static str,
    /// What it lets in.
    pub words: String,
    /// How it stands beside what is granted under this name.
    pub standing: ProposalStanding,
    /// In words: `narrows the grant "project"`.
    pub note: String,
    /// The steps that it covers.
    pub steps: Vec<String>,
    /// What an operator still has to say, where something is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The body of `PUT /v1/grants/{name}`; absent where a part of it is missing, or not for whoever asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub grant: Option<Value>,
    /// The same for `reprise.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toml: Option<String>,
}

impl GrantProposal {
    /// `all` is for operators alone: where directories lie on this host.
    #[must_use]
    pub fn view(&self, all: bool) -> GrantProposalView {
        let shown = self.missing.is_none() && (all || !self.of_the_host);
        let body = || {
            let mut body = self.parts.clone();
            body.remove("name");
            Value::Object(body)
        };
        GrantProposalView {
            name: self.name.clone(),
            kind: self.kind,
            words: self.words.clone(),
            standing: self.standing,
            note: match self.standing {
                ProposalStanding::New => format!("nothing is granted as {:?}", self.name),
                ProposalStanding::Narrows => format!("narrows the grant {:?}", self.name),
                ProposalStanding::Same => format!("is the grant {:?}", self.name),
                ProposalStanding::Changes => format!("the grant {:?} does not cover it", self.name),
            },
            steps: self.steps.clone(),
            missing: self.missing.clone(),
            grant: shown.then(body),
            toml: (self.missing.is_some() || shown).then(|| self.toml()),
        }
    }

    /// As it would be granted; none where a part is missing.
    #[must_use]
    pub fn grant(&self) -> Option<Grant> {
        self.missing.is_none().then(|| serde_json::from_value(Value::Object(self.parts.clone())).ok())?
    }

    /// As it stands in `reprise.toml`.
    fn toml(&self) -> String {
        let text = toml::to_string(&json!({ "grant": [self.parts] })).expect("text, lists and flags have a form in TOML");
        match &self.missing {
            Some(missing) => format!("{}\n# {missing}\n", text.trim_end()),
            None => text,
        }
    }
}

/// What proposals are made against.
pub(super) struct Known {
    /// What is granted to the built-in tools of all jobs.
    granted: Vec<Grant>,
    /// The directory on this host that jobs see under a grant's name, where the caller said so.
    homes: BTreeMap<String, PathBuf>,
}

impl Known {
    /// Nothing is granted, and nothing is known of this host.
    pub(super) fn nothing() -> Known {
        Known { granted: Vec::new(), homes: BTreeMap::new() }
    }

    fn of(granted: Vec<Grant>, homes: BTreeMap<String, PathBuf>) -> Known {
        Known { granted: granted.into_iter().filter(|grant| grant.to().is_none_or(To::is_builtin)).collect(), homes }
    }

    fn named(&self, name: &str) -> Option<&Grant> {
        self.granted.iter().find(|grant| grant.name().as_str() == name)
    }

    /// How a grant of this name stands; `covers` says whether what is granted covers it.
    fn standing(&self, grant: &Grant, covers: impl Fn(&Grant) -> bool) -> ProposalStanding {
        match self.named(grant.name().as_str()) {
            None => ProposalStanding::New,
            Some(same) if same == grant => ProposalStanding::Same,
            Some(other) if covers(other) => ProposalStanding::Narrows,
            Some(_) => ProposalStanding::Changes,
        }
    }
}

/// What a text in a call's input is known to be.
#[derive(Debug, Clone, PartialEq)]
struct Text {
    text: String,
    /// False where it is only the beginning, and the rest depends on the job.
    whole: bool,
}

/// What is known of a text, the more general first: what the plan fixes for every job, then what was recorded.
fn texts(call: &Reached, field: &str) -> Vec<Text> {
    let template = call.input.field(field);
    let whole = template.as_ref().is_some_and(compiler::template::Template::is_constant);
    let fixed = template.and_then(compiler::template::Template::leading_text).map(|text| Text { text, whole });
    let recorded = call.recorded.as_ref().and_then(|input| input[field].as_str());
    fixed.into_iter().chain(recorded.map(|text| Text { text: text.to_owned(), whole: true })).collect()
}

/// What all of them begin with.
fn common(parts: &[String], other: &[String]) -> Vec<String> {
    parts.iter().zip(other).take_while(|(one, another)| one == another).map(|(one, _)| one.clone()).collect()
}

/// A grant of these parts, with nothing missing.
fn proposal(grant: &Grant, standing: ProposalStanding, steps: Vec<String>) -> GrantProposal {
    let parts = json!(grant).as_object().cloned().unwrap_or_default();
    GrantProposal {
        name: grant.name().to_string(),
        kind: grant.kind(),
        words: grant.inside_words(),
        standing,
        steps,
        missing: None,
        parts,
        of_the_host: false,
    }
}

/// A name that no other proposal has.
fn free_name(wanted: &str, taken: &BTreeSet<String>) -> Option<GrantName> {
    let numbered = (2..=taken.len() + 2).map(|n| format!("{wanted}-{n}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken.contains(name)).and_then(|name| GrantName::parse(&name).ok())
}

/// The narrowest grants that cover these calls: files, web servers, spaces, programs, secrets, each by name. Blocks.
pub(super) fn propose(calls: &[Reached], known: &Known) -> Vec<GrantProposal> {
    let mut proposals = files::propose(calls, known);
    proposals.extend(web::propose(calls, known));
    proposals.extend(spaces::propose(calls, known));
    proposals.extend(programs::propose(calls, known));
    let secrets = secrets::propose(calls, known, &proposals);
    proposals.extend(secrets);
    proposals
}

impl Engine {
    /// The narrowest grants that cover these calls. `homes` says which directory of this host jobs see under a grant's name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn proposals(&self, calls: Vec<Reached>, homes: BTreeMap<String, PathBuf>) -> Result<Vec<GrantProposal>> {
        let granted = self.granted()?;
        blocking::run(move || Ok(propose(&calls, &Known::of(granted, homes)))).await
    }

    /// The narrowest grants that cover what a recorded run did, as far as it would become a playbook.
    ///
    /// # Errors
    /// `replay_run_not_found`, and what compiling it would say, but for the proof.
    pub async fn propose_for_run(
        &self,
        space: &Space,
        run: &RunId,
        options: Options,
        homes: BTreeMap<String, PathBuf>,
    ) -> Result<Vec<GrantProposal>> {
        let (runs, tools, space, run) = (self.sources.clone(), self.tools.clone(), space.clone(), run.clone());
        let homes = homes_of(&options, homes);
        let calls = blocking::run(move || compiler::reached(&tools, &runs.get(&space, &run)?, &options)).await?;
        self.proposals(calls, homes).await
    }
}

/// A recorded directory that stands for a grant is where it was recorded, unless it is said to be elsewhere.
pub(super) fn homes_of(options: &Options, homes: BTreeMap<String, PathBuf>) -> BTreeMap<String, PathBuf> {
    let roots = options.roots.iter().map(|(directory, grant)| (grant.clone(), PathBuf::from(directory)));
    roots.filter(|(_, directory)| directory.is_dir()).chain(homes).collect()
}

#[cfg(test)]
mod tests;
