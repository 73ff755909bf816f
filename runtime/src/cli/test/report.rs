//! What a test came to: a table for people, JSON for programs, JUnit for whoever collects tests.
//!
//! It judges nothing. The rule: a text that a playbook, a tool or a user made cannot break the form it is put into.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::output::{count, table};
use super::ended::{Change, Ended, Said};
use super::sweep::{Outcome, Verdict};
use crate::ids::PlaybookId;
use crate::journal::Status;
use crate::json::Json;
use crate::store::{CrashPoint, Moment};

/// All that is shown.
pub(super) struct Report {
    pub playbook_id: PlaybookId,
    pub undisturbed: Ended,
    /// What the job made of the files.
    pub changes: Vec<(String, Change)>,
    pub time: Duration,
    /// None where nothing was to crash.
    pub outcomes: Option<Vec<Outcome>>,
}

impl Report {
    pub(super) fn passed(&self) -> bool {
        self.undisturbed.status == Status::Completed && self.outcomes.iter().flatten().all(|outcome| !outcome.verdict.is_failure())
    }

    pub(super) fn to_json(&self) -> Value {
        let undisturbed = &self.undisturbed;
        let files = self.changes.iter().map(|(path, change)| json!({"path": path, "change": change.as_str()}));
        let mut report = json!({
            "playbook_id": self.playbook_id, "passed": self.passed(), "status": undisturbed.status,
            "output": undisturbed.output.as_ref().map(Json::value), "why": undisturbed.why, "files": files.collect::<Vec<_>>(),
        });
        if let Some(outcomes) = &self.outcomes {
            report["crashes"] = outcomes.iter().map(outcome_json).collect();
        }
        report
    }

    pub(super) fn in_words(&self) -> String {
        let undisturbed = &self.undisturbed;
        let value = undisturbed.output.as_ref().map(Json::as_str).or(undisturbed.why.as_deref()).unwrap_or("nothing");
        let mut text = format!("Undisturbed, the job is {}: {}", undisturbed.status, super::super::output::printable(value));
        for (path, change) in &self.changes {
            let _ = write!(text, "\n  {} {}", change.as_str(), super::super::output::printable(path));
        }
        let Some(outcomes) = &self.outcomes else { return text };
        let rows = outcomes.iter().map(|outcome| {
            let verdict = match &outcome.verdict {
                Verdict::Different(differences) => differences.join("; "),
                verdict => verdict.words().to_owned(),
            };
            [point(outcome.point), outcome.found.clone().unwrap_or_else(|| "nothing yet".to_owned()), verdict]
        });
        let _ = write!(text, "\n{}\n", table(["killed", "last entry on disk", "came to"], rows));
        let failed = outcomes.iter().filter(|outcome| outcome.verdict.is_failure()).count();
        let settled = outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Settled(_))).count();
        let _ = write!(text, "Killed {}: ", times(outcomes.len()));
        if failed > 0 {
            let _ = write!(text, "{} came to something else.", times(failed));
        } else {
            let _ = write!(text, "it came to the same each time.");
        }
        if settled > 0 {
            let _ = write!(text, " {} a person had to say whether a call had happened.", times(settled));
        }
        text
    }

    pub(super) fn to_junit(&self) -> String {
        let outcomes = self.outcomes.as_deref().unwrap_or_default();
        let stands = !self.undisturbed.status.is_final();
        let failures = usize::from(stands) + outcomes.iter().filter(|outcome| outcome.verdict.is_failure()).count();
        let all: Duration = self.time + outcomes.iter().map(|outcome| outcome.time).sum::<Duration>();
        let suite = escaped(self.playbook_id.as_str());
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let tests = outcomes.len() + 1;
        let _ = writeln!(xml, r#"<testsuite name="{suite}" tests="{tests}" failures="{failures}" time="{:.3}">"#, all.as_secs_f64());
        let why = stands.then(|| self.undisturbed.why.clone().unwrap_or_else(|| format!("the job is {}", self.undisturbed.status)));
        case(&mut xml, &suite, "undisturbed", self.time, why.as_deref(), None);
        for outcome in outcomes {
            let found = outcome.found.as_deref().unwrap_or("nothing yet");
            let name = format!("killed {}", point(outcome.point));
            let said = format!("Behind {found}: {}.", outcome.verdict.words());
            let failure = match &outcome.verdict {
                Verdict::Different(differences) => Some(differences.join("\n")),
                _ => None,
            };
            case(&mut xml, &suite, &name, outcome.time, failure.as_deref(), Some(&said));
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

impl Verdict {
    fn words(&self) -> &'static str {
        match self {
            Verdict::Same => "the same",
            Verdict::Reconciled => "the same, once the tool had said what became of its call",
            Verdict::Settled(Said::Happened) => "uncertain; the same, once settled: it happened",
            Verdict::Settled(Said::Retry) => "uncertain; the same, once settled: it may be made again",
            Verdict::Different(_) => "something else",
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Reconciled => "reconciled",
            Verdict::Settled(Said::Happened) => "uncertain_happened",
            Verdict::Settled(Said::Retry) => "uncertain_retry",
            Verdict::Different(_) => "different",
        }
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    let differences: &[String] = if let Verdict::Different(differences) = &outcome.verdict { differences } else { &[] };
    json!({"at": outcome.point.to_string(), "found": outcome.found, "verdict": outcome.verdict.as_str(), "differences": differences})
}

fn point(point: CrashPoint) -> String {
    let moment = if point.moment == Moment::Before { "before" } else { "after" };
    format!("{moment} flush {}", point.flush)
}

fn times(n: usize) -> String {
    count(n, "time")
}

fn case(xml: &mut String, suite: &str, name: &str, time: Duration, failure: Option<&str>, said: Option<&str>) {
    let _ = write!(xml, r#"  <testcase classname="{suite}" name="{}" time="{:.3}""#, escaped(name), time.as_secs_f64());
    match (failure, said) {
        (Some(failure), _) => {
            let first = failure.lines().next().unwrap_or_default();
            let _ = writeln!(xml, ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>", escaped(first), escaped(failure));
        }
        (None, Some(said)) => {
            let _ = writeln!(xml, ">\n    <system-out>{}</system-out>\n  </testcase>", escaped(said));
        }
        (None, None) => xml.push_str("/>\n"),
    }
}

/// As text or attribute of XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_xml() {
        assert_eq!(escaped("a<b> & \"c\" \u{1b}[1m\u{0}\nü"), "a&lt;b&gt; &amp; &quot;c&quot; \u{fffd}[1m\u{fffd}\nü");
        let mut xml = String::new();
        case(&mut xml, "s", "n\"", Duration::from_millis(1500), Some("one <\ntwo"), None);
        assert!(xml.contains(r#"<failure message="one &lt;">one &lt;"#) && xml.contains(r#"time="1.500""#), "{xml}");
    }
}
