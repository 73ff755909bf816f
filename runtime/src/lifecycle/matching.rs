//! Which playbooks have to do with a goal: an index of words in memory, by BM25.
//!
//! It knows words and numbers, and no store: whoever keeps it says what a playbook's words are and whether it runs. Nothing is
//! guessed about meaning; a word is a word, but for its plural.

use std::collections::{BTreeMap, HashMap};

use super::Status;
use crate::ids::PlaybookId;

/// How fast a repeated word stops to matter, and how much a long text is held against its words: the usual values.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// Words that say nothing of a task.
const EMPTY_WORDS: [&str; 22] = [
    "a", "an", "and", "as", "at", "by", "do", "for", "from", "in", "into", "is", "it", "of", "on", "or", "so", "that", "the", "this", "to",
    "with",
];

/// What is indexed of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The status of the version that runs.
    pub status: Status,
    /// True where a shadow is there, running or beside what runs.
    pub has_shadow: bool,
}

/// The playbooks of one space by their words.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Option<(Entry, f64)>>,
    by_id: HashMap<PlaybookId, usize>,
    /// Word -> places in `entries`, with how often it stands there.
    words: HashMap<String, Vec<(u32, u16)>>,
    /// How long all texts are together, and how many there are.
    length: f64,
    alive: usize,
}

/// The words of a text, as they are compared.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| {
        let word = word.to_lowercase();
        match word.strip_suffix('s').filter(|stem| stem.len() >= 3 && !stem.ends_with('s')) {
            Some(stem) => stem.to_owned(),
            None => word,
        }
    };
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(plain).filter(|word| !EMPTY_WORDS.contains(&word.as_str())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words and playbooks are far below 2^52")]
fn number(n: usize) -> f64 {
    n as f64
}

impl Index {
    /// Puts a playbook with these words in the place of what was known of it.
    pub fn put(&mut self, entry: Entry, text: &[String]) {
        self.remove(&entry.playbook_id);
        let place = self.entries.len();
        let mut counts: BTreeMap<&str, u16> = BTreeMap::new();
        for word in text {
            let count = counts.entry(word).or_default();
            *count = count.saturating_add(1);
        }
        for (word, count) in counts {
            let at = (u32::try_from(place).unwrap_or(u32::MAX), count);
            match self.words.get_mut(word) {
                Some(places) => places.push(at),
                None => drop(self.words.insert(word.to_owned(), vec![at])),
            }
        }
        self.length += number(text.len());
        self.alive += 1;
        self.by_id.insert(entry.playbook_id.clone(), place);
        self.entries.push(Some((entry, number(text.len()))));
    }

    /// Forgets a playbook. Its words are dropped once half of all places are empty.
    pub fn remove(&mut self, id: &PlaybookId) {
        let Some(place) = self.by_id.remove(id) else { return };
        if let Some((_, length)) = self.entries[place].take() {
            self.length -= length;
            self.alive -= 1;
        }
        if self.entries.len() > 64 && self.alive < self.entries.len() / 2 {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(self.entries.len());
        let mut next = 0u32;
        for entry in &self.entries {
            moved.push(entry.is_some().then_some(next));
            next += u32::from(entry.is_some());
        }
        self.entries.retain(Option::is_some);
        for places in self.words.values_mut() {
            places.retain_mut(|(place, _)| match moved[*place as usize] {
                Some(to) => {
                    *place = to;
                    true
                }
                None => false,
            });
        }
        self.words.retain(|_, places| !places.is_empty());
        let places = self.entries.iter().enumerate().filter_map(|(at, entry)| Some((entry.as_ref()?.0.playbook_id.clone(), at)));
        self.by_id = places.collect();
    }

    /// The best `limit` playbooks that `wanted` takes, best first, with how well they fit. `asked` are words with their weights.
    #[must_use]
    pub fn search(&self, asked: &[(String, f64)], wanted: impl Fn(&Entry) -> bool, limit: usize) -> Vec<(&Entry, f64)> {
        let average = self.length / number(self.alive.max(1));
        let mut scores = vec![0.0f64; self.entries.len()];
        let mut found: Vec<usize> = Vec::new();
        for (word, weight) in asked {
            let Some(places) = self.words.get(word) else { continue };
            // What is gone is not forgotten yet, and must not count.
            let n = number(places.iter().filter(|(place, _)| self.entries[*place as usize].is_some()).count());
            let rare = ((number(self.alive) - n + 0.5) / (n + 0.5) + 1.0).max(1.0).ln();
            for (place, count) in places {
                let place = *place as usize;
                let Some((_, length)) = &self.entries[place] else { continue };
                let count = f64::from(*count);
                if scores[place] == 0.0 {
                    found.push(place);
                }
                scores[place] += weight * rare * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / average.max(1.0)));
            }
        }
        let entry = |place: usize| self.entries[place].as_ref().map(|(entry, _)| (entry, scores[place]));
        let mut best: Vec<(&Entry, f64)> =
            found.into_iter().filter_map(entry).filter(|(entry, score)| *score > 0.0 && wanted(entry)).collect();
        best.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.playbook_id.as_str().cmp(b.playbook_id.as_str())));
        best.truncate(limit);
        best
    }

    /// How many playbooks it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.alive
    }

    /// True where it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alive == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(id: &str, status: Status) -> Entry {
        Entry { playbook_id: PlaybookId::parse(id).unwrap(), status, has_shadow: false }
    }

    fn found(index: &Index, goal: &str) -> Vec<String> {
        let asked: Vec<(String, f64)> = words(goal).into_iter().map(|word| (word, 1.0)).collect();
        index
            .search(&asked, |entry| entry.status == Status::Active, 9)
            .into_iter()
            .map(|(entry, _)| entry.playbook_id.to_string())
            .collect()
    }

    #[test]
    fn the_playbook_that_shares_the_rarest_words_comes_first() {
        let mut index = Index::default();
        for (id, status, text) in [
            ("release", Status::Active, "prepare a release of the project: set the version, write the changelog"),
            ("rotate", Status::Active, "rotate the logs of the project"),
            ("clean", Status::Active, "clean the data of the project, drop doubles"),
            ("draft", Status::Draft, "prepare a release of everything"),
        ] {
            index.put(entry(id, status), &words(text));
        }
        assert_eq!(found(&index, "Prepare the releases")[0], "release");
        assert_eq!(found(&index, "rotate log files of a project")[0], "rotate");
        assert_eq!(found(&index, "something else entirely"), Vec::<String>::new());
        assert_eq!(found(&index, "the of and"), Vec::<String>::new());
        index.put(entry("rotate", Status::Draft), &words("rotate the logs"));
        assert!(!found(&index, "rotate logs").contains(&"rotate".to_owned()), "it is not active any more");
    }

    proptest! {
        /// However often playbooks come and go, what is found is what is there.
        #[test]
        fn an_index_that_changed_finds_what_a_new_one_finds(changes in prop::collection::vec((0..40u8, prop::option::of("[abc]{1,3} [abc]{1,3}")), 0..300)) {
            let mut index = Index::default();
            let mut there: BTreeMap<u8, String> = BTreeMap::new();
            for (id, text) in changes {
                let name = format!("p{id}");
                match text {
                    Some(text) => {
                        index.put(entry(&name, Status::Active), &words(&text));
                        there.insert(id, text);
                    }
                    None => {
                        index.remove(&PlaybookId::parse(&name).unwrap());
                        there.remove(&id);
                    }
                }
            }
            let mut fresh = Index::default();
            there.iter().for_each(|(id, text)| fresh.put(entry(&format!("p{id}"), Status::Active), &words(text)));
            prop_assert_eq!(index.len(), there.len());
            for goal in ["aa", "ab bc", "c"] {
                prop_assert_eq!(found(&index, goal), found(&fresh, goal));
            }
        }
    }
}
