//! What is known at one place of the plan, in every sample.
//!
//! A sample is one recorded pass over that place: a run, or one turn of a loop in a run. A value counts as known only
//! where every sample has it under the same name; so whatever is found here is there for every one of them.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use super::derive;
use crate::compiler::dataflow::walk;
use crate::compiler::template::{Rule, Source};
use crate::json::{self, Json};
use crate::limits;

/// One value, and its text.
#[derive(Debug)]
pub(super) struct Fact {
    pub value: Value,
    /// Canonical JSON: -0.0 and 0.0 are equal, and not the same.
    pub canon: String,
}

impl Fact {
    pub fn new(value: Value) -> Rc<Fact> {
        let canon = Json::from(&value).as_str().to_owned();
        Rc::new(Fact { value, canon })
    }

    /// As it stands inside a text.
    pub fn text(&self) -> &str {
        self.value.as_str().unwrap_or(&self.canon)
    }
}

/// How near to what the user says a value is; the nearest explains first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// The run's input, a loop's element, the date.
    Given,
    /// What a step answered.
    Answered,
    /// What a step answered that it had been given before.
    Echoed,
}

/// A value that is known under one name in every sample.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub source: Source,
    pub rules: Vec<Rule>,
    /// One for each sample of the scope.
    pub facts: Vec<Rc<Fact>>,
    /// The last word of its path.
    pub name: String,
    /// When it became known: 0 for inputs, then one more with each step.
    pub since: usize,
    pub tier: Tier,
    /// True where the way to it leads through a place in a list.
    pub listed: bool,
    /// False where it is the same in every sample.
    pub varies: bool,
    /// True where it differs between the runs, be it the same in those that came by here.
    pub elsewhere: bool,
    /// How hard it is to meet all its values by chance.
    pub bits: u32,
}

impl Known {
    pub fn derived(&self, rules: Vec<Rule>, facts: Vec<Rc<Fact>>) -> Known {
        let (varies, bits) = weigh(&facts);
        Known { source: self.source.clone(), rules, facts, varies, bits, ..self.clone() }
    }

    pub fn first(&self) -> &Fact {
        &self.facts[0]
    }
}

/// Whether the values differ, and how hard it is to meet them all by chance.
pub(super) fn weigh(facts: &[Rc<Fact>]) -> (bool, u32) {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut weight = 0_u32;
    for fact in facts {
        // Having met a value before, meeting it again at the right place is still worth something.
        weight = weight.saturating_add(if seen.insert(&fact.canon) { bits(&fact.value) } else { 1 });
    }
    (seen.len() > 1, weight)
}

/// How hard it is to meet this value by chance, roughly in bits.
pub(super) fn bits(value: &Value) -> u32 {
    const OF_ONE_MAX: u32 = 64;
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) | Value::String(_) => {
            let weight = |c: char| if c.is_ascii_digit() { 3 } else { u32::from(c.is_alphabetic()) * 3 + 1 };
            json::text_of(value).chars().take(OF_ONE_MAX as usize).map(weight).sum::<u32>().min(OF_ONE_MAX)
        }
        Value::Array(items) => items.iter().take(16).map(bits).sum::<u32>().min(OF_ONE_MAX) + 2,
        Value::Object(fields) => fields.values().take(16).map(bits).sum::<u32>().min(OF_ONE_MAX) + 2,
    }
}

/// A known value: one of the plain ones, or one that rules make of such a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Plain(usize),
    Derived(usize),
}

/// Everything that is known at one place of the plan.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The run of each sample.
    pub runs: Vec<usize>,
    plain: Vec<Known>,
    derived: Vec<Known>,
    /// Plain values whose derivatives are in `derived`.
    derived_of: usize,
    /// By the canonical text in the first sample.
    whole: HashMap<String, Vec<Place>>,
    /// By the first bytes of the text in the first sample, at most [`Scope::HEAD`].
    heads: HashMap<Vec<u8>, Vec<Place>>,
    /// Values that steps were given, in the first sample: an answer that repeats one is an echo.
    given: HashSet<String>,
    steps: usize,
    /// Plain values that differ between the samples.
    varying: usize,
    /// Places in `plain` of what loops answered.
    loops: Vec<usize>,
    lists: Vec<Rc<Known>>,
    /// Plain values whose lists are in `lists`.
    lists_of: usize,
}

/// What is to be left over when the choices are paid for, in bits.
const MARGIN: u32 = 7;

impl Scope {
    pub const HEAD: usize = 3;

    pub fn new(runs: Vec<usize>) -> Scope {
        Scope { runs, ..Scope::default() }
    }

    pub fn plain(&self) -> &[Known] {
        &self.plain
    }

    pub fn get(&self, place: Place) -> &Known {
        match place {
            Place::Plain(at) => &self.plain[at],
            Place::Derived(at) => &self.derived[at],
        }
    }

    /// What is known as `source` with these rules.
    pub fn known_as(&self, source: &Source, rules: &[Rule]) -> Option<&Known> {
        let of = if rules.is_empty() { &self.plain } else { &self.derived };
        of.iter().find(|known| known.source == *source && known.rules == rules)
    }

    /// How many steps have been learned from.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The same at another set of samples, each of which is within one of these.
    pub fn project(&self, within: &[usize]) -> Scope {
        let mut scope = Scope::new(within.iter().map(|at| self.runs[*at]).collect());
        scope.given.clone_from(&self.given);
        scope.steps = self.steps;
        for known in &self.plain {
            let facts: Vec<Rc<Fact>> = within.iter().map(|at| known.facts[*at].clone()).collect();
            let (varies, bits) = weigh(&facts);
            scope.add(Known { facts, varies, bits, elsewhere: known.elsewhere || known.varies, ..known.clone() });
        }
        scope
    }

    pub fn add(&mut self, known: Known) {
        let place = Place::Plain(self.plain.len());
        self.whole.entry(known.first().canon.clone()).or_default().push(place);
        let head = head(known.first().text());
        self.heads.entry(head).or_default().push(place);
        self.varying += usize::from(known.varies);
        self.plain.push(known);
    }

    /// Adds a value and what is in it, under `source` with the pointer below.
    pub fn know(&mut self, name: &str, tier: Tier, since: usize, values: &[&Value], source: &dyn Fn(String) -> Source) {
        let Some(first) = values.first() else { return };
        let mut taken = 0;
        walk(first, "", &mut |pointer, value| {
            if taken >= limits::LEARN_VALUES_PER_ANSWER_MAX {
                return;
            }
            let found: Option<Vec<&Value>> = values.iter().map(|whole| whole.pointer(pointer)).collect();
            let Some(found) = found else { return };
            taken += 1;
            let listed = crate::compiler::dataflow::in_a_list(first, pointer);
            let tier = if tier == Tier::Answered && self.given.contains(&value.to_string()) { Tier::Echoed } else { tier };
            let facts: Vec<Rc<Fact>> = found.into_iter().map(|value| Fact::new(value.clone())).collect();
            let (varies, bits) = weigh(&facts);
            let name = crate::compiler::dataflow::last_word(pointer).unwrap_or(name).to_owned();
            let (rules, elsewhere) = (Vec::new(), false);
            self.add(Known { source: source(pointer.to_owned()), rules, facts, name, since, tier, listed, varies, elsewhere, bits });
        });
    }

    /// Adds what the turns of a loop answered: the list alone. What stands at one place of it is of one turn, and the next job has
    /// other turns.
    pub fn turns(&mut self, id: &str, answers: &[&Value]) {
        self.steps += 1;
        let facts: Vec<Rc<Fact>> = answers.iter().map(|answers| Fact::new((*answers).clone())).collect();
        let (varies, bits) = weigh(&facts);
        let source = Source::Output { step: id.to_owned(), pointer: String::new() };
        let (since, tier) = (self.steps, Tier::Answered);
        self.loops.push(self.plain.len());
        let (rules, name, listed, elsewhere) = (Vec::new(), String::new(), false, false);
        self.add(Known { source, rules, facts, name, since, tier, listed, varies, elsewhere, bits });
    }

    /// A loop that had as many turns as `facts` say, in every sample.
    pub fn counted(&self, facts: &[Rc<Fact>]) -> Option<&Known> {
        let loops = self.loops.iter().map(|at| &self.plain[*at]);
        let turns = |fact: &Fact| fact.value.as_array().and_then(|turns| u64::try_from(turns.len()).ok());
        loops.into_iter().find(|known| known.facts.iter().zip(facts).all(|(answers, fact)| fact.value.as_u64() == turns(answers)))
    }

    /// Adds the date of each sample, where it is not the same in all: then it would be a word like any other.
    pub fn today(&mut self, dates: &[&str]) {
        let facts: Vec<Rc<Fact>> = dates.iter().map(|date| Fact::new(Value::from(*date))).collect();
        let (varies, bits) = weigh(&facts);
        if varies {
            let (source, name) = (Source::Today, "today".to_owned());
            // Last of all: what anyone says outright is nearer.
            self.add(Known {
                source,
                rules: Vec::new(),
                facts,
                name,
                since: usize::MAX,
                tier: Tier::Answered,
                listed: false,
                varies,
                elsewhere: false,
                bits,
            });
        }
    }

    /// Adds what a step was given and what it answered, in each sample.
    pub fn learn(&mut self, id: &str, inputs: &[&Value], outputs: &[&Value]) {
        if let Some(input) = inputs.first() {
            walk(input, "", &mut |_, value| {
                self.given.insert(value.to_string());
            });
        }
        self.steps += 1;
        let id = id.to_owned();
        self.know("", Tier::Answered, self.steps, outputs, &|pointer| Source::Output { step: id.clone(), pointer });
    }

    /// Makes sure that what rules make of the known values is there to be found.
    pub fn derive(&mut self) {
        for at in self.derived_of..self.plain.len() {
            if self.derived.len() >= limits::LEARN_DERIVED_MAX {
                break;
            }
            for known in derive::all(&self.plain[at]) {
                let place = Place::Derived(self.derived.len());
                self.whole.entry(known.first().canon.clone()).or_default().push(place);
                self.heads.entry(head(known.first().text())).or_default().push(place);
                self.derived.push(known);
            }
        }
        self.derived_of = self.plain.len();
    }

    /// Lists that are known in every sample: those that were given or answered as such, and what stands in texts as one.
    pub fn lists(&mut self) -> Vec<Rc<Known>> {
        let long = |list: &Known| list.facts.iter().any(|fact| fact.value.as_array().is_some_and(|items| items.len() > 1));
        for known in self.plain[self.lists_of..].iter().filter(|known| known.tier != Tier::Echoed) {
            let of_texts = derive::lists(known).into_iter();
            let own = known.facts.iter().all(|fact| fact.value.is_array()).then(|| known.clone());
            self.lists.extend(own.into_iter().chain(of_texts).filter(long).map(Rc::new));
        }
        self.lists_of = self.plain.len();
        self.lists.truncate(limits::LEARN_LISTS_MAX);
        self.lists.clone()
    }

    /// Known values that equal `facts` in every sample.
    pub fn equal<'a>(&'a self, facts: &'a [Rc<Fact>]) -> impl Iterator<Item = &'a Known> {
        let places = facts.first().and_then(|fact| self.whole.get(&fact.canon)).into_iter().flatten();
        let same = move |known: &&Known| known.facts.iter().zip(facts).all(|(a, b)| a.canon == b.canon);
        places.map(|place| self.get(*place)).filter(same)
    }

    /// Known values whose text in the first sample `text` begins with.
    pub fn beginning<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Place> + 'a {
        let lengths = (1..=Self::HEAD).filter(move |length| *length <= text.len());
        let places = lengths.filter_map(move |length| self.heads.get(&text.as_bytes()[..length]).map(|places| (length, places)));
        let fits = move |length: usize, known: &Known| {
            let needle = known.first().text();
            (needle.len() == length || (length == Self::HEAD && needle.len() > length)) && text.starts_with(needle)
        };
        places.flat_map(move |(length, places)| places.iter().copied().filter(move |place| fits(length, self.get(*place))))
    }

    /// The same among the values that are no texts, of which there are fewer.
    pub fn needed_of_numbers(&self) -> u32 {
        let number = |known: &&Known| known.varies && !known.first().value.is_string();
        let choices = self.plain.iter().filter(number).count() + self.derived.iter().filter(number).count();
        MARGIN + choices.max(1).ilog2()
    }

    /// How much a value must weigh so that its equality with one of the known values is no accident.
    pub fn needed(&self, derived: bool) -> u32 {
        let choices = self.varying + if derived { self.derived.len() } else { 0 };
        MARGIN + choices.max(1).ilog2()
    }
}

fn head(text: &str) -> Vec<u8> {
    text.as_bytes()[..text.len().min(Scope::HEAD)].to_vec()
}
