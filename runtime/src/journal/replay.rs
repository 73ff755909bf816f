//! What a resumed guest is answered from.
//!
//! Its job: hold a journal beside a guest that begins again from the start, and say for each thing the guest asks
//! whether the answer is on record, was under way, is new, or does not fit. It is pure: it writes nothing and calls
//! no tool. The rule: an answer is given only for the same question in the same order (the same tool with the same
//! input); anything else is nondeterminism, and the guest must be stopped before it does something else.
//!
//! The guest's step names are labels: they travel with a question for the message, and do not decide.

use std::collections::VecDeque;
use std::fmt;

use super::entry::{Answer, Body, Entry, Recorded, RecordedKind};
use crate::contract::{Effect, ToolId};
use crate::ids::Digest;

/// A journal's questions and answers, oldest first; what the guest has already asked again is gone.
#[derive(Debug)]
pub struct Cursor {
    moves: VecDeque<Move>,
    next_call: u64,
}

/// What becomes of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It is on record: give this, call nothing.
    Answer(Answer),
    /// It was begun and the journal ends there: whether it took effect is not known. `pure` and `read` are repeated,
    /// `idempotent` is repeated with the same key, `once` is uncertain. The call is in the journal already.
    UnderWay {
        /// Its number.
        call: u64,
        /// The key that the tool saw.
        key: String,
        /// What repeating it would do.
        effect: Effect,
    },
    /// The journal has no more: this call is new.
    Live {
        /// The number it gets.
        call: u64,
    },
    /// The journal has something else here.
    Diverged(Diverged),
}

/// What becomes of a question for the time or a random number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextRecorded {
    /// It is on record: give this.
    Answer(Recorded),
    /// The journal has no more: this one is new.
    Live,
    /// The journal has something else here.
    Diverged(Diverged),
}

/// A guest that does not do again what its journal says it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// The entry that the guest did not repeat.
    pub seq: u64,
    /// What the journal has there.
    pub expected: String,
    /// What the guest did.
    pub found: String,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of the journal is {}, but the playbook came with {}", self.seq, self.expected, self.found)
    }
}

/// One question on record, and its answer.
#[derive(Debug)]
enum Move {
    Call { seq: u64, call: u64, step: Option<String>, tool: ToolId, effect: Effect, key: String, input: Digest, answer: Option<Answer> },
    Recorded { seq: u64, step: Option<String>, value: Recorded },
}

impl Cursor {
    /// Over a journal that the fold has accepted, as [`Log::reopen`](super::Log::reopen) gives it.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Cursor {
        let mut moves = VecDeque::new();
        let mut next_call = 1;
        for Entry { seq, body, .. } in entries {
            match body {
                Body::Called { call, step, tool, effect, key, input_digest: input, .. } => {
                    next_call = call + 1;
                    moves.push_back(Move::Call { seq, call, step, tool, effect, key, input, answer: None });
                }
                Body::Returned { answer: given, .. } => {
                    if let Some(Move::Call { answer, .. }) = moves.back_mut() {
                        *answer = Some(given);
                    }
                }
                Body::Recorded { step, value } => moves.push_back(Move::Recorded { seq, step, value }),
                // These are about workers and about the end; a guest sees none of them.
                Body::Created { .. } | Body::Resumed { .. } | Body::Uncertain { .. } | Body::Completed { .. } | Body::Failed { .. } => {}
            }
        }
        Cursor { moves, next_call }
    }

    /// The guest calls `tool` with the input of this digest.
    pub fn next_call(&mut self, step: Option<&str>, tool: &ToolId, input: Digest) -> Next {
        match self.moves.pop_front() {
            None => {
                let call = self.next_call;
                self.next_call += 1;
                Next::Live { call }
            }
            Some(Move::Call { tool: on_record, input: recorded_input, call, effect, key, answer, .. })
                if on_record == *tool && recorded_input == input =>
            {
                match answer {
                    Some(answer) => Next::Answer(answer),
                    None => Next::UnderWay { call, key, effect },
                }
            }
            Some(other) => Next::Diverged(self.diverged(other, call_in_words(step, tool, &input))),
        }
    }

    /// The guest asks for the time or a random number.
    pub fn next_recorded(&mut self, step: Option<&str>, kind: RecordedKind) -> NextRecorded {
        match self.moves.pop_front() {
            None => NextRecorded::Live,
            Some(Move::Recorded { value, .. }) if value.kind() == kind => NextRecorded::Answer(value),
            Some(other) => NextRecorded::Diverged(self.diverged(other, recorded_in_words(step, kind))),
        }
    }

    /// The guest has ended, with an output or a failure.
    ///
    /// # Errors
    /// Where the journal says that it went on.
    pub fn end(&self) -> Result<(), Diverged> {
        match self.moves.front() {
            None => Ok(()),
            Some(left) => Err(Diverged { seq: left.seq(), expected: left.in_words(), found: "its end".to_owned() }),
        }
    }

    /// True once everything on record has been asked again: from here on, answers are new.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.moves.is_empty()
    }

    /// Questions on record that the guest has not asked again yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.moves.len()
    }

    /// The question stays where it is, so that whatever the guest tries next meets it again.
    fn diverged(&mut self, on_record: Move, found: String) -> Diverged {
        let diverged = Diverged { seq: on_record.seq(), expected: on_record.in_words(), found };
        self.moves.push_front(on_record);
        diverged
    }
}

impl Move {
    fn seq(&self) -> u64 {
        match self {
            Move::Call { seq, .. } | Move::Recorded { seq, .. } => *seq,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Move::Call { step, tool, input, .. } => call_in_words(step.as_deref(), tool, input),
            Move::Recorded { step, value, .. } => recorded_in_words(step.as_deref(), value.kind()),
        }
    }
}

fn call_in_words(step: Option<&str>, tool: &ToolId, input: &Digest) -> String {
    format!("a call of {tool} with the input of digest {input}{}", at_step(step))
}

fn recorded_in_words(step: Option<&str>, kind: RecordedKind) -> String {
    format!("a question for {kind}{}", at_step(step))
}

fn at_step(step: Option<&str>) -> String {
    step.map(|step| format!(" at step {step:?}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples::*;
    use super::*;

    /// What a guest asks.
    enum Ask {
        Call(&'static str, &'static str),
        Time,
        Random,
        End,
    }
    use Ask::{Call, End, Random, Time};

    fn answered(text: &str) -> String {
        format!("answer {text}")
    }

    /// Lets a guest ask `asks` against a journal of `bodies`; says in words what became of each.
    fn ask(bodies: Vec<Body>, asks: &[Ask]) -> Vec<String> {
        let all = entries([vec![created()], bodies].concat());
        super::super::State::fold(&all).expect("a cursor gets only journals that fold");
        let mut cursor = Cursor::new(all);
        let mut became = Vec::new();
        for ask in asks {
            let live_before = cursor.is_live();
            became.push(match ask {
                Call(tool, input) => match cursor.next_call(Some("s"), &ToolId::parse(tool).unwrap(), parsed(input).digest()) {
                    Next::Answer(Answer::Output(output)) => answered(&format!("{output:?}")),
                    Next::Answer(Answer::Error(e)) => answered(&e.to_string()),
                    Next::UnderWay { call, key, effect } => format!("under way {call} {key} {effect}"),
                    Next::Live { call } => format!("live {call}"),
                    Next::Diverged(d) => format!("diverged at {}", d.seq),
                },
                Time | Random => {
                    let kind = if matches!(ask, Time) { RecordedKind::Now } else { RecordedKind::Random };
                    match cursor.next_recorded(None, kind) {
                        NextRecorded::Answer(value) => answered(&value.number().to_string()),
                        NextRecorded::Live => "live".to_owned(),
                        NextRecorded::Diverged(d) => format!("diverged at {}", d.seq),
                    }
                }
                End => match cursor.end() {
                    Ok(()) => "ended".to_owned(),
                    Err(d) => format!("diverged at {}", d.seq),
                },
            });
            let is_new = became.last().is_some_and(|b| b.starts_with("live"));
            if !matches!(ask, End) {
                assert_eq!(is_new, live_before, "what is new and what is on record do not mix: {became:?}");
            }
        }
        became
    }

    fn write(call: u64, effect: Effect) -> Body {
        called_with(call, effect, "fs/write", r#"{"n":1}"#)
    }
    const WRITE: Ask = Call("fs/write", r#"{"n":1}"#);

    #[test]
    fn replay_by_failure_family() {
        let one = || vec![write(1, Effect::Once), returned(1)];
        let output = |n: u64| answered(&format!("{:?}", inline(&format!(r#"{{"bytes":{n}}}"#))));
        /// The family, the journal, what the guest asks, and what must become of each question.
        type Family = (&'static str, Vec<Body>, Vec<Ask>, Vec<String>);
        let families: Vec<Family> = vec![
            (
                "nothing on record: all is live",
                vec![],
                vec![WRITE, Time, WRITE, End],
                ["live 1", "live", "live 2", "ended"].map(str::to_owned).to_vec(),
            ),
            (
                "completes from the record alone",
                [one(), vec![recorded(9), write(2, Effect::Read), returned(2)]].concat(),
                vec![WRITE, Time, WRITE, End],
                vec![output(1), answered("9"), output(2), "ended".into()],
            ),
            ("goes live where the record ends", one(), vec![WRITE, WRITE, Random], vec![output(1), "live 2".into(), "live".into()]),
            (
                "resumed entries are invisible",
                [one(), vec![Body::Resumed { attempt: 2 }, write(2, Effect::Once), Body::Resumed { attempt: 3 }, returned(2)]].concat(),
                vec![WRITE, WRITE, End],
                vec![output(1), output(2), "ended".into()],
            ),
            (
                "under way when the process died",
                [one(), vec![write(2, Effect::Once)]].concat(),
                vec![WRITE, WRITE, WRITE],
                vec![output(1), "under way 2 key-2 once".into(), "live 3".into()],
            ),
            (
                "under way through two deaths",
                vec![write(1, Effect::Idempotent), Body::Resumed { attempt: 2 }],
                vec![WRITE, End],
                vec!["under way 1 key-1 idempotent".into(), "ended".into()],
            ),
            ("diverged tool", one(), vec![Call("fs/remove", r#"{"n":1}"#)], vec!["diverged at 2".into()]),
            ("diverged input", one(), vec![Call("fs/write", r#"{"n":2}"#)], vec!["diverged at 2".into()]),
            (
                "diverged input of the call under way",
                vec![write(1, Effect::Once)],
                vec![Call("fs/write", "null")],
                vec!["diverged at 2".into()],
            ),
            (
                "diverged order",
                vec![called_with(1, Effect::Read, "fs/read", "1"), returned(1), called_with(2, Effect::Read, "fs/read", "2"), returned(2)],
                vec![Call("fs/read", "2"), Call("fs/read", "1")],
                // The question that met the wrong answer is asked no further; the second one is where the journal still stands.
                vec!["diverged at 2".into(), output(1)],
            ),
            (
                "extra call on record",
                [one(), vec![write(2, Effect::Once), returned(2)]].concat(),
                vec![WRITE, End],
                vec![output(1), "diverged at 4".into()],
            ),
            ("extra recorded value on record", vec![recorded(9), write(1, Effect::Once)], vec![WRITE], vec!["diverged at 2".into()]),
            ("recorded value not on record", one(), vec![Time], vec!["diverged at 2".into()]),
            ("another recorded value than on record", vec![recorded(9)], vec![Random, Time], vec!["diverged at 2".into(), answered("9")]),
            ("ends before its record does", one(), vec![End], vec!["diverged at 2".into()]),
        ];
        for (family, bodies, asks, expected) in families {
            assert_eq!(ask(bodies, &asks), expected, "{family}");
        }
    }

    #[test]
    fn a_divergence_names_both_sides() {
        let mut cursor = Cursor::new(entries(vec![created(), write(1, Effect::Once), returned(1)]));
        assert_eq!((cursor.remaining(), cursor.is_live()), (1, false));
        let Next::Diverged(diverged) = cursor.next_call(Some("s9"), &ToolId::parse("fs/remove").unwrap(), parsed("1").digest()) else {
            panic!("another tool must not be answered")
        };
        let text = diverged.to_string();
        for part in ["entry 2", "fs/write", r#"at step "s1""#, "fs/remove", r#"at step "s9""#, &parsed("1").digest().to_string()] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(cursor.remaining(), 1, "a question that was not repeated stays on record");
    }

    #[test]
    fn a_step_name_is_a_label_and_does_not_decide() {
        let mut cursor = Cursor::new(entries(vec![created(), write(1, Effect::Once), returned(1)]));
        let next = cursor.next_call(None, &ToolId::parse("fs/write").unwrap(), parsed(r#"{"n":1}"#).digest());
        assert!(matches!(next, Next::Answer(_)), "{next:?}");
    }
}
