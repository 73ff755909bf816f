//! What an operator may write, and what is said of each mistake.

use std::time::Duration;

use super::*;
use crate::contract::Effect;
use crate::error::{Code, Error};
use crate::limits;

/// Reads this text as `dir/name`.
fn read(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<String>> {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("etc/project")).unwrap();
    let path = dir.join("etc").join(name);
    std::fs::write(&path, text).unwrap();
    let shown = |text: String| text.replace(dir.to_str().unwrap(), "DIR");
    match Config::read(&path) {
        Ok(config) => Ok(config.grants.iter().map(|g| shown(g.words())).collect()),
        Err(e) => Err(Error { message: shown(e.message.clone()), ..e }),
    }
}

const GOOD: &str = "[[grant]]\nkind = \"fs\"\nname = \"p\"\npath = \"./project\"\naccess = \"ro\"\n";

#[test]
fn grants_are_read_relative_to_the_file() {
    assert_eq!(read("reprise.toml", "").unwrap(), Vec::<String>::new());
    assert_eq!(read("reprise.toml", "# nothing yet\n").unwrap(), Vec::<String>::new());
    let own_name = GOOD.replace("name = \"p\"\n", "").replace("\"ro\"", "\"rw\"");
    assert_eq!(
        read("reprise.toml", format!("{GOOD}{own_name}")).unwrap(),
        ["p: read files below DIR/etc/project", "project: read and write files below DIR/etc/project"]
    );
}

#[test]
fn each_mistake_is_shown_with_its_line_and_what_would_be_right() {
    for (text, says) in [
        (GOOD.replace("\"ro\"", "\"wo\""), "DIR/etc/reprise.toml:5: access \"wo\" is neither \"ro\""),
        (
            GOOD.replace("\"fs\"", "\"tcp\""),
            "DIR/etc/reprise.toml:2: kind \"tcp\" is not of this version; the kinds are: \"fs\", \"http\", \"kv\", \"exec\"",
        ),
        (GOOD.replace("\"fs\"", "\"http\""), "DIR/etc/reprise.toml:5: a grant of kind \"http\" has no `access`; it has kind, name, origin"),
        (GOOD.replace("./project", "./none"), "DIR/etc/reprise.toml:4: the directory"),
        (GOOD.replace("\"p\"", "\"a/b\""), "DIR/etc/reprise.toml:3: \"a/b\" cannot name a grant"),
        (format!("{GOOD}\n{GOOD}"), "DIR/etc/reprise.toml:9: two grants are named \"p\""),
        (
            GOOD.replace("access", "acess"),
            "DIR/etc/reprise.toml:5: unknown field `acess`, expected one of `kind`, `name`, `path`, `access`, `origin`",
        ),
        (GOOD.replace("access = \"ro\"\n", ""), "DIR/etc/reprise.toml:1: missing field `access`"),
        (GOOD.replace("[[grant]]", "[[grants]]"), "DIR/etc/reprise.toml:1: unknown field `grants`, expected one of `grant`, `agent_tool`"),
        (GOOD.replace("\"p\"", "7"), "DIR/etc/reprise.toml:3: invalid type"),
        ("[[grant]]\nkind = ".to_owned(), "DIR/etc/reprise.toml:2: "),
    ] {
        let error = read("reprise.toml", &text).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfiguration, "{text}");
        assert!(error.message.starts_with(says), "{error}\ndoes not begin with {says}");
    }
}

#[test]
fn a_file_that_is_absent_not_text_or_too_large_is_refused() {
    assert_eq!(Config::read(Path::new("no/such/reprise.toml")).unwrap_err().code, Code::FileNotFound);
    assert!(read("reprise.toml", b"\n\n# caf\xe9").unwrap_err().message.ends_with("reprise.toml:3: not UTF-8 text"));
    let large = "#".repeat(usize::try_from(limits::CONFIG_BYTES_MAX).unwrap() + 1);
    assert_eq!(read("reprise.toml", large).unwrap_err().code, Code::TooLarge);
}

#[test]
fn a_file_that_a_job_could_write_is_refused() {
    let around = GOOD.replace("./project", ".").replace("\"ro\"", "\"rw\"");
    let error = read("production.toml", &around).unwrap_err();
    assert!(error.message.starts_with("DIR/etc/production.toml:4: this grant holds the configuration file itself"), "{error}");
    // The file tools never change a file of this name.
    assert!(read("reprise.toml", &around).is_ok());
    assert!(read("production.toml", around.replace("\"rw\"", "\"ro\"")).is_ok());
}

const KINDS: &str = r#"[[grant]]
kind = "kv"
name = "notes"
access = "ro"
to = ["search", "mail"]

[[grant]]
kind = "secret"
name = "pay-key"
secret = "key"
http = "pay.example"
place = "header:Authorization"

[[grant]]
kind = "http"
origin = "https://pay.example"
private = true
to = ["search"]

[[grant]]
kind = "exec"
program = "/bin/sh"
args = [
  "-c",
  "*",
]
directory = "p"

[[grant]]
kind = "fs"
name = "p"
path = "./project"
access = "ro"

[[grant]]
kind = "env"
variable = "LANG"
value = "C"
to = ["search"]

[[grant]]
kind = "clock"
to = ["search"]

[[grant]]
kind = "random"
name = "dice"
to = ["search"]
"#;

#[test]
fn every_kind_has_its_form_and_its_words() {
    let expected = [
        "notes: read keys in the space notes, for the tools of mail and search",
        "pay-key: put the secret key into the header authorization, toward pay.example",
        "pay.example: GET at https://pay.example, at a private address too, for the tools of search",
        "sh: run /bin/sh -c * in p/",
        "p: read files below DIR/etc/project",
        "LANG: see the variable LANG, for the tools of search",
        "clock: know the time, for the tools of search",
        "dice: draw random numbers, for the tools of search",
    ];
    assert_eq!(read("reprise.toml", KINDS).unwrap(), expected);
}

#[test]
fn each_mistake_in_any_kind_is_shown_with_its_line() {
    for (old, new, says) in [
        ("\"notes\"", "\"a/b\"", "3: \"a/b\" cannot name a grant"),
        ("name = \"notes\"\n", "", "1: missing field `name`"),
        ("\"mail\"", "\"Mail\"", "5: \"Mail\" is not a namespace"),
        ("secret = \"key\"\n", "", "7: missing field `secret`"),
        ("http = \"pay.example\"", "http = \"pay\"", "11: there is no grant of kind \"http\" named \"pay\"; grant that first"),
        ("http = \"pay.example\"", "http = \"p\"", "11: there is no grant of kind \"http\" named \"p\"; grant that first"),
        ("header:Authorization", "cookie", "12: \"cookie\" is no place for a secret"),
        ("private = true", "private = 1", "17: invalid type"),
        ("/bin/sh", "sh", "22: \"sh\" is not the absolute path of a program"),
        ("  \"*\"", "  \"a**\"", "25: \"a**\": ** stands for any further"),
        ("directory = \"p\"", "directory = \"q\"", "27: there is no grant of kind \"fs\" named \"q\"; grant that first"),
        ("directory = \"p\"\n", "", "20: missing field `directory`"),
        ("\"LANG\"", "\"LA=NG\"", "37: \"LA=NG\" cannot name a variable"),
        ("value = \"C\"\nto = [\"search\"]", "value = \"C\"", "35: a grant of kind \"env\" is of use to tool components alone"),
        (
            "kind = \"clock\"\nto = [\"search\"]",
            "kind = \"clock\"\nto = []",
            "43: a grant of kind \"clock\" is of use to tool components alone",
        ),
        ("name = \"dice\"", "value = \"6\"", "47: a grant of kind \"random\" has no `value`; it has kind, name and to"),
        ("name = \"dice\"", "name = \"clock\"", "47: two grants are named \"clock\""),
    ] {
        assert!(KINDS.contains(old), "{old}");
        let error = read("reprise.toml", KINDS.replace(old, new)).unwrap_err();
        let says = format!("DIR/etc/reprise.toml:{says}");
        assert!(error.message.starts_with(&says), "{error}\ndoes not begin with {says}");
    }
}

const ALL: &str = r#"
[[grant]]
kind = "http"
origin = "https://pay.example"
methods = ["GET", "POST"]
path = "/v1"
key_header = "X-Key"
reconcile = "/v1/by-key/{key}"

[[agent_tool]]
name = "agent/edit"
effect = "idempotent"
description = "Edits"

[[agent_tool]]
name = "agent/ask"

[concurrency]
tools = { "http/post" = 4, "agent/edit" = 1 }
playbooks = { "prepare-release" = 2 }

[scheduler]
lease_ms = 5000
running_max = 8

[planner]
kind = "template"

[[planner.template]]
goal = "refund {order} to {customer}"
graph = "refund.json"

[evidence]
signing_key = "evidence.key"
"#;

const CHAT: &str = r#"
[planner]
kind = "chat"
url = "http://127.0.0.1:9000/v1/"
model = "small"
api_key_env = "OPENAI_API_KEY"
timeout_ms = 5000
"#;

/// Reads this text beside the files that it names.
fn config(text: &str) -> Result<Config> {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("project")).unwrap();
    for file in ["refund.json", "evidence.key", "project/evidence.key"] {
        std::fs::write(dir.join(file), "").unwrap();
    }
    std::fs::write(dir.join(FILE_NAME), text).unwrap();
    Config::read(&dir.join(FILE_NAME)).map_err(|e| Error { message: e.message.replace(dir.to_str().unwrap(), "DIR"), ..e })
}

#[test]
fn everything_that_an_operator_says_is_carried() {
    let all = config(ALL).unwrap();
    assert_eq!(all.grants[0].words(), "pay.example: GET, POST at https://pay.example below /v1");
    let Grant::Http(grant) = &all.grants[0] else { panic!("{:?}", all.grants) };
    assert_eq!((grant.key_header.as_deref(), grant.reconcile.as_deref()), (Some("X-Key"), Some("/v1/by-key/{key}")));
    let agents: Vec<_> = all.agent_tools.iter().map(|t| (t.id.to_string(), t.effect, t.description.as_deref())).collect();
    assert_eq!(agents, [("agent/edit".to_owned(), Effect::Idempotent, Some("Edits")), ("agent/ask".to_owned(), Effect::Once, None)]);
    let most: Vec<_> = all.concurrency.tools.iter().map(|(id, most)| (id.to_string(), *most)).collect();
    assert_eq!(most, [("agent/edit".to_owned(), 1), ("http/post".to_owned(), 4)]);
    assert_eq!(all.concurrency.playbooks.values().collect::<Vec<_>>(), [&2]);
    assert_eq!(all.scheduler, SchedulerSettings { lease: Duration::from_secs(5), running_max: 8 });
    let Some(PlannerSettings::Template(templates)) = &all.planner else { panic!("{:?}", all.planner) };
    let (text, hole) = (|text: &str| GoalPart::Text(text.to_owned()), |name: &str| GoalPart::Placeholder(name.to_owned()));
    assert_eq!(templates[0].parts, [text("refund "), hole("order"), text(" to "), hole("customer")]);
    assert!(templates[0].graph.ends_with("refund.json") && all.signing_key.unwrap().ends_with("evidence.key"));

    let chat = config(CHAT).unwrap().planner.unwrap();
    let expected = ChatSettings {
        url: "http://127.0.0.1:9000/v1".to_owned(),
        model: "small".to_owned(),
        api_key_env: Some("OPENAI_API_KEY".to_owned()),
        timeout: Duration::from_secs(5),
    };
    assert_eq!(chat, PlannerSettings::Chat(expected));
    let empty = config("").unwrap();
    assert_eq!(empty, Config::empty());
    assert_eq!(empty.scheduler, SchedulerSettings { lease: Duration::from_secs(10), running_max: 64 });
}

#[test]
fn each_of_their_mistakes_is_shown_with_its_line_too() {
    let all = |old: &str, new: &str| {
        assert!(ALL.contains(old), "{old}");
        ALL.replace(old, new)
    };
    let chat = |old: &str, new: &str| {
        assert!(CHAT.contains(old), "{old}");
        CHAT.replace(old, new)
    };
    for (text, says) in [
        (all("https://pay.example", "pay.example"), "DIR/reprise.toml:4: \"pay.example\" is not an origin"),
        (all("\"POST\"", "\"TRACE\""), "DIR/reprise.toml:5: \"TRACE\" is not a method"),
        (all("[\"GET\", \"POST\"]", "[]"), "DIR/reprise.toml:5: methods is empty"),
        (all("\"/v1\"", "\"v1\""), "DIR/reprise.toml:6: the path \"v1\" does not begin with a slash"),
        (all("X-Key", "Host"), "DIR/reprise.toml:7: \"Host\" cannot carry"),
        (all("/{key}", ""), "DIR/reprise.toml:8: \"/v1/by-key\" cannot be asked"),
        (all("origin = \"https://pay.example\"\n", ""), "DIR/reprise.toml:2: missing field `origin`"),
        (all("agent/ask", "fs/ask"), "DIR/reprise.toml:16: fs/ask is not a tool that others perform"),
        (all("agent/ask", "agent/edit"), "DIR/reprise.toml:16: agent/edit stands twice"),
        (all("\"agent/ask\"", "\"ask\""), "DIR/reprise.toml:16: tool: \"ask\" is not two kebab-case words"),
        (all("\"idempotent\"", "\"twice\""), "DIR/reprise.toml:12: unknown variant `twice`"),
        (all("http/post", "http/pots"), "DIR/reprise.toml:19: there is no tool http/pots; there are exec/run, fs/list"),
        (all("= 4", "= 0"), "DIR/reprise.toml:19: 0 is not between 1 and 64"),
        (all("= 2", "= 65"), "DIR/reprise.toml:20: 65 is not between 1 and 64"),
        (all("= 5000", "= 10"), "DIR/reprise.toml:23: 10 is not between 1000 and 600000"),
        (all("= 8", "= -1"), "DIR/reprise.toml:24: -1 is not between 1 and 64"),
        (
            all("\"template\"", "\"magic\""),
            "DIR/reprise.toml:27: kind \"magic\" is not of this version; the kinds are: \"template\", \"chat\"",
        ),
        (all("\"template\"", "\"chat\""), "DIR/reprise.toml:30: a planner of kind \"chat\" has no templates"),
        (all("{customer}", "{order}"), "DIR/reprise.toml:30: the goal \"refund {order} to {order}\" has the placeholder \"order\" twice"),
        (
            all(" to {customer}", "{customer}"),
            "DIR/reprise.toml:30: the goal \"refund {order}{customer}\" has two placeholders with nothing",
        ),
        (all("{customer}", "{customer"), "DIR/reprise.toml:30: the goal \"refund {order} to {customer\" has a { without"),
        (all("{customer}", "}"), "DIR/reprise.toml:30: the goal \"refund {order} to }\" has a } without"),
        (all("{customer}", "{A b}"), "DIR/reprise.toml:30: the goal \"refund {order} to {A b}\" has a placeholder \"A b\""),
        (all("refund.json", "none.json"), "DIR/reprise.toml:31: the file \"none.json\" cannot be used"),
        (all("\"evidence.key\"", "\"project\""), "DIR/reprise.toml:34: DIR/project is not a file"),
        (chat("http://", "ftp://"), "DIR/reprise.toml:4: "),
        (chat("127", "me@127"), "DIR/reprise.toml:4: "),
        (chat("/v1/", "/v1?x=1"), "DIR/reprise.toml:4: "),
        (chat("\"small\"", "\"\""), "DIR/reprise.toml:5: a model's name has 1 to 128"),
        (chat("OPENAI_API_KEY", "sk-123"), "DIR/reprise.toml:6: api_key_env is the name of an environment variable, such as"),
        (chat("5000", "0"), "DIR/reprise.toml:7: 0 is not between 1 and"),
        (chat("model = \"small\"\n", ""), "DIR/reprise.toml:3: a planner of kind \"chat\" needs `model`"),
        (chat("\"chat\"", "\"template\""), "DIR/reprise.toml:4: a planner of kind \"template\" has no `url`"),
        ("[planner]\nkind = \"template\"\n".to_owned(), "DIR/reprise.toml:2: a planner of kind \"template\" needs at least one"),
    ] {
        let error = config(&text).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfiguration, "{text}");
        assert!(error.message.starts_with(says), "{error}\ndoes not begin with {says}");
        assert!(!error.message.contains("sk-123"), "{error}");
    }
}

#[test]
fn a_signing_key_that_a_job_could_read_is_refused() {
    let grant = "[[grant]]\nkind = \"fs\"\npath = \"project\"\naccess = \"ro\"\n";
    let error = config(&format!("{grant}[evidence]\nsigning_key = \"project/evidence.key\"\n")).unwrap_err();
    assert!(error.message.starts_with("DIR/reprise.toml:6: the key lies in the grant \"project\""), "{error}");
    assert!(config(&format!("{grant}[evidence]\nsigning_key = \"evidence.key\"\n")).is_ok());
}

#[test]
fn the_configuration_in_the_documentation_is_one() {
    for (page, grants) in [(include_str!("../../../docs/CLI.md"), 0), (include_str!("../../../docs/TOOLS.md"), 3)] {
        let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let read = config(&block.replace("/srv/handbook", ".")).unwrap_or_else(|e| panic!("{e}\n{block}"));
        assert_eq!(read.grants.len(), grants);
        assert_eq!(read.planner.is_some(), grants == 0);
    }
}
