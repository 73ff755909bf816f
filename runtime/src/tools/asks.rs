//! What a component asks for, read from its imports, and what another version asks for more.
//!
//! Its job: the set, its words for people, and the difference of two. It knows no grants: a component gets what it asks
//! for **and** what an operator granted. The rule that must stay true: whatever is not known to be the same is more.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::ToolId;
use crate::error::{Error, Result};

/// One thing that a component asks for. Kept in rows as its text: a word never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ask {
    /// Directories of the host.
    Files,
    /// Requests to web servers.
    Web,
    /// Variables.
    Environment,
    /// The time.
    Clock,
    /// Random numbers.
    Randomness,
    /// Spaces of keys and values.
    KeyValue,
    /// Values that an operator wrote down for it.
    Configuration,
    /// Jobs of other playbooks, which may do what their own imports say.
    Playbooks,
    /// Calls of this tool, which only a playbook makes.
    Tool(ToolId),
}

impl Ask {
    /// Everything but tools, with its text and its words.
    const PLAIN: [(Ask, &'static str, &'static str); 8] = [
        (Ask::Files, "files", "open files of granted directories"),
        (Ask::Web, "web", "send requests to granted web servers"),
        (Ask::Environment, "environment", "see granted variables"),
        (Ask::Clock, "clock", "know the time"),
        (Ask::Randomness, "randomness", "draw random numbers"),
        (Ask::KeyValue, "key-value", "read and write keys of granted spaces"),
        (Ask::Configuration, "configuration", "read granted configuration"),
        (Ask::Playbooks, "playbooks", "start other playbooks as jobs"),
    ];

    /// From its text: `files`, `tool:fs/read`.
    ///
    /// # Errors
    /// `invalid_request` where it is none.
    pub fn parse(text: &str) -> Result<Ask> {
        if let Some(id) = ToolId::from_import(text) {
            return Ok(Ask::Tool(id));
        }
        let plain = Ask::PLAIN.into_iter().find(|(_, name, _)| *name == text);
        plain.map(|(ask, _, _)| ask).ok_or_else(|| Error::invalid("asks", format!("{text:?} is nothing that a component asks for")))
    }

    /// For people. `tool` knows what a tool does: `read files` for `fs/read`.
    #[must_use]
    pub fn words(&self, tool: impl Fn(&ToolId) -> Option<String>) -> String {
        match self {
            Ask::Tool(id) => match tool(id) {
                Some(words) => format!("{words} ({id})"),
                None if id.is_external() => format!("have someone outside do its work ({id})"),
                None => format!("call {id}"),
            },
            plain => {
                let known = Ask::PLAIN.into_iter().find(|(ask, _, _)| ask == plain);
                known.map(|(_, _, words)| words).expect("everything but tools stands there").to_owned()
            }
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Tool(id) => f.write_str(&id.import_name()),
            plain => {
                let known = Ask::PLAIN.into_iter().find(|(ask, _, _)| ask == plain);
                f.write_str(known.map(|(_, name, _)| name).expect("everything but tools stands there"))
            }
        }
    }
}

impl TryFrom<String> for Ask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ask::parse(&text).map_err(|e| e.message)
    }
}

impl From<Ask> for String {
    fn from(ask: Ask) -> String {
        ask.to_string()
    }
}

/// All that a component asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asks(BTreeSet<Ask>);

impl Asks {
    /// Each of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Ask> {
        self.0.iter()
    }

    /// True where it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them for people, in their order.
    #[must_use]
    pub fn words(&self, tool: impl Fn(&ToolId) -> Option<String>) -> Vec<String> {
        self.0.iter().map(|ask| ask.words(&tool)).collect()
    }
}

impl FromIterator<Ask> for Asks {
    fn from_iter<I: IntoIterator<Item = Ask>>(asks: I) -> Self {
        Asks(asks.into_iter().collect())
    }
}

/// What a newer version asks for beside what an older one asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What the older one did not ask for.
    pub added: Asks,
    /// What it asked for and the newer one does not.
    pub removed: Asks,
}

impl Diff {
    /// From the one that runs to the one that would.
    #[must_use]
    pub fn between(old: &Asks, new: &Asks) -> Diff {
        Diff { added: new.0.difference(&old.0).cloned().collect(), removed: old.0.difference(&new.0).cloned().collect() }
    }

    /// True where the newer one asks for something that the older one did not: then an operator decides.
    #[must_use]
    pub fn asks_for_more(&self) -> bool {
        !self.added.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn words(&self, tool: impl Fn(&ToolId) -> Option<String>) -> PermissionDiff {
        PermissionDiff { added: self.added.words(&tool), removed: self.removed.words(&tool) }
    }
}

/// A [`Diff`] in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PermissionDiff {
    /// What this version may do that the active one may not.
    pub added: Vec<String>,
    /// What the active one may do that this version may not.
    pub removed: Vec<String>,
}

/// Whether a version is what runs where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// It is.
    Active,
    /// It was, or an older one was activated again.
    Inactive,
    /// It asks for more than the one that is active, and no operator has activated it.
    NeedsApproval,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(texts: &[&str]) -> Asks {
        texts.iter().map(|text| Ask::parse(text).unwrap()).collect()
    }

    #[test]
    fn each_ask_reads_back_from_its_text() {
        for (ask, text, _) in Ask::PLAIN {
            assert_eq!((Ask::parse(text).unwrap(), ask.to_string().as_str()), (ask, text));
        }
        let all = asks(&["tool:fs/read", "web", "files", "tool:agent/edit"]);
        let kept = serde_json::to_string(&all).unwrap();
        assert_eq!(kept, r#"["files","web","tool:agent/edit","tool:fs/read"]"#);
        assert_eq!(serde_json::from_str::<Asks>(&kept).unwrap(), all);
        for odd in ["", "file", "tool:fs", "fs/read"] {
            assert!(Ask::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_was_not_asked_for_before_is_more_and_what_is_gone_is_less() {
        let known = |id: &ToolId| (id.namespace() == "fs").then(|| format!("{} files", id.name()));
        for (old, new, added, removed) in [
            (&["files"][..], &["files"][..], &[][..], &[][..]),
            (&["files", "web"], &["files"], &[], &["send requests to granted web servers"]),
            (&["files"], &["clock"], &["know the time"], &["open files of granted directories"]),
            (&[], &["tool:fs/read", "tool:agent/edit"], &["have someone outside do its work (agent/edit)", "read files (fs/read)"], &[]),
            (&["tool:fs/read"], &["tool:search/find"], &["call search/find"], &["read files (fs/read)"]),
        ] {
            let diff = Diff::between(&asks(old), &asks(new));
            let words = diff.words(known);
            assert_eq!(
                (words.added, words.removed),
                (added.iter().map(ToString::to_string).collect(), removed.iter().map(ToString::to_string).collect())
            );
            assert_eq!(diff.asks_for_more(), !added.is_empty());
        }
    }
}
