//! What a recording file may say, and what is told about one that is wrong.

use super::*;
use proptest::prelude::*;

const RUN: &str = "{\"run\": {\"run_id\": \"r\", \"goal\": \"g\"}}\n";

fn check(file: &str, code: Code, message: &str) {
    match Recording::read(file.as_bytes()) {
        Ok(recording) => panic!("{file} was accepted: {recording:?}"),
        Err(e) => assert_eq!((e.code, e.message.as_str()), (code, message), "{file}"),
    }
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_would_be_right() {
    let first = "a recording begins with a line {\"run\": {\"goal\": \"...\"}}";
    for (file, message) in [
        ("", format!("line 1: {first}")),
        ("\n \n", format!("line 1: {first}")),
        ("\n{\"tool\": \"t\"}", format!("line 2: {first}")),
        ("[]", format!("line 1: {first}")),
        ("{\"run\": 3}", "line 1 /run: the number 3 stands here; it must be an object".to_owned()),
        ("{\"run\": {}}", "line 1 /run/goal: is missing".to_owned()),
        ("{\"run\": {\"goal\": \"g\"}, \"goal\": \"g\"}", "line 1: \"goal\" is not a field of the line of \"run\"".to_owned()),
        (
            "{\"run\": {\"goal\": \"g\", \"input\": {}}}",
            "line 1 /run: \"input\" is not a field of a run; did you mean \"inputs\"?".to_owned(),
        ),
        (
            "{\"run\": {\"goal\": \"g\", \"run_id\": \"a b\"}}",
            "line 1 /run/run_id: character ' ' is not allowed; an id has visible characters without \"/\"".to_owned(),
        ),
    ] {
        check(file, Code::InvalidRequest, &message);
    }
    for (line, message) in [
        ("{\"tool\": \"t\", \"inptu\": {}}", "line 2: \"inptu\" is not a field of a step; did you mean \"input\"?"),
        ("{\"tool_name\": \"t\"}", "line 2 /tool: is missing; line 2: \"tool_name\" is not a field of a step; did you mean \"tool\"?"),
        ("{\"tool\": \"t\", \"tool_input\": 1}", "line 2: \"tool_input\" is not a field of a step; did you mean \"input\"?"),
        ("{\"tool\": \"t\", \"colour\": 1}", "line 2: \"colour\" is not a field of a step"),
        (
            "{\"tool\": \"t\", \"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1}",
            "line 2: \"a\" is not a field of a step; line 2: \"b\" is not a field of a step; line 2: \"c\" is not a field of a step; and 1 more",
        ),
        ("{\"input\": 1}", "line 2 /tool: is missing"),
        ("[1]", "line 2: a list stands here; it must be an object"),
        ("\"x\"", "line 2: the text \"x\" stands here; it must be an object"),
        (
            "{\"tool\": \"t\", \"status\": \"ok\"}",
            "line 2 /status: the text \"ok\" is not one of \"success\", \"failed\", \"skipped\", \"partial\", \"pending\"",
        ),
        (
            "{\"tool\": \"t\", \"status\": \"pending\", \"output\": 1}",
            "line 2 /output: stands beside the status \"pending\", which says that nothing came of the step yet",
        ),
        ("{\"tool\": \"t\", \"step_index\": 0}", "line 2 /step_index: the number 0 is not a whole number from 1 to 4294967295"),
        (
            "{\"tool\": \"t\", \"step_id\": \"s\"}\n\n{\"tool\": \"t\", \"step_id\": \"s\"}",
            "line 4 /step_id: line 2 has the same; each step has its own",
        ),
        ("{\"run\": {\"goal\": \"g\"}}", "line 2: \"run\" stands on the first line alone; one file holds one run"),
        ("{\"end\": {}}", "line 2 /end/status: is missing"),
        (
            "{\"end\": {\"status\": \"success\", \"sumary\": \"\"}}",
            "line 2 /end: \"sumary\" is not a field of the end of a run; did you mean \"summary\"?",
        ),
        ("{\"end\": {\"status\": \"success\"}, \"tool\": \"t\"}", "line 2: \"tool\" is not a field of the line of \"end\""),
        (
            "{\"end\": {\"status\": \"success\"}}\n{\"tool\": \"t\"}",
            "line 3: the run has ended on a line before; {\"end\": ...} is the last line",
        ),
    ] {
        check(&(RUN.to_owned() + line), Code::InvalidRequest, message);
    }
    for (line, code, message) in [
        ("{\"tool\":", Code::InvalidJson, "line 2: EOF while parsing a value at column 8; each line is one whole JSON object"),
        (
            "{\"tool\": \"t\"} {\"tool\": \"t\"}",
            Code::InvalidJson,
            "line 2: trailing characters at column 15; each line is one whole JSON object",
        ),
        (
            "{\"tool\": \"t\", \"tool\": \"u\"}",
            Code::JsonDuplicateKey,
            "line 2: an object has the key \"tool\" twice; a key may stand once at column 26",
        ),
        (
            "{\"tool\": \"t\", \"input\": 18446744073709551616}",
            Code::JsonNumberNotExact,
            "line 2: 18446744073709551616 does not fit into 64 bits and would be rounded; send it as a string",
        ),
    ] {
        check(&(RUN.to_owned() + line), code, message);
    }
}

/// The blocks of the page that begin with this fence.
fn blocks<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let fence = format!("\n```{fence}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn the_page_about_recording_files_shows_what_is_accepted_and_what_errors_say() {
    let page = include_str!("../../../../docs/RECORDING.md");
    let accepted = blocks(page, "jsonl");
    assert_eq!(accepted.len(), 2);
    for file in accepted {
        Recording::read(file.as_bytes()).unwrap();
    }
    let (wrong, messages) = (blocks(page, "jsonl wrong"), blocks(page, "text"));
    assert_eq!((wrong.len(), messages.len()), (3, 3));
    for (file, message) in wrong.iter().zip(messages) {
        assert_eq!(Recording::read(file.as_bytes()).unwrap_err().message, message);
    }
}

#[test]
fn the_page_about_recording_files_names_every_field_of_every_line() {
    let page = include_str!("../../../../docs/RECORDING.md");
    let object = serde_json::json!({});
    let mut run = Fields::of(&object, "").unwrap();
    RunStart::from_fields(&mut run);
    let mut end = Fields::of(&object, "").unwrap();
    RunEnd::from_fields(&mut end, None);
    let mut step = Fields::of(&object, "").unwrap();
    step.index("step_index");
    step.choice("status", STATUS_NAMES);
    StepBefore::from_fields(&mut step, None, None, CALL_NAMES);
    StepAfter::from_fields(&mut step, None, None, None, RESULT_METADATA);
    for (title, fields) in [("### The run", run), ("### A step", step), ("### The end", end)] {
        let section = page.split(title).nth(1).unwrap().split("\n#").next().unwrap();
        for name in fields.names() {
            assert!(section.contains(&format!("`{name}`")), "{title} does not name {name}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_without_reading_on() {
    /// Endless spaces: a line without an end.
    struct Endless;
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
    let e = Recording::read(std::io::BufReader::new(RUN.as_bytes().chain(Endless))).unwrap_err();
    assert_eq!((e.code, e.message), (Code::TooLarge, "line 2: a line has at most 8388608 bytes".to_owned()));
    let lines = std::iter::repeat_n(" ".repeat(limits::RECORDING_LINE_BYTES_MAX - 1) + "\n", 33).collect::<String>();
    let e = Recording::read((RUN.to_owned() + &lines).as_bytes()).unwrap_err();
    assert_eq!((e.code, e.message), (Code::TooLarge, "line 33: a recording has at most 268435456 bytes".to_owned()));
    let steps = RUN.to_owned() + &"{\"tool\": \"t\"}\n".repeat(limits::RUN_STEPS_MAX + 1);
    check(&steps, Code::TooLarge, "line 2002: one run has at most 2000 steps");
    let value = format!("{RUN}{{\"tool\": \"t\", \"output\": \"{}\"}}", "x".repeat(limits::JSON_BYTES_MAX));
    check(&value, Code::TooLarge, "line 2 /output: has 1048578 bytes; at most 1048576 are allowed in one value");
}

#[test]
fn a_reader_that_fails_says_at_which_line() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let e = Recording::read(std::io::BufReader::new(RUN.as_bytes().chain(Broken))).unwrap_err();
    assert_eq!((e.code, e.message), (Code::StoreUnavailable, "line 2 cannot be read: the disk is gone".to_owned()));
}

#[test]
fn steps_count_by_their_order_from_where_a_line_says() {
    let lines = ["{\"tool\": \"a\"}", "{\"tool\": \"b\", \"step_index\": 5}", "{\"tool\": \"c\"}", "{\"tool\": \"d\", \"step_index\": 6}"];
    let recording = Recording::read((RUN.to_owned() + &lines.join("\r\n")).as_bytes()).unwrap();
    let run = recording.as_run(&Space::default_space(), 0);
    let indexes: Vec<_> = run.steps.iter().map(|step| (step.tool_name.as_str(), step.step_index, step.ordinal)).collect();
    assert_eq!(indexes, [("a", 1, 0), ("b", 5, 1), ("c", 6, 2), ("d", 6, 3)]);
}

#[test]
fn a_file_without_a_run_id_has_the_one_that_follows_from_what_it_says() {
    let id = |file: &str| Recording::read(file.as_bytes()).unwrap().run_id().to_string();
    let file = "{\"run\": {\"goal\": \"g\"}}\n{\"tool\": \"t\", \"input\": {\"a\": 1, \"b\": 2}}\n";
    let reformatted = "\u{feff}{ \"run\":{\"goal\":\"g\"} }\r\n\n{\"input\":{\"b\":2,\"a\":1},\"tool\":\"t\"}";
    assert_eq!(id(file), id(reformatted));
    for other in [file.replace("\"g\"", "\"h\""), file.replace('2', "3"), file.to_owned() + "{\"end\": {\"status\": \"success\"}}"] {
        assert_ne!(id(file), id(&other));
    }
    let recording = Recording::read((file.to_owned() + "{\"end\": {\"status\": \"success\"}}").as_bytes()).unwrap();
    let run_id = recording.run_id();
    assert_eq!((&recording.steps[0].before.run_id, &recording.end.as_ref().unwrap().run_id), (run_id, run_id));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(lines in prop::collection::vec(crate::runs::tests::any_object(), 0..4), junk in ".*") {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        for file in [&junk, &(RUN.to_owned() + &junk), &(RUN.to_owned() + &lines.join("\n"))] {
            let _ = Recording::read(file.as_bytes());
        }
    }
}
