//! One row of nodes that every run followed: the same call in all, the same calls for each element of a list, or one of two
//! ways that a value tells apart.
//!
//! It reads all samples side by side and never looks back: at each place a loop is tried first (a list that is as long as
//! the calls repeat, in every sample), then the next call, then two ways. What is taken has explained all its values, so
//! that alignment and data flow are found together. Where nothing fits, the place and what the runs do there are said.

use serde_json::Value;

use super::explain::{self, Decided, Unexplained};
use super::gathered::{self, Candidate};
use super::known::{Scope, Tier};
use super::ways;
use crate::checks::{At, Origin, Spec, Verdict};
use crate::compiler::plan::{Check, Each, Node, Step, StepOptions};
use crate::compiler::template::{Source, Template};
use crate::compiler::trace::Attempt;
use crate::json::Json;
use crate::limits;

/// The calls of one sample.
pub(super) type Span<'a> = &'a [&'a Attempt];

/// Where the data did not decide, or what no plan explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The step; `output` is the playbook's own.
    pub step: String,
    /// JSON pointer into the step's input.
    pub at: String,
}

/// Why there is no plan.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub place: Place,
    pub why: String,
    pub values: Vec<String>,
    /// How many calls were explained before: of several attempts the furthest is told.
    pub depth: usize,
}

/// Learns rows of nodes.
pub(super) struct Learner {
    next_step: usize,
    next_node: usize,
    /// Loops and ways that were tried; bounded, so that no run takes for ever.
    tries: usize,
    pub questions: Vec<(Place, String)>,
    /// What the turns of loops could give.
    pub gathered: Vec<Candidate>,
    /// The furthest that something inside a loop or a way came.
    pub furthest: Option<Refusal>,
}

/// What is given back where a try comes to nothing.
pub(super) struct Mark {
    next_step: usize,
    next_node: usize,
    questions: usize,
}

impl Learner {
    pub fn new() -> Learner {
        Learner { next_step: 0, next_node: 0, tries: 0, questions: Vec::new(), gathered: Vec::new(), furthest: None }
    }

    pub fn mark(&self) -> Mark {
        Mark { next_step: self.next_step, next_node: self.next_node, questions: self.questions.len() }
    }

    pub fn back_to(&mut self, mark: &Mark) {
        self.next_step = mark.next_step;
        self.next_node = mark.next_node;
        self.questions.truncate(mark.questions);
    }

    pub fn node_id(&mut self, what: &str) -> String {
        self.next_node += 1;
        format!("{what}{}", self.next_node)
    }

    /// True while something may still be tried.
    pub fn may_try(&mut self) -> bool {
        self.tries += 1;
        self.tries <= limits::LEARN_TRIES_MAX
    }

    pub fn note(&mut self, refusal: Refusal) {
        if self.furthest.as_ref().is_none_or(|known| known.depth < refusal.depth) {
            self.furthest = Some(refusal);
        }
    }

    /// The nodes that all of `spans` followed from beginning to end.
    pub fn sequence(&mut self, scope: &mut Scope, spans: &[Span<'_>], depth: usize) -> Result<Vec<Node>, Refusal> {
        let mut at = vec![0; spans.len()];
        let mut nodes = Vec::new();
        while spans.iter().zip(&at).any(|(span, at)| *at < span.len()) {
            if let Some(node) = self.repeated(scope, spans, &mut at, depth) {
                nodes.push(node);
                continue;
            }
            let refusal = match self.step(scope, spans, &at) {
                Ok(step) => {
                    at.iter_mut().for_each(|at| *at += 1);
                    nodes.push(Node::Step(step));
                    continue;
                }
                Err(refusal) => refusal,
            };
            match ways::find(self, scope, spans, &mut at, depth) {
                Some(node) => nodes.push(node),
                None => return Err(refusal),
            }
        }
        Ok(nodes)
    }

    /// The call that all make next.
    pub fn step(&mut self, scope: &mut Scope, spans: &[Span<'_>], at: &[usize]) -> Result<Step, Refusal> {
        let id = format!("s{}", self.next_step + 1);
        let depth = self.next_step;
        let place = |pointer: &str| Place { step: id.clone(), at: pointer.to_owned() };
        let next: Option<Vec<&Attempt>> = spans.iter().zip(at).map(|(span, at)| span.get(*at).copied()).collect();
        let same = |next: &Vec<&Attempt>| next.iter().all(|attempt| attempt.bound.tool == next[0].bound.tool);
        let Some(next) = next.filter(same) else {
            let what = |(span, at): (&Span<'_>, &usize)| span.get(*at).map_or("nothing further".to_owned(), |a| a.bound.tool.to_string());
            let calls: Vec<String> = spans.iter().zip(at).map(what).collect();
            let why = "the runs go different ways here, and no value tells them apart".to_owned();
            return Err(Refusal { place: place(""), why, values: calls, depth });
        };
        let inputs: Vec<&Value> = next.iter().map(|attempt| &attempt.bound.input).collect();
        let mut decided = Decided::default();
        let template = explain::explain(scope, "", &inputs, &mut decided).map_err(|Unexplained { at, why, values }| Refusal {
            place: place(&at),
            why,
            values,
            depth,
        })?;
        self.questions.extend(decided.questions.into_iter().map(|(at, question)| (place(&at), question)));
        let checks = recorded(scope, &next);
        self.next_step += 1;
        let outputs: Vec<&Value> = next.iter().map(|attempt| &attempt.output).collect();
        scope.learn(&id, &inputs, &outputs);
        let first = &next[0].bound;
        Ok(Step {
            id,
            tool: first.tool.clone(),
            effect: first.effect,
            recorded_as: first.recorded_as.clone(),
            input: template.simplified(),
            decisions: decided.decisions,
            options: StepOptions::default(),
            compensation: None,
            checks,
        })
    }

    /// The calls that repeat for each element of a list, where all samples stand before such.
    fn repeated(&mut self, scope: &mut Scope, spans: &[Span<'_>], at: &mut [usize], depth: usize) -> Option<Node> {
        if depth >= limits::LEARN_NESTING_MAX || !repeats(spans, at) {
            return None;
        }
        for list in scope.lists() {
            let counts: Vec<usize> = list.facts.iter().map(|fact| fact.value.as_array().map_or(0, Vec::len)).collect();
            // A list of one says nothing of a second, so that one sample at least has to have gone through it twice.
            if counts.iter().all(|count| *count < 2) {
                continue;
            }
            for length in 1..=limits::LEARN_BLOCK_STEPS_MAX {
                if !fits(spans, at, &counts, length) || !self.may_try() {
                    continue;
                }
                let mark = self.mark();
                match self.turns(scope, spans, at, &list, &counts, length, depth) {
                    Some(node) => {
                        at.iter_mut().zip(&counts).for_each(|(at, count)| *at += count * length);
                        return Some(node);
                    }
                    None => self.back_to(&mark),
                }
            }
        }
        None
    }

    #[expect(clippy::too_many_arguments, reason = "one try of the search: where it stands, and what it tries")]
    fn turns(
        &mut self,
        scope: &mut Scope,
        spans: &[Span<'_>],
        at: &[usize],
        list: &super::known::Known,
        counts: &[usize],
        length: usize,
        depth: usize,
    ) -> Option<Node> {
        let id = self.node_id("each");
        let mut within = Vec::new();
        let mut turns: Vec<Span<'_>> = Vec::new();
        let mut items: Vec<Value> = Vec::new();
        let each = (limits::LEARN_TURNS_MAX / spans.len().max(1)).max(2);
        for (sample, count) in counts.iter().enumerate() {
            let elements = list.facts[sample].value.as_array()?;
            for (turn, item) in elements.iter().enumerate().take((*count).min(each)) {
                let from = at[sample] + turn * length;
                within.push(sample);
                turns.push(&spans[sample][from..from + length]);
                items.push(item.clone());
            }
        }
        let mut inner = scope.project(&within);
        let items: Vec<&Value> = items.iter().collect();
        let since = inner.steps();
        inner.know("", Tier::Given, since, &items, &|pointer| Source::Item { each: id.clone(), pointer });
        let body = match self.sequence(&mut inner, &turns, depth + 1) {
            Ok(body) => body,
            Err(refusal) => {
                self.note(refusal);
                return None;
            }
        };
        let mut uses = false;
        super::each_template(&body, &mut |template| {
            template.for_each_source(&mut |source| uses |= matches!(source, Source::Item { each, .. } if *each == id));
        });
        if !uses {
            return None;
        }
        let answers: Vec<Value> = counts
            .iter()
            .enumerate()
            .map(|(sample, count)| (0..*count).map(|turn| spans[sample][at[sample] + (turn + 1) * length - 1].output.clone()).collect())
            .collect();
        let answers: Vec<&Value> = answers.iter().collect();
        // What a loop answers is the list of the last answers of its turns, where that is a plain step.
        if matches!(body.last(), Some(Node::Step(_))) {
            scope.turns(&id, &answers);
        }
        if counts.iter().all(|count| *count <= each) {
            gathered::add(scope, &id, &body, &inner, &within, &mut self.gathered);
        }
        // A turn that ends in one of two ways gives nothing.
        let output = match body.last() {
            Some(Node::Step(_) | Node::Each(_)) => None,
            _ => Some(Template::Constant(Json::from(&Value::Null))),
        };
        Some(Node::Each(Each { id, list: explain::value_of(list), body, output }))
    }
}

/// What recorders wrote down of a call in every sample, and was so: with what differs in it made as an input would be.
fn recorded(scope: &mut Scope, next: &[&Attempt]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (place, (at, first)) in next[0].checks.iter().enumerate() {
        let all: Option<Vec<&Spec>> = next
            .iter()
            .map(|attempt| attempt.checks.get(place).filter(|(of, spec)| of == at && spec.kind() == first.kind()).map(|(_, spec)| spec))
            .collect();
        let Some(all) = all else { continue };
        let fails = |(spec, attempt): (&&Spec, &&Attempt)| {
            let answer = (*at == At::After).then_some(&attempt.output);
            spec.judge(answer).is_some_and(|finding| finding.verdict == Verdict::Fail)
        };
        if all.iter().zip(next).any(fails) {
            continue;
        }
        let specs: Vec<Value> = all.iter().map(|spec| spec.to_json().value()).collect();
        let specs: Vec<&Value> = specs.iter().collect();
        let made = explain::explain(scope, "", &specs, &mut Decided::default()).map(Template::simplified);
        let is = match made {
            Ok(Template::Object(mut fields)) => {
                fields.insert("kind".to_owned(), Template::Constant(Json::from(&Value::from(first.kind()))));
                Template::Object(fields)
            }
            Ok(constant @ Template::Constant(_)) => constant,
            _ => continue,
        };
        checks.push(Check { at: *at, is, origin: Origin::Recorded, reason: String::new() });
    }
    checks
}

/// True where a call comes again soon in one of the samples: only then a loop is worth a look.
fn repeats(spans: &[Span<'_>], at: &[usize]) -> bool {
    spans.iter().zip(at).any(|(span, at)| {
        let rest = &span[*at..];
        rest.first()
            .is_some_and(|first| rest[1..].iter().take(limits::LEARN_BLOCK_STEPS_MAX).any(|other| other.bound.tool == first.bound.tool))
    })
}

/// True where each sample makes the same calls as often as its list is long.
fn fits(spans: &[Span<'_>], at: &[usize], counts: &[usize], length: usize) -> bool {
    let mut block: Option<Span<'_>> = None;
    spans.iter().zip(at).zip(counts).all(|((span, at), count)| {
        let Some(all) = count.checked_mul(length).and_then(|all| span.get(*at..*at + all)) else { return false };
        all.chunks(length).all(|turn| {
            let block = block.get_or_insert(turn);
            turn.iter().zip(block.iter()).all(|(a, b)| a.bound.tool == b.bound.tool)
        })
    })
}

/// The playbook's own output.
pub(super) fn output(scope: &mut Scope, values: &[&Value]) -> Result<(Template, Vec<(Place, String)>), Unexplained> {
    let mut decided = Decided { counts: true, ..Decided::default() };
    let template = explain::explain(scope, "", values, &mut decided)?.simplified();
    let place = |at: String| Place { step: "output".to_owned(), at };
    Ok((template, decided.questions.into_iter().map(|(at, question)| (place(at), question)).collect()))
}
