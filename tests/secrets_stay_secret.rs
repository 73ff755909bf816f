//! A secret reaches the server that it is for, and is found nowhere else: not in a file of the data directory, not in the log, the
//! journal, the evidence or any answer, in no form in which the server sends it back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use reprise::contract::{ErrorKind, Outcome, ToolId};
use reprise::ids::SecretName;
use reprise::json::Json;
use reprise::secrets::{SecretText, Secrets};
use reprise::store::Store;
use reprise::tools::{Grant, Grants, Registry, Surroundings};
use serde_json::{Value, json};

use crate::support::cli::{Place, Ran, Served};
use crate::support::counter::{Counter, Seen, When};
use crate::support::server::Server;

/// It has what JSON, URLs and HTML write in another way, and is still fit for a header.
const CANARY: &str = "canary\"7f\\%2F&<+>=~/4711";

/// Base64 of `bytes` in this alphabet's last two letters, without padding.
fn base64(bytes: &[u8], last: [u8; 2]) -> String {
    let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last).collect();
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)).collect();
    bits.chunks(6).map(|six| char::from(alphabet[(0..6).fold(0, |n, at| n << 1 | usize::from(*six.get(at).unwrap_or(&0)))])).collect()
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => all.push(char::from(byte)),
            _ => write!(all, "%{byte:02x}").unwrap(),
        }
        all
    })
}

fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('/', "&#x2F;")
}

/// The canary in the forms that the documentation promises to find, each by a name.
fn forms() -> Vec<(&'static str, String)> {
    let mut forms = vec![
        ("plain", CANARY.to_owned()),
        ("json", quoted(CANARY)),
        ("json in json", quoted(&quoted(CANARY))),
        ("percent", percent(CANARY)),
        ("percent, upper case", percent(CANARY).to_uppercase().replace("CANARY", "canary").replace("7F", "7f")),
        ("percent twice", percent(&percent(CANARY))),
        ("html", html(CANARY)),
        ("hex", hex::encode(CANARY)),
        ("hex, upper case", hex::encode_upper(CANARY)),
    ];
    for before in ["", "u", "ab"] {
        for last in [*b"+/", *b"-_"] {
            forms.push(("base64", base64(format!("{before}:{CANARY}\n").as_bytes(), last)));
        }
    }
    forms
}

/// What no text may hold: the forms, of base64 only the middle, since the letters at its ends are its neighbours' too.
fn traces() -> Vec<(&'static str, String)> {
    forms()
        .into_iter()
        .map(|(name, form)| if name == "base64" { (name, form[4..form.len() - 4].to_owned()) } else { (name, form) })
        .collect()
}

fn assert_clean(what: &str, bytes: &[u8]) {
    for (name, form) in traces() {
        let at = bytes.windows(form.len()).position(|window| window == form.as_bytes());
        assert!(at.is_none(), "{what} holds the secret ({name}) at {at:?}");
    }
}

/// Answers with all that came, and with the secret in every form.
fn echo(status: u16) -> impl Fn(&Seen) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    move |seen| {
        let came = format!("{:?} {} {}", seen.headers, seen.query, seen.body);
        let all: Vec<String> = forms().into_iter().map(|(_, form)| form).collect();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-request-id", seen.headers.get("authorization").cloned().unwrap_or_default()),
            ("etag", percent(CANARY)),
        ];
        (status, headers, json!({ "came": came, "forms": all, "page": all.join("<br>"), CANARY: 1 }).to_string().into())
    }
}

fn set(place: &Place, name: &str, value: &str) -> Ran {
    let mut command = place.command(&["secrets", "set", name]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses at once does not read.
    let _ = child.stdin.take().unwrap().write_all(value.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A place with a server's configuration: everything that is sent to `counter` may carry the canary, in a header, the query or the body.
fn place(counter: &Counter) -> Place {
    let place = Place::new();
    let mut config = format!(
        "[[grant]]\nkind = \"http\"\nname = \"api\"\norigin = \"{}\"\nmethods = [\"GET\", \"PUT\", \"POST\"]\nreconcile = \"/asked/{{key}}\"\n",
        counter.origin()
    );
    for (n, place) in ["header:Authorization", "query:key", "body"].iter().enumerate() {
        write!(config, "[[grant]]\nkind = \"secret\"\nname = \"s{n}\"\nsecret = \"canary\"\nhttp = \"api\"\nplace = \"{place}\"\n")
            .unwrap();
    }
    place.file("data/reprise.toml", &config);
    place
}

/// A server that logs as much as it can to a file.
fn served(place: &Place) -> Served {
    let mut command = place.through_shell("exec 2>>server.log;", &["--json", "serve", "--listen", "127.0.0.1:0"]);
    Served::from(command.env(
        "REPRISE_LOG",
        "debug,reprise=trace,reqwest=trace,hyper=trace,hyper_util=trace,cranelift_codegen=warn,wasmtime=warn,regalloc2=warn",
    ))
}

fn files(directory: &Path, each: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, each) } else { each(&path, &std::fs::read(&path).unwrap()) }
    }
}

fn node(id: &str, tool: &str, url: &str) -> Value {
    let headers = json!({"authorization": "Bearer {{secret:canary}}"});
    json!({"id": id, "kind": "tool", "tool": tool, "input": {"url": url, "headers": headers}})
}

/// A graph that looks, fails, changes something, is killed in a call, and has an uncertain call asked after.
fn graph(counter: &Counter) -> Value {
    let look = node("look", "http/get", &counter.url("/echo?key={{secret:canary}}"));
    let mut fail = node("fail", "http/get", &counter.url("/fail"));
    fail["on_failure"] = json!("continue");
    let mut post = node("post", "http/post", &counter.url("/echo"));
    post["input"]["body"] = json!({"token": "{{secret:canary}}", "n": 1});
    let mut slow = node("slow", "http/put", &counter.url("/slow"));
    slow["input"]["headers"]["content-type"] = json!("application/x-www-form-urlencoded");
    slow["input"]["body"] = json!("a=1&token={{secret:canary}}");
    let asked = node("asked", "http/post", &counter.url("/asked"));
    let output = json!({"look": {"$from": "look"}, "post": {"$from": "post"}, "slow": {"$from": "slow"}, "asked": {"$from": "asked"}});
    json!({"graph_version": 1, "goal": "use a secret", "nodes": [look, fail, post, slow, asked], "output": output})
}

#[test]
fn a_secret_that_a_server_sends_back_in_every_form_is_found_nowhere() {
    let counter = Counter::start();
    counter.reply("/echo", Arc::new(echo(200)));
    counter.reply("/fail", Arc::new(echo(422)));
    counter.reply("/slow", Arc::new(echo(200)));
    counter.reply("/asked", Arc::new(echo(200)));
    counter.cut("/asked", 1, When::After);
    let place = place(&counter);
    let ran = set(&place, "canary", &format!("{CANARY}\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_clean("what is printed", ran.stdout.as_bytes());

    let held = counter.hold("/slow", When::Before);
    let mut first = served(&place);
    let request = json!({"graph": graph(&counter), "idempotency_key": "one"});
    let (status, job) = first.post("/v1/jobs", &request).unwrap();
    assert_eq!(status, 202, "{job:#}");
    held.wait_until_held(1);
    first.child.kill();
    held.release();
    let second = served(&place);
    let mut waiting = request.clone();
    waiting["wait_ms"] = json!(50_000);
    let (_, done) = second.post("/v1/jobs", &waiting).unwrap();
    assert_eq!(done["status"], "completed", "{done:#}");
    let id = job["job_id"].as_str().unwrap();

    // The server did get it, in all three places.
    let seen = counter.seen();
    let bearer = format!("Bearer {CANARY}");
    assert!(seen.len() >= 6 && seen.iter().all(|seen| seen.headers["authorization"] == bearer), "{seen:#?}");
    let in_url = percent(CANARY).replace("%7e", "~").to_lowercase();
    let of = |path: &str, method: &str| seen.iter().find(|seen| seen.path == path && seen.method == method).unwrap();
    assert_eq!(of("/echo", "GET").query.to_lowercase(), format!("key={in_url}"));
    assert_eq!(serde_json::from_str::<Value>(&of("/echo", "POST").body).unwrap(), json!({"token": CANARY, "n": 1}));
    assert_eq!(of("/slow", "PUT").body.to_lowercase(), format!("a=1&token={in_url}"));
    assert_eq!(counter.count("PUT", "/slow"), 2, "it was made again after the kill");
    let question = seen.iter().find(|seen| seen.path.starts_with("/asked/")).unwrap();
    assert_eq!(question.method, "GET", "what became of the call that got no answer was asked, with the secret");

    // Whatever can be asked about the job.
    let output = done["output"].to_string();
    assert!(output.contains("Bearer {{secret:canary}}") && output.contains("{{secret:canary}}\":1"), "{output}");
    for path in ["", "/journal?limit=500", "/evidence", "/replay", "/why/4"] {
        let (status, answer) = second.get(&format!("/v1/jobs/{id}{path}"));
        assert_eq!(status, 200, "{path}: {answer:#}");
        assert!(answer.to_string().contains("{{secret:canary}}"), "{path} has what the job did");
        assert_clean(path, answer.to_string().as_bytes());
        place.file(&format!("asked{}.json", path.split('?').next().unwrap().replace('/', "-")), &answer.to_string());
    }
    drop(second);
    for arguments in [
        &["jobs", "show", id][..],
        &["jobs", "journal", id],
        &["jobs", "why", id, "4"],
        &["secrets", "list"],
        &["--json", "secrets", "list"],
        &["--json", "grants", "list"],
    ] {
        let ran = place.run(arguments);
        assert_clean(&format!("{arguments:?}"), format!("{}{}", ran.stdout, ran.stderr).as_bytes());
    }
    let mut found = Vec::new();
    let mut log = 0;
    files(&place.path(""), &mut |path, bytes| {
        assert_clean(&path.display().to_string(), bytes);
        if bytes.windows(17).any(|window| window == b"{{secret:canary}}") {
            found.push(path.to_owned());
        }
        log += if path.ends_with("server.log") { bytes.len() } else { 0 };
    });
    assert!(found.iter().any(|path| path.starts_with(place.path("data/sled"))), "the journal is there to be searched: {found:?}");
    assert!(log > 10_000, "the log is there to be searched: {log} bytes");
}

/// Calls of tools that may use secrets, without a server around them.
struct Job {
    registry: Registry,
    grants: Grants,
    runtime: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
}

impl Job {
    fn new(grants: &[Value]) -> Job {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&Store::open(data.path()).unwrap()).unwrap();
        runtime.block_on(secrets.set(&SecretName::parse("canary").unwrap(), SecretText::new(CANARY.to_owned()))).unwrap();
        let grants: Vec<Grant> = grants.iter().map(|grant| serde_json::from_value(grant.clone()).unwrap()).collect();
        let registry = Registry::within(&Surroundings { secrets, ..Surroundings::default() });
        Job { registry, grants: Grants::open(&grants).unwrap(), runtime, _data: data }
    }

    fn get(&self, url: &str) -> Outcome {
        let input = json!({"url": url, "headers": {"authorization": "Bearer {{secret:canary}}"}, "redirects": 3});
        self.runtime.block_on(self.registry.call(&ToolId::parse("http/get").unwrap(), "k", &Json::from(&input), &self.grants))
    }
}

#[test]
fn a_redirect_takes_no_secret_to_another_server() {
    let (own, other) = (Counter::start(), Counter::start());
    own.json("/here", &json!("here"));
    other.json("/there", &json!("there"));
    let elsewhere = other.url("/there");
    let redirect = |path: &str, to: String| own.answer(path, 302, "", &[("location", &to)], "");
    redirect("/near", own.url("/here"));
    redirect("/far", elsewhere.clone());
    redirect("/leak", format!("{elsewhere}?key={}", percent(CANARY)));
    redirect("/deep", format!("{elsewhere}/{}", base64(CANARY.as_bytes(), *b"-_")));
    let job = Job::new(&[
        json!({"kind": "http", "name": "own", "origin": own.origin(), "methods": ["GET"]}),
        json!({"kind": "http", "name": "other", "origin": other.origin(), "methods": ["GET"]}),
        json!({"kind": "secret", "name": "key", "secret": "canary", "http": "own", "place": "header:Authorization"}),
    ]);

    assert_eq!(job.get(&own.url("/near")).unwrap().value()["body"], "here");
    assert_eq!(own.seen().last().unwrap().headers["authorization"], format!("Bearer {CANARY}"), "within one server it goes along");
    assert_eq!(job.get(&own.url("/far")).unwrap().value()["body"], "there");
    assert!(!other.seen()[0].headers.contains_key("authorization"), "{:?}", other.seen());
    for path in ["/leak", "/deep"] {
        let error = job.get(&own.url(path)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert_clean("the error", error.to_string().as_bytes());
    }
    assert_eq!(other.seen().len(), 1, "what the one server wrote into the place did not reach the other");
    let error = job.get(&elsewhere).unwrap_err();
    assert!(error.kind == ErrorKind::Denied && error.message.contains("toward other"), "{error}");
    assert_eq!(other.seen().len(), 1);
}

#[test]
fn only_an_operator_sets_lists_and_removes_and_no_answer_repeats_a_value() {
    let server = Server::start();
    let value = json!({"value": CANARY});
    let with = |method: &str, path: &str, token: &str, body: Option<&Value>| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        server.send(method, path, if token.is_empty() { &headers[1..] } else { &headers }, body.map(|body| body.to_string().into_bytes()))
    };
    for (method, path, body) in
        [("PUT", "/v1/secrets/canary", Some(&value)), ("DELETE", "/v1/secrets/canary", None), ("GET", "/v1/secrets", None)]
    {
        with(method, path, "", body).refused(401, "operator_token_missing");
        with(method, path, "wrong", body).refused(403, "operator_token_wrong");
    }
    assert_eq!(server.operator("GET", "/v1/secrets", None).ok(), json!({"secrets": []}), "nothing was set");

    let first = server.operator("PUT", "/v1/secrets/canary", Some(&value));
    assert_eq!((first.status, &first.json()["bytes"]), (201, &json!(CANARY.len())));
    assert_eq!(server.operator("PUT", "/v1/secrets/canary", Some(&json!({"value": "another value"}))).status, 200);
    let again = server.operator("PUT", "/v1/secrets/canary", Some(&value));
    let list = server.operator("GET", "/v1/secrets", None);
    let grant = json!({"kind": "http", "origin": "https://api.example"});
    server.operator("PUT", "/v1/grants/api", Some(&grant)).ok();
    let grant = json!({"kind": "secret", "secret": "canary", "http": "api", "place": "body"});
    server.operator("PUT", "/v1/grants/uses-it", Some(&grant)).ok();
    assert_eq!(server.operator("GET", "/v1/secrets", None).ok()["secrets"][0]["grants"], json!(["uses-it"]));
    let refusals: Vec<_> = [
        json!({"value": &CANARY[..7]}),
        json!({"value": format!("{CANARY}{{{{secret:x}}}}")}),
        json!({"value": [CANARY]}),
        json!({"value": CANARY.repeat(3000)}),
        json!({"value": CANARY, "more": CANARY}),
        json!({"valeu": CANARY}),
        json!({}),
    ]
    .iter()
    .map(|body| server.operator("PUT", "/v1/secrets/canary", Some(body)))
    .collect();
    for answer in refusals.iter().chain([&first, &again, &list]) {
        assert_clean("an answer", &answer.bytes);
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("canary\\\""), "{:?}", String::from_utf8_lossy(&answer.bytes));
    }
    assert!(refusals.iter().all(|answer| matches!(answer.status, 400 | 413)), "{refusals:?}");
    // There is no way to read one.
    assert_eq!(server.send("GET", "/v1/secrets/canary", &[], None).status, 405);

    assert_eq!(server.operator("DELETE", "/v1/secrets/canary", None).ok()["bytes"], CANARY.len());
    server.operator("DELETE", "/v1/secrets/canary", None).refused(404, "secret_not_found");
}

#[test]
fn the_command_line_takes_a_value_from_where_nobody_else_reads_it() {
    let place = Place::new();
    assert_eq!(set(&place, "canary", &format!("{CANARY}\r\n")).code, 0);
    let bytes = || place.json(0, &["secrets", "list"])["secrets"][0]["bytes"].clone();
    assert_eq!(bytes(), CANARY.len(), "without the end of the line");
    let ran = crate::support::cli::finished(place.command(&["secrets", "set", "canary", "--from-env", "TOKEN"]).env("TOKEN", "12345678\n"));
    assert_eq!((ran.code, bytes()), (0, json!(9)), "a variable is taken as it is: {ran:?}");
    for (arguments, code, says) in [
        (&["secrets", "set", "canary", "--from-env", "NOT_THERE"][..], 2, "the variable NOT_THERE is not set"),
        (&["secrets", "set", "canary"], 2, "has 0 bytes; a secret has at least 8"),
        (&["secrets", "set", "canary", CANARY], 2, "unexpected argument"),
        (&["secrets", "set", "a/b"], 2, "cannot name a secret"),
        (&["secrets", "remove", "other"], 3, "no secret other; there are canary"),
    ] {
        let ran = place.run(arguments);
        assert!(ran.code == code && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }

    let key = place.path("data/secrets.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    for arguments in [&["jobs", "list"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let ran = place.run(arguments);
        assert!(ran.code == 6 && ran.stderr.contains("others may use it (mode 640); set it to 600"), "{arguments:?}: {ran:?}");
    }
    mode(0o600);
    place.ok(&["jobs", "list"]);
    std::fs::write(&key, "00".repeat(32)).unwrap();
    let ran = place.run(&["jobs", "list"]);
    assert!(ran.code == 6 && ran.stderr.contains("the secret canary does not open under"), "{ran:?}");
    assert_eq!(bytes(), 9, "it is listed all the same");
    place.ok(&["secrets", "remove", "canary"]);
    place.ok(&["jobs", "list"]);
}
