//! The words of playbooks in memory, space by space: built when they are first asked for, kept up with what is written, bounded.
//!
//! What must stay true: what is in the index is what the store said when it was last looked at, and everything written since is still
//! on the list of what changed. So the list is only taken while nobody else looks, and where the store fails in between all is
//! forgotten: it is built anew by whoever asks next.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::Matching;
use crate::engine::Engine;
use crate::error::{Code, Result};
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::matching::{Entry, Index, words};
use crate::lifecycle::{Origin, Status, Summary, Version};
use crate::limits;

/// The indexes of the spaces that were asked for lately.
#[derive(Default)]
pub(super) struct Held {
    spaces: HashMap<Space, Words>,
    asked: u64,
}

/// The index of one space.
struct Words {
    index: Index,
    /// True where there are more playbooks than are held.
    incomplete: bool,
    /// When it was asked for, in askings.
    asked: u64,
}

/// Playbooks by how well their words fit, best first.
pub(super) struct Found {
    pub playbooks: Vec<(PlaybookId, f64)>,
    /// True where there are more playbooks than are held.
    pub incomplete: bool,
}

impl Matching {
    /// How many spaces are held.
    #[cfg(test)]
    pub(super) fn spaces(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).spaces.len()
    }
}

impl Engine {
    /// The best of a space's playbooks for these words with their weights, of those that `wanted` takes.
    pub(super) fn found_by_words(
        &self,
        space: &Space,
        asked: &[(String, f64)],
        wanted: impl Fn(&Entry) -> bool,
        limit: usize,
    ) -> Result<Found> {
        // Whoever panicked while changing it may have left half of it.
        let mut held = self.matching.held.lock().unwrap_or_else(|poisoned| {
            let mut held = PoisonError::into_inner(poisoned);
            held.spaces.clear();
            self.matching.held.clear_poison();
            held
        });
        if let Err(e) = self.keep_up(&mut held, space) {
            held.spaces.clear();
            return Err(e);
        }
        let Some(words) = held.spaces.get(space) else { return Ok(Found { playbooks: Vec::new(), incomplete: false }) };
        let best = words.index.search(asked, wanted, limit).into_iter();
        let playbooks = best.map(|(entry, score)| (entry.playbook_id.clone(), score)).collect();
        Ok(Found { playbooks, incomplete: words.incomplete })
    }

    fn keep_up(&self, held: &mut Held, space: &Space) -> Result<()> {
        match self.playbooks.changed() {
            Some(changed) => {
                for (of, id) in changed {
                    let Some(words) = held.spaces.get_mut(&of) else { continue };
                    words.index.remove(&id);
                    match self.playbooks.summary(&of, &id) {
                        Ok(summary) => self.put(&of, &summary, words)?,
                        Err(e) if e.code == Code::ReplayPlaybookNotFound => {}
                        Err(e) => return Err(e),
                    }
                }
            }
            // More was written than anybody noted.
            None => held.spaces.clear(),
        }
        held.asked += 1;
        let asked = held.asked;
        if let Some(words) = held.spaces.get_mut(space) {
            words.asked = asked;
            return Ok(());
        }
        // Anybody may name a space: one in which there is nothing takes nobody's place.
        let Some(words) = self.words_of(space, asked)? else { return Ok(()) };
        while held.spaces.len() >= limits::MATCH_SPACES_MAX {
            let Some(oldest) = held.spaces.iter().min_by_key(|(_, words)| words.asked).map(|(space, _)| space.clone()) else { break };
            held.spaces.remove(&oldest);
        }
        held.spaces.insert(space.clone(), words);
        Ok(())
    }

    /// None where the space has no playbook at all.
    fn words_of(&self, space: &Space, asked: u64) -> Result<Option<Words>> {
        let mut words = Words { index: Index::default(), incomplete: false, asked };
        let (mut after, mut looked) = (None, 0);
        loop {
            let page = self.playbooks.list(space, after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let Some(last) = page.last() else { return Ok((looked > 0).then_some(words)) };
            after = Some(last.playbook_id.clone());
            looked += page.len();
            for summary in &page {
                self.put(space, summary, &mut words)?;
            }
            if looked >= limits::MATCH_ROWS_MAX {
                words.incomplete = true;
                return Ok(Some(words));
            }
        }
    }

    /// Puts a playbook in the index where it may be proposed: it is active, or has a shadow. One that does not read back must not
    /// keep the others from being found.
    fn put(&self, space: &Space, summary: &Summary, words: &mut Words) -> Result<()> {
        let has_shadow = summary.shadow_version.is_some();
        if summary.active_status == Status::Disabled || (summary.active_status != Status::Active && !has_shadow) {
            return Ok(());
        }
        if words.index.len() >= limits::MATCH_PLAYBOOKS_MAX {
            words.incomplete = true;
            return Ok(());
        }
        match self.playbook(space, &summary.playbook_id, Some(summary.active_version)).and_then(|runs| self.text_of(space, &runs)) {
            Ok(text) => {
                let entry = Entry { playbook_id: summary.playbook_id.clone(), status: summary.active_status, has_shadow };
                words.index.put(entry, &text);
                Ok(())
            }
            Err(e) if e.code == Code::StoreUnavailable => Err(e),
            Err(e) => {
                tracing::error!(playbook = %summary.playbook_id, "it cannot be found by its words: {e}");
                Ok(())
            }
        }
    }

    /// What is indexed of a playbook: its id, name and goal, the tools that it calls and the names of what it takes, in this order as
    /// far as there is room.
    pub(super) fn text_of(&self, space: &Space, version: &Version) -> Result<Vec<String>> {
        let mut text = words(version.playbook_id.as_str());
        text.extend(words(&version.name));
        let compiled = match &version.origin {
            Origin::Compiled(compilation) => Some(compilation),
            Origin::Uploaded | Origin::Graph { .. } => None,
        };
        if let Some(compilation) = compiled {
            // A recording may be gone, and the playbook is not.
            text.extend(words(&self.runs.goal_of(space, &compilation.run_id)?.unwrap_or_default()));
        }
        for ask in version.asks.iter().flat_map(|asks| asks.iter()) {
            text.extend(words(&ask.to_string()));
        }
        if let Some(compilation) = compiled {
            let variables = compilation.summary.value()["parameterization"]["variables"].as_array().cloned().unwrap_or_default();
            text.extend(variables.iter().filter_map(|v| v["name"].as_str()).flat_map(words));
            text.extend(compilation.matchers.iter().flat_map(|matchers| words(matchers.as_str())));
        }
        text.retain(|word| word.len() <= limits::MATCH_WORD_BYTES_MAX);
        text.truncate(limits::MATCH_TEXT_WORDS_MAX);
        text.shrink_to_fit();
        Ok(text)
    }
}
