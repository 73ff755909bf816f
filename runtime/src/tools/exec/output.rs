//! What a program says, as much of it as is kept.

use std::borrow::Cow;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::limits;
use crate::secrets::Scrubber;

/// The beginning of a stream. The rest is read and thrown away, so that the program does not wait for a reader.
#[derive(Default)]
pub(super) struct Captured {
    bytes: Vec<u8>,
    more: bool,
}

impl Captured {
    /// Reads to the end. What was read stays where this is dropped.
    pub(super) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; limits::EXEC_READ_BYTES];
        // A stream that breaks has ended.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let kept = read.min(limits::EXEC_OUTPUT_BYTES_MAX - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.more |= kept < read;
        }
    }

    /// Without secrets, and without the beginning of one whose rest was cut off. To be asked before anything more is cut.
    pub(super) fn without(self, secrets: &Scrubber) -> Captured {
        Captured { bytes: secrets.beginning(&self.bytes).into_owned(), ..self }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.more
    }

    /// As text; what is not UTF-8 is replaced by U+FFFD.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// The beginning of a text that has at most so many bytes within a JSON string.
pub(super) fn fitting(text: &str, bytes_max: usize) -> &str {
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, c)| {
        bytes += match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            c => c.len_utf8(),
        };
        bytes > bytes_max
    });
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_its_json_is_full() {
        for text in ["", "plain", "\"\\\n\r\t\u{8}\u{c}", "\u{0}\u{1b}[1m\u{7f}", "ü漢😀", "a\u{fffd}b"] {
            let json = serde_json::to_string(text).unwrap().len() - 2;
            assert_eq!(fitting(text, json), text);
            assert!(json == 0 || fitting(text, json - 1).len() < text.len(), "{text:?}");
            for most in 0..json {
                assert!(serde_json::to_string(fitting(text, most)).unwrap().len() - 2 <= most, "{text:?} {most}");
            }
        }
    }
}
