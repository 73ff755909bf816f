//! The forms in which a secret is looked for: as it is, in hex, and in base64 with whatever stands before and after it.
//!
//! ```text
//! base64 of ..K E Y..   each letter carries 6 bits, so the letters in the middle depend on the key alone; the one at each
//!                       end may carry bits of its neighbour, too, and is replaced along with the rest
//! ```
//!
//! What JSON, URLs and HTML put around these is taken off before; see `views`.

use zeroize::Zeroizing;

use crate::limits;

/// What is looked for.
pub(super) struct Form {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// A letter of base64 before it carries some of it.
    pub(super) shares_before: bool,
    /// A letter of base64 behind it carries some of it.
    pub(super) shares_after: bool,
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// True for a letter of either alphabet.
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// Every form of a secret. None is shorter than the secret itself, and so than [`limits::SECRET_BYTES_MIN`].
pub(super) fn forms(value: &[u8]) -> Vec<Form> {
    debug_assert!(value.len() >= limits::SECRET_BYTES_MIN, "shorter ones are refused when they are set");
    let whole = |bytes: Vec<u8>| Form { bytes: Zeroizing::new(bytes), shares_before: false, shares_after: false };
    let mut forms = vec![whole(value.to_vec()), whole(hex::encode(value).into()), whole(hex::encode_upper(value).into())];
    for alphabet in [STANDARD, URL_SAFE] {
        forms.extend((0..3).map(|before| base64(value, before, alphabet)));
    }
    // Both alphabets write most values alike.
    forms.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    forms.dedup_by(|a, b| a.bytes == b.bytes);
    forms
}

/// The letters that `value` alone decides where `before` bytes stand in front of it, modulo three.
fn base64(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Form {
    let (begin, end) = (before * 8, before * 8 + value.len() * 8);
    let (first, last) = (begin.div_ceil(6), end / 6);
    let bit = |at: usize| (value[at / 8 - before] >> (7 - at % 8)) & 1;
    let letter = |n: usize| alphabet[usize::from((n * 6..n * 6 + 6).fold(0, |letter, at| letter << 1 | bit(at)))];
    Form { bytes: Zeroizing::new((first..last).map(letter).collect()), shares_before: begin % 6 != 0, shares_after: end % 6 != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        forms(value.as_bytes()).iter().map(|form| String::from_utf8(form.bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_forms_are_those_of_the_standards() {
        // Base64 of "x?>hunter2~~", "xx..", "xxx.." by RFC 4648.
        let found = texts("hunter2~~??");
        for expected in [
            "hunter2~~??",
            "68756e746572327e7e3f3f",
            "68756E746572327E7E3F3F",
            // aHVudGVyMn5+Pz8=
            "aHVudGVyMn5+Pz",
            "aHVudGVyMn5-Pz",
            // eGh1bnRlcjJ+fj8/
            "h1bnRlcjJ+fj8/",
            "h1bnRlcjJ-fj8_",
            // eHhodW50ZXIyfn4/Pw==
            "odW50ZXIyfn4/P",
            "odW50ZXIyfn4_P",
        ] {
            assert!(found.iter().any(|form| form == expected), "{expected} is not in {found:?}");
        }
        assert_eq!(found.len(), 9);
        assert_eq!(texts("abcdefgo").len(), 6, "letters that both alphabets write alike are looked for once");
        assert!(texts("abcdefgo").iter().all(|form| form.len() >= limits::SECRET_BYTES_MIN));
    }
}
