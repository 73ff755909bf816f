//! What stands for a secret wherever a guest, a journal or a person may look: `{{secret:NAME}}`.
//!
//! It knows how one is written and finds them in a text. It knows no secret.

use std::ops::Range;

use super::views::{Coding, View};
use crate::ids::SecretName;

const OPEN: &[u8] = b"{{secret:";
const CLOSE: &[u8] = b"}}";

/// `{{secret:NAME}}`.
#[must_use]
pub fn placeholder(name: &SecretName) -> String {
    format!("{{{{secret:{name}}}}}")
}

/// What begins like a placeholder in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub at: Range<usize>,
    /// The secret that it names; none where no name and no end follow its beginning.
    pub name: Option<SecretName>,
}

/// Each one in `text`, in order.
pub fn placeholders(text: &[u8]) -> impl Iterator<Item = Found> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let begin = from + find(&text[from..], OPEN)?;
        let rest = &text[begin + OPEN.len()..];
        // No longer than a name may be, so that a text full of beginnings takes no longer than its length.
        let near = &rest[..rest.len().min(SecretName::CHARS_MAX + CLOSE.len())];
        let named = find(near, CLOSE).and_then(|end| Some((end, SecretName::parse(str::from_utf8(&near[..end]).ok()?).ok()?)));
        let (end, name) = match named {
            Some((end, name)) => (begin + OPEN.len() + end + CLOSE.len(), Some(name)),
            None => (begin + OPEN.len(), None),
        };
        from = end;
        Some(Found { at: begin..end, name })
    })
}

/// Each one in `text`, whichever of its characters are coded so.
#[must_use]
pub fn placeholders_without(text: &[u8], coding: Option<Coding>) -> Vec<Found> {
    let plain = View::of(text);
    let view = coding.and_then(|coding| plain.without(coding)).unwrap_or(plain);
    placeholders(&view.bytes).map(|found| Found { at: view.in_source(found.at), ..found }).collect()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coded_placeholders_are_found_where_they_stand_in_the_source() {
        let text = b"a%20%7b{secret%3Ax}%7D {{secret:y}}";
        let places =
            |coding| placeholders_without(text, coding).into_iter().map(|found| (found.at.start, found.at.end)).collect::<Vec<_>>();
        assert_eq!(places(Some(Coding::Percent)), [(4, 22), (23, 35)]);
        assert_eq!((places(Some(Coding::Json)), places(None)), (vec![(23, 35)], vec![(23, 35)]));
    }

    #[test]
    fn placeholders_are_found_where_they_stand_and_broken_ones_are_told_apart() {
        for (text, expected) in [
            ("", vec![]),
            ("{{secret}} {secret:a} {{ secret:a}} {{Secret:a}}", vec![]),
            ("{{secret:a}}", vec![(0, 12, Some("a"))]),
            ("é{{secret:a.b_c-1}}}}{{secret:b}}", vec![(2, 20, Some("a.b_c-1")), (22, 34, Some("b"))]),
            ("{{secret:a}", vec![(0, 9, None)]),
            ("{{secret:}}", vec![(0, 9, None)]),
            ("{{secret:a b}} {{secret:..}}", vec![(0, 9, None), (15, 24, None)]),
            ("{{secret:{{secret:a}}", vec![(0, 9, None), (9, 21, Some("a"))]),
        ] {
            let found: Vec<(usize, usize, Option<String>)> =
                placeholders(text.as_bytes()).map(|f| (f.at.start, f.at.end, f.name.map(|name| name.to_string()))).collect();
            let expected: Vec<_> = expected.into_iter().map(|(from, to, name)| (from, to, name.map(str::to_owned))).collect();
            assert_eq!(found, expected, "{text}");
        }
        let longest = "n".repeat(SecretName::CHARS_MAX);
        let name = SecretName::parse(&longest).unwrap();
        assert_eq!(placeholders(placeholder(&name).as_bytes()).next().unwrap().name, Some(name));
        assert_eq!(placeholders(format!("{{{{secret:n{longest}}}}}").as_bytes()).next().unwrap().name, None);
    }
}
