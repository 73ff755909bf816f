//! A text as it reads once an encoding is taken off, with the way back to where each byte stood.
//!
//! It decodes what programs put around values on their way (JSON escapes, percent-encoding, HTML references) and takes everything else
//! as it is: no text is wrong here. It does not know what is looked for.

use std::borrow::Cow;
use std::ops::Range;

/// What can be taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Escapes within a JSON string.
    Json,
    /// `%41`.
    Percent,
    /// As in a form: percent-encoded, with `+` for a space.
    Form,
    /// `&amp;`, `&#39;`, `&#x27;`.
    Html,
}

/// A text, perhaps decoded.
pub(super) struct View<'t> {
    pub(super) bytes: Cow<'t, [u8]>,
    /// Where each byte begins in the source, and at last where the source ends; none where it is the source.
    starts: Option<Vec<usize>>,
}

impl<'t> View<'t> {
    /// The text as it is.
    pub(super) fn of(text: &'t [u8]) -> View<'t> {
        View { bytes: Cow::Borrowed(text), starts: None }
    }

    /// Where in the source `range` of this view stands.
    pub(super) fn in_source(&self, range: Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    fn start(&self, at: usize) -> usize {
        self.starts.as_ref().map_or(at, |starts| starts[at])
    }

    /// Without this coding; none where the text has nothing of it.
    pub(super) fn without(&self, coding: Coding) -> Option<View<'static>> {
        let text = &*self.bytes;
        let marks: &[u8] = match coding {
            Coding::Json => b"\\",
            Coding::Percent => b"%",
            Coding::Form => b"+",
            Coding::Html => b"&",
        };
        // Most texts have none.
        text.iter().position(|byte| marks.contains(byte))?;
        let (mut bytes, mut starts) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
        let (mut at, mut changed) = (0, false);
        while at < text.len() {
            let rest = &text[at..];
            let decoded = match coding {
                Coding::Json => json(rest),
                Coding::Percent => percent(rest),
                Coding::Form if rest[0] == b'+' => Some((Decoded::of(b' '), 1)),
                Coding::Form => percent(rest),
                Coding::Html => html(rest),
            };
            changed |= decoded.is_some();
            let (decoded, taken) = decoded.unwrap_or((Decoded::of(rest[0]), 1));
            bytes.extend_from_slice(decoded.bytes());
            starts.resize(bytes.len(), self.start(at));
            at += taken;
        }
        starts.push(self.start(text.len()));
        changed.then_some(View { bytes: Cow::Owned(bytes), starts: Some(starts) })
    }
}

/// Up to the four bytes of a character.
struct Decoded {
    bytes: [u8; 4],
    length: usize,
}

impl Decoded {
    fn of(byte: u8) -> Decoded {
        Decoded { bytes: [byte, 0, 0, 0], length: 1 }
    }

    fn character(c: char) -> Decoded {
        let mut bytes = [0; 4];
        let length = c.encode_utf8(&mut bytes).len();
        Decoded { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What the beginning of `text` stands for, and how many bytes of it do.
fn json(text: &[u8]) -> Option<(Decoded, usize)> {
    let [b'\\', escape, ..] = text else { return None };
    let plain = match escape {
        b'"' | b'\\' | b'/' => *escape,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unit(text).and_then(|first| unicode(first, &text[6..])),
        _ => return None,
    };
    Some((Decoded::of(plain), 2))
}

/// The four hex digits of `\uXXXX`.
fn unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text else { return None };
    number(digits.get(..4)?, 16)
}

/// One unit of UTF-16, or two where the first needs the one in `rest`.
fn unicode(first: u32, rest: &[u8]) -> Option<(Decoded, usize)> {
    if let Some(c) = char::from_u32(first) {
        return Some((Decoded::character(c), 6));
    }
    let second = unit(rest).filter(|unit| (0xdc00..0xe000).contains(unit))?;
    let high = first.checked_sub(0xd800).filter(|high| *high < 0x400)?;
    let c = char::from_u32(0x10000 + (high << 10) + (second - 0xdc00))?;
    Some((Decoded::character(c), 12))
}

fn percent(text: &[u8]) -> Option<(Decoded, usize)> {
    let [b'%', digits @ ..] = text else { return None };
    let byte = u8::try_from(number(digits.get(..2)?, 16)?).ok()?;
    Some((Decoded::of(byte), 3))
}

fn html(text: &[u8]) -> Option<(Decoded, usize)> {
    /// `&#x0010ffff;`
    const LONGEST: usize = 12;
    let [b'&', ..] = text else { return None };
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let c = match &text[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((Decoded::character(c), end + 1))
}

/// Digits and nothing else, which `from_str_radix` alone would not see to.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let text = str::from_utf8(digits).ok().filter(|text| text.chars().all(|c| c.is_digit(radix)))?;
    u32::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coding_is_taken_off_and_leads_back_to_the_source() {
        for (coding, source, expected) in [
            (Coding::Json, r#"a\"b\\c\/d\n\u00e9\ud83d\ude00\u0041"#, Some("a\"b\\c/d\né😀A")),
            (Coding::Json, r"\x \u12 \ud83d \", None),
            (Coding::Json, r"\x\n\u12", Some("\\x\n\\u12")),
            (Coding::Percent, "a%20b%c3%A9%2", Some("a bé%2")),
            (Coding::Percent, "100% %zz %+1", None),
            (Coding::Form, "a+b%2B", Some("a b+")),
            (Coding::Html, "&lt;&amp;&gt;&quot;&#39;&#x27;&apos;&nbsp;&#0000000000000065;&", Some("<&>\"'''&nbsp;&#0000000000000065;&")),
            (Coding::Html, "plain", None),
        ] {
            let view = View::of(source.as_bytes()).without(coding);
            assert_eq!(view.as_ref().map(|view| str::from_utf8(&view.bytes).unwrap()), expected, "{source}");
            if let Some(view) = view {
                assert_eq!(view.in_source(0..view.bytes.len()), 0..source.len(), "{source}");
            }
        }
        let view =
            View::of(br#"x\\u0041%41"#).without(Coding::Json).unwrap().without(Coding::Json).unwrap().without(Coding::Percent).unwrap();
        assert_eq!(&*view.bytes, b"xAA");
        assert_eq!((view.in_source(0..1), view.in_source(1..2), view.in_source(2..3)), (0..1, 1..8, 8..11));
    }
}
