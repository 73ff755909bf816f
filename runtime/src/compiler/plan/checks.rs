//! What a step is held to: conditions before its call, and of its answer.
//!
//! A check's fields are templates like a step's input, made from what is known before the step, so that a path or a text that
//! differs from job to job can stand in it. What is asked is [`Spec`]; how it is judged is not known here.

use serde::{Deserialize, Serialize};

use crate::checks::{At, Origin, Spec};
use crate::compiler::template::Template;
use crate::json::Json;

/// One thing that a step is held to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Before the call, or of its answer.
    pub at: At,
    /// What is asked: an object as [`Spec`] reads it, whose `kind` is a constant.
    pub is: Template,
    /// Where it comes from.
    pub origin: Origin,
    /// The evidence for it, in a sentence; empty where there is none beside the origin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Check {
    /// One that is the same in every job.
    #[must_use]
    pub fn of(at: At, spec: &Spec, origin: Origin, reason: impl Into<String>) -> Check {
        Check { at, is: Template::Constant(spec.to_json()), origin, reason: reason.into() }
    }

    /// The name of what is asked; none where it is none.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        match &self.is {
            Template::Constant(json) => json.value().get("kind").and_then(|kind| kind.as_str().map(str::to_owned)),
            Template::Object(fields) => match fields.get("kind")? {
                Template::Constant(kind) => kind.value().as_str().map(str::to_owned),
                _ => None,
            },
            _ => None,
        }
    }

    /// What is asked, where nothing in it depends on the job.
    #[must_use]
    pub fn spec(&self) -> Option<Spec> {
        self.constant().and_then(|json| Spec::parse(&json.value()).ok())
    }

    fn constant(&self) -> Option<Json> {
        match self.is.clone().simplified() {
            Template::Constant(json) => Some(json),
            _ => None,
        }
    }

    /// What is wrong with it; none where it can be judged.
    pub(in crate::compiler) fn fault(&self) -> Option<String> {
        if let Some(json) = self.constant() {
            return match Spec::parse(&json.value()) {
                Err(e) => Some(e.message),
                Ok(spec) if self.at == At::Before && spec.is_of_answer() => {
                    Some(format!("{}: there is no answer before the call; say \"at\": \"after\"", spec.kind()))
                }
                Ok(_) => None,
            };
        }
        let Some(kind) = self.kind() else { return Some("a check is an object whose \"kind\" is a constant".to_owned()) };
        let Some(wanted) = Spec::fields_of(&kind) else {
            return Some(format!("there is no check of the kind {kind:?}; there are {}", Spec::KINDS.join(", ")));
        };
        let Template::Object(fields) = &self.is else { return Some("a check is an object".to_owned()) };
        let found: Vec<&str> = fields.keys().map(String::as_str).filter(|key| *key != "kind").collect();
        (found != wanted).then(|| format!("{kind} has the fields {wanted:?}; this one has {found:?}"))
    }
}
