//! One line of CSV: fields joined by commas; one that holds a comma or a quote stands in quotes, with its quotes doubled.

/// The fields as a line, with its end.
pub fn line(fields: &[&str]) -> String {
    let quoted = |field: &&str| {
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { (*field).to_owned() }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// The fields of a line; none where a quote is not closed, or something follows a closed one.
pub fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
            }
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// Where the first quote stands that is not one of two.
fn closing_quote(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].find('"')?;
        if !text[at + 1..].starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for written in [&["a", "b"][..], &[""], &["", ""], &["a,b", "\"", "\"\"", ",\",", "ä"]] {
            let line = line(written);
            assert_eq!(fields(line.trim_end_matches('\n')).unwrap(), written, "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for wrong in ["\"a", "\"a\"b", "\"a\"\"", "x,\""] {
            assert_eq!(fields(wrong), None, "{wrong}");
        }
    }
}
