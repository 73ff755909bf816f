//! Entry to bytes and back, for every kind, and what is refused.

use super::super::control::Decision;
use super::super::samples::*;
use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn an_entry_reads_back_as_it_was_and_seals_to_the_same_bytes(seq in 1u64.., at_ms: u64, body in any_body()) {
        let (entry, bytes) = seal(seq, at_ms, Digest::of(b"before"), body);
        let again = decode(&bytes).unwrap();
        prop_assert_eq!(&again, &entry);
        prop_assert_eq!(again.hash, Digest::of(&bytes));
        prop_assert_eq!(seal(again.seq, again.at_ms, again.prev, again.body).1, bytes);
    }

    #[test]
    fn bytes_that_were_cut_are_no_entry(body in any_body(), keep in 0.0..1.0) {
        let (_, bytes) = seal(1, 2, Digest::of(b"before"), body);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a part of a small length")]
        let kept = (bytes.len() as f64 * keep) as usize;
        prop_assert!(matches!(decode(&bytes[..kept]), Err(Unreadable::Damaged(_))));
    }
}

#[test]
fn a_detail_of_null_is_not_a_missing_detail() {
    for detail in [None, Some(parsed("null"))] {
        let error = ToolError { kind: ErrorKind::Failed, message: String::new(), detail: detail.clone() };
        let failure = Failure { step: None, message: String::new(), detail, cause: Cause::Playbook };
        for body in [
            Body::Returned { call: 1, answer: Answer::Error(error.clone()) },
            resolved(1, Decision::Fail(error)),
            Body::Cancelled(Cancelled { failure: Some(failure), fuel_used: 0 }),
        ] {
            let (entry, bytes) = seal(1, 2, Digest::of(b"before"), body);
            assert_eq!(decode(&bytes).unwrap(), entry);
        }
    }
}

#[test]
fn a_field_that_no_kind_has_is_refused_in_every_kind() {
    for body in one_of_each_kind() {
        let kind = body.kind();
        let (_, bytes) = seal(1, 2, Digest::of(b"before"), body);
        let text = String::from_utf8(bytes).unwrap();
        let cut = text.strip_suffix("}}}").unwrap_or_else(|| panic!("{kind}: {text}"));
        let unreadable = decode(format!("{cut},\"later\":1}}}}}}").as_bytes()).unwrap_err();
        assert!(unreadable.to_string().contains("unknown field `later`"), "{kind}: {unreadable}");
    }
}

#[test]
fn what_is_no_entry_of_this_form_says_why() {
    let (_, bytes) = seal(1, 2, Digest::of(b"before"), called(1, Effect::Once));
    let good = String::from_utf8(bytes).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        good.replace(from, to)
    };
    for (text, why) in [
        (changed(r#"{"v":2,"#, r#"{"v":4,"#), "form 4 was written by a newer version"),
        (changed(r#"{"v":2,"#, r#"{"v":0,"#), "form 0"),
        (changed(r#"{"v":2,"#, r#"{ "v":2,"#), "form 2 does not begin with"),
        (changed(r#""call":1"#, r#""call":-1"#), "invalid value"),
        (changed(r#""call":1"#, r#""call":1,"later":true"#), "unknown field `later`"),
        (changed(r#""call":1"#, r#""call":1,"call":1"#), "duplicate field"),
        (changed(r#""called""#, r#""slept""#), "unknown variant `slept`"),
        (changed(r#""fs/write""#, r#""fs_write""#), "not two kebab-case words"),
        (changed(r#""once""#, r#""twice""#), "unknown variant `twice`"),
        (changed(r#""inline":{"#, r#""inline":{,"#), "key must be a string"),
        (format!("{good}{good}"), "trailing characters"),
        (String::new(), "EOF"),
    ] {
        let unreadable = decode(text.as_bytes()).unwrap_err();
        assert!(unreadable.to_string().contains(why), "{text}: {unreadable}");
    }
    let newer = changed(r#"{"v":2,"#, r#"{"v":4,"#);
    assert_eq!(Error::from(decode(newer.as_bytes()).unwrap_err()).code, Code::DataDirTooNew);
    assert_eq!(Error::from(decode(b"{}").unwrap_err()).code, Code::DataCorrupt);
    assert!(decode(&[b"{\"v\":2,\"seq\":\"".as_slice(), &[0xff]].concat()).is_err());
}
