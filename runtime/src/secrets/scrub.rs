//! Takes secrets out of a text: each place where one stands, in whichever form, becomes its placeholder.
//!
//! It is asked about everything that comes back to guests, journals and logs, so that it must be quick where there is nothing to find:
//! one look at each byte, however many secrets there are. A form begins with eight bytes, which are looked up in a small table of
//! bits; only where that has them is more compared.
//!
//! The rule that must stay true: what it gives holds no form of a secret that it knows, and it changes nothing else. Text inside a
//! placeholder is left alone, so that scrubbing twice is scrubbing once.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::forms::{Form, forms, is_base64};
use super::placeholder::{Found, placeholder, placeholders};
use super::views::{Coding, View};
use crate::contract::{Confirmation, Outcome, Reconciliation, ToolError};
use crate::ids::SecretName;
use crate::json::Json;
use crate::limits;

/// Bytes that every form begins with.
const HEAD: usize = limits::SECRET_BYTES_MIN;
/// Bits of the table: with some two thousand heads in it, one byte in thirty is looked at more closely.
const TABLE_BITS: usize = 1 << 16;

/// What programs do to a text on its way, from the outside in. A body is JSON; a string in it may be JSON, a URL or a page again.
const CODINGS: [&[Coding]; 8] = [
    &[Coding::Json],
    &[Coding::Json, Coding::Json],
    &[Coding::Json, Coding::Percent],
    &[Coding::Json, Coding::Html],
    &[Coding::Percent],
    &[Coding::Percent, Coding::Percent],
    &[Coding::Form],
    &[Coding::Html],
];

/// Knows what to look for. The default looks for nothing.
#[derive(Default)]
pub struct Scrubber {
    names: Vec<SecretName>,
    /// Each form, and which secret it is one of.
    forms: Vec<(Form, usize)>,
    /// What each begins with, and which it is; sorted, of the same beginning the longest first.
    heads: Zeroizing<Vec<(u64, usize)>>,
    table: Vec<u64>,
}

/// One place where a secret stands.
struct Match {
    at: Range<usize>,
    secret: usize,
}

impl Scrubber {
    /// For these secrets, each at least [`limits::SECRET_BYTES_MIN`] bytes long.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = (&'s SecretName, &'s str)>) -> Scrubber {
        let mut scrubber = Scrubber::default();
        for (name, value) in secrets {
            let secret = scrubber.names.len();
            scrubber.names.push(name.clone());
            scrubber.forms.extend(forms(value.as_bytes()).into_iter().map(|form| (form, secret)));
        }
        if scrubber.forms.is_empty() {
            return scrubber;
        }
        scrubber.table = vec![0; TABLE_BITS / 64];
        for (n, (form, _)) in scrubber.forms.iter().enumerate() {
            let head = head_of(&form.bytes).expect("no form is shorter than the shortest secret");
            scrubber.heads.push((head, n));
            let bit = bit_of(head);
            scrubber.table[bit / 64] |= 1 << (bit % 64);
        }
        let forms = &scrubber.forms;
        scrubber.heads.sort_by_key(|(head, n)| (*head, Reverse(forms[*n].0.bytes.len())));
        scrubber
    }

    /// True where there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// `text` without secrets.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.clean_text(text, false)
    }

    fn clean_text<'t>(&self, text: &'t str, cut: bool) -> Cow<'t, str> {
        match self.replaced(text.as_bytes(), cut) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => {
                Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
            }
        }
    }

    /// `text` without secrets.
    #[must_use]
    pub fn bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        self.replaced(text, false)
    }

    /// As [`Scrubber::bytes`], for the beginning of a text whose rest was cut off: a secret of which only the first eight bytes or more
    /// are left at its end is taken out, too.
    #[must_use]
    pub fn beginning<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        self.replaced(text, true)
    }

    /// A document without secrets, in its keys and values. A number that is one becomes a string.
    #[must_use]
    pub fn json(&self, json: &Json) -> Json {
        let text = json.as_str();
        // Without a backslash, each string stands in the text as it is. With one, only the strings themselves tell.
        if self.is_empty() || (!text.contains('\\') && self.find(text.as_bytes(), false).is_empty()) {
            return json.clone();
        }
        Json::from(&self.value(json.value()))
    }

    /// As [`Scrubber::json`].
    #[must_use]
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(values) => Value::Array(values.into_iter().map(|value| self.value(value)).collect()),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (self.text(&name).into_owned(), self.value(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Number(number) => match self.text(&number.to_string()) {
                Cow::Borrowed(_) => Value::Number(number),
                Cow::Owned(text) => Value::String(text),
            },
            other @ (Value::Null | Value::Bool(_)) => other,
        }
    }

    /// What a call came to, without secrets.
    pub fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Ok(output) => Ok(self.json(&output)),
            Err(error) => Err(self.error(error)),
        }
    }

    /// An error without secrets.
    #[must_use]
    pub fn error(&self, error: ToolError) -> ToolError {
        let detail = error.detail.map(|detail| self.json(&detail));
        // One as long as a message may be was perhaps cut.
        let cut = error.message.chars().count() >= limits::GUEST_MESSAGE_CHARS_MAX;
        ToolError { kind: error.kind, message: self.clean_text(&error.message, cut).into_owned(), detail }
    }

    /// What became of a call, without secrets.
    #[must_use]
    pub fn reconciliation(&self, reconciliation: Reconciliation) -> Reconciliation {
        match reconciliation {
            Reconciliation::Happened(output) => Reconciliation::Happened(self.json(&output)),
            Reconciliation::DidNotHappen => Reconciliation::DidNotHappen,
            Reconciliation::Unknown(why) => Reconciliation::Unknown(self.text(&why).into_owned()),
        }
    }

    /// Whether an answer still holds, without secrets.
    #[must_use]
    pub fn confirmation(&self, confirmation: Confirmation) -> Confirmation {
        match confirmation {
            Confirmation::Holds => Confirmation::Holds,
            Confirmation::Changed(what) => Confirmation::Changed(self.text(&what).into_owned()),
            Confirmation::Unknown(why) => Confirmation::Unknown(self.text(&why).into_owned()),
        }
    }

    fn replaced<'t>(&self, text: &'t [u8], cut: bool) -> Cow<'t, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut matches = self.find(text, cut);
        if matches.is_empty() {
            return Cow::Borrowed(text);
        }
        // Those that begin first, and of these the longest.
        matches.sort_by_key(|found| (found.at.start, Reverse(found.at.end)));
        let mut clean = Vec::with_capacity(text.len());
        let mut done = 0;
        for found in matches {
            if found.at.start >= done {
                clean.extend_from_slice(&text[done..found.at.start]);
                clean.extend_from_slice(placeholder(&self.names[found.secret]).as_bytes());
            }
            // One that begins within another ends it later.
            done = done.max(found.at.end);
        }
        clean.extend_from_slice(&text[done..]);
        Cow::Owned(clean)
    }

    /// Where secrets stand in `text`, as it is and without what may be put around them; in no order.
    fn find(&self, text: &[u8], cut: bool) -> Vec<Match> {
        let mut matches = Vec::new();
        let plain = View::of(text);
        self.look(&plain, cut, &mut matches);
        for codings in CODINGS {
            let [first, rest @ ..] = codings else { continue };
            let view = rest.iter().fold(plain.without(*first), |view, coding| view?.without(*coding));
            if let Some(view) = view {
                self.look(&view, cut, &mut matches);
            }
        }
        if !matches.is_empty() {
            // What only looks like a placeholder may have a secret in the place of a name.
            let ours = |found: &Found| found.name.as_ref().is_some_and(|name| self.names.contains(name));
            let ours: Vec<Range<usize>> = placeholders(text).filter(ours).map(|found| found.at).collect();
            matches.retain(|found| !ours.iter().any(|ours| ours.start <= found.at.start && found.at.end <= ours.end));
        }
        matches
    }

    fn look(&self, view: &View<'_>, cut: bool, matches: &mut Vec<Match>) {
        let text = &*view.bytes;
        for at in 0..(text.len() + 1).saturating_sub(HEAD) {
            let Some(head) = head_of(&text[at..]) else { break };
            let bit = bit_of(head);
            if self.table[bit / 64] & (1 << (bit % 64)) == 0 {
                continue;
            }
            let begin = self.heads.partition_point(|(other, _)| *other < head);
            for (_, n) in self.heads[begin..].iter().take_while(|(other, _)| *other == head) {
                let (form, secret) = &self.forms[*n];
                let rest = &text[at..];
                let there = if rest.starts_with(&form.bytes) {
                    form.bytes.len()
                } else if cut && form.bytes.starts_with(rest) {
                    rest.len()
                } else {
                    continue;
                };
                let before = form.shares_before && at > 0 && is_base64(text[at - 1]);
                let after = form.shares_after && text.get(at + there).is_some_and(|byte| is_base64(*byte));
                let place = at - usize::from(before)..at + there + usize::from(after);
                matches.push(Match { at: view.in_source(place), secret: *secret });
            }
        }
    }
}

fn head_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<HEAD>().map(|head| u64::from_ne_bytes(*head))
}

/// Its place in the table.
fn bit_of(head: u64) -> usize {
    // Fibonacci hashing: the highest bits of the product depend on all of the head.
    let hash = head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS.trailing_zeros());
    usize::try_from(hash).expect("16 bits fit")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "sk-live.4242";
    const ODD: &str = "pé%41&<\"\\/+ =\n';x";

    fn scrubber() -> Scrubber {
        let names = ["odd", "part", "pin", "token"].map(|name| SecretName::parse(name).unwrap());
        Scrubber::new(names.iter().zip([ODD, "live.4242 and more", "1234567890", TOKEN]))
    }

    fn scrubbed(text: &str) -> String {
        let scrubber = scrubber();
        let once = scrubber.text(text).into_owned();
        assert_eq!(scrubber.text(&once), once, "twice is once");
        once
    }

    #[test]
    fn each_place_becomes_the_placeholder_and_the_rest_stays() {
        for (text, expected) in [
            ("", ""),
            ("nothing of note: sk-live.424", "nothing of note: sk-live.424"),
            ("sk-live.4242", "{{secret:token}}"),
            ("é sk-live.4242sk-live.4242;", "é {{secret:token}}{{secret:token}};"),
            // One that begins within another goes with it.
            ("sk-live.4242 and more", "{{secret:token}}"),
            ("a {{secret:token}} b", "a {{secret:token}} b"),
            ("{{secret:sk-live.4242}}", "{{secret:{{secret:token}}}}"),
        ] {
            assert_eq!(scrubbed(text), expected, "{text}");
        }
    }

    #[test]
    fn every_usual_coding_of_a_secret_is_found() {
        let json = serde_json::to_string(ODD).unwrap();
        let ascii = r#"pé%41\u0026\u003c\"\\\/+ =\n\u0027;x"#;
        for (text, expected) in [
            (ODD.to_owned(), "{{secret:odd}}"),
            (json.clone(), "\"{{secret:odd}}\""),
            (format!("\"{ascii}\""), "\"{{secret:odd}}\""),
            (serde_json::to_string(&json).unwrap(), r#""\"{{secret:odd}}\"""#),
            ("?a=p%C3%A9%2541%26%3C%22%5C%2F%2B%20%3D%0A%27%3Bx&b=1".to_owned(), "?a={{secret:odd}}&b=1"),
            ("?a=p%c3%a9%2541&%3c%22%5c/%2b%20=%0a%27;x&b=1".to_owned(), "?a={{secret:odd}}&b=1"),
            ("a=p%C3%A9%2541%26%3C%22%5C%2F%2B+%3D%0A%27%3Bx&b=a+b".to_owned(), "a={{secret:odd}}&b=a+b"),
            ("%70%25C3%25A9%252541%2526%253C%2522%255C%252F%252B%2520%253D%250A%2527%253Bx".to_owned(), "{{secret:odd}}"),
            ("<b>pé%41&amp;&lt;&quot;\\/+ =\n&#39;;x</b>".to_owned(), "<b>{{secret:odd}}</b>"),
            ("<b>p&#233;%41&#38;&#x3c;&#34;\\/+ =&#10;&#x27;;x</b>".to_owned(), "<b>{{secret:odd}}</b>"),
            (hex::encode(TOKEN), "{{secret:token}}"),
            (hex::encode_upper(TOKEN), "{{secret:token}}"),
            // Base64 of "sk-live.4242", and of "u:sk-live.4242", "me:sk-live.4242" and "me2:sk-live.4242\n", as in Basic.
            ("c2stbGl2ZS40MjQy".to_owned(), "{{secret:token}}"),
            ("Basic dTpzay1saXZlLjQyNDI=".to_owned(), "Basic dT{{secret:token}}="),
            ("Basic bWU6c2stbGl2ZS40MjQy".to_owned(), "Basic bWU6{{secret:token}}"),
            ("Basic bWUyOnNrLWxpdmUuNDI0Mgo=".to_owned(), "Basic bWUyO{{secret:token}}o="),
        ] {
            assert_eq!(scrubbed(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_document_is_scrubbed_in_keys_values_numbers_and_json_within_strings() {
        let inner = serde_json::to_string(&json!({ "deep": serde_json::to_string(ODD).unwrap() })).unwrap();
        let document = json!({ TOKEN: [TOKEN, { "x": format!("a {ODD} b") }], "pin": 1_234_567_890, "near": 123_456_789, "inner": inner });
        let clean = scrubber().json(&Json::from(&document)).value();
        assert_eq!(clean["{{secret:token}}"], json!(["{{secret:token}}", { "x": "a {{secret:odd}} b" }]));
        assert_eq!((&clean["pin"], &clean["near"]), (&json!("{{secret:pin}}"), &json!(123_456_789)));
        assert_eq!(clean["inner"], r#"{"deep":"\"{{secret:odd}}\""}"#);
        let innocent = Json::from(&json!({ "a": "b\\c" }));
        assert_eq!(scrubber().json(&innocent), innocent);
    }

    #[test]
    fn of_a_text_that_was_cut_off_no_half_secret_is_left() {
        let beginning = |text: &str| String::from_utf8(scrubber().beginning(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(beginning("key sk-live.424"), "key {{secret:token}}");
        assert_eq!(beginning("key sk-live."), "key {{secret:token}}");
        assert_eq!(beginning("key sk-live.424 "), "key sk-live.424 ");
        assert_eq!(scrubbed("key sk-live.424"), "key sk-live.424", "a whole text ends as it ends");
    }

    #[test]
    fn without_secrets_nothing_is_looked_for() {
        let none = Scrubber::default();
        assert!(none.is_empty() && none.text(TOKEN) == TOKEN);
        assert_eq!(none.json(&Json::from(&json!(TOKEN))).as_str(), "\"sk-live.4242\"");
    }
}
