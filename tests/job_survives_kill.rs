//! The process is killed for real at every place of a job; it is taken up again, and nothing is lost or done twice.
//!
//! A kill inside a read needs a file whose reading blocks, and the file tools refuse those (pipes, devices); a read has
//! no entry on disk before it is done, so that to resume there is what `after_any_call` covers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use super::support::cli::{Child, PATIENCE, Place, Served, agent, assert_chained, calls, post};

/// Every file tool, twice where it changes something.
const EVERY_TOOL: &str = r#"{"run": {"run_id": "every-tool", "goal": "use every file tool", "inputs": {"word": "recorded-word"}}}
{"tool": "fs/list", "input": {"path": "project"}, "output": {"path": "project", "entries": []}}
{"tool": "fs/read", "input": {"path": "project/log.txt"}, "output": {"path": "project/log.txt", "bytes": 4, "text": "END\n"}}
{"tool": "fs/write", "input": {"path": "project/out/new.txt", "text": "recorded-word", "create_dirs": true}, "output": {}}
{"tool": "fs/replace", "input": {"path": "project/log.txt", "old": "END", "new": "recorded-word\nEND"}, "output": {}}
{"tool": "fs/remove", "input": {"path": "project/old.txt"}, "output": {}}
{"tool": "fs/replace", "input": {"path": "project/log.txt", "old": "END", "new": "recorded-word again\nEND"}, "output": {}}
{"tool": "fs/write", "input": {"path": "project/last.txt", "text": "recorded-word at last"}, "output": {}}
{"tool": "fs/read", "input": {"path": "project/log.txt"}, "output": {"path": "project/log.txt", "text": "all"}}
{"end": {"status": "success"}}
"#;
const CALLS: u64 = 8;

fn tree(place: &Place, directory: &str) {
    place.file(&format!("{directory}/log.txt"), "END\n");
    place.file(&format!("{directory}/old.txt"), "old");
    place.file(&format!("{directory}/last.txt"), "before");
}

/// `reprise run every-tool` on `directory`, as a process that can be heard and killed.
fn start(place: &Place, directory: &str, arguments: &[&str]) -> Child {
    let grant = format!("fs:project={directory}");
    let run = ["--json", "run", "every-tool", "--input", r#"{"word":"zebra"}"#, "--follow", "--grant", &grant];
    Child::start(&mut place.command(&[&run, arguments].concat()))
}

fn started(child: &mut Child) -> String {
    child.hear(|line| line.get("job_id").is_some())["job_id"].as_str().unwrap().to_owned()
}

fn undisturbed(place: &Place) -> BTreeMap<String, String> {
    tree(place, "undisturbed");
    let done = place.json(0, &["run", "every-tool", "--input", r#"{"word":"zebra"}"#, "--grant", "fs:project=undisturbed"]);
    assert_eq!((&done["status"], &done["usage"]["calls"]), (&json!("completed"), &json!(CALLS)));
    place.tree("undisturbed")
}

/// A job whose process was killed, and the directory that it works on.
struct Killed {
    job: String,
    directory: String,
}

/// Runs a job and kills its process in the pause behind `call`. None where the machine was so busy that the kill came too
/// late for that: then again with more time.
fn killed_behind(place: &Place, call: u64, attempt: u64) -> Option<Killed> {
    let directory = format!("behind-{call}-{attempt}");
    tree(place, &directory);
    let mut child = start(place, &directory, &["--pace", &(100 << attempt).to_string()]);
    let job = started(&mut child);
    child.hear(|entry| if call == 0 { entry["kind"] == "created" } else { entry["kind"] == "returned" && entry["call"] == call });
    child.kill();
    let last = place.journal(&job).pop().unwrap();
    (call == 0 && last["kind"] == "created" || last["kind"] == "returned" && last["call"] == call).then_some(Killed { job, directory })
}

#[test]
fn after_any_call_it_goes_on_behind_it_and_comes_to_the_same() {
    let place = Place::new();
    place.playbook("every-tool", EVERY_TOOL);
    let expected = undisturbed(&place);
    for call in 0..CALLS {
        let killed = (0..6).find_map(|attempt| killed_behind(&place, call, attempt)).expect("a kill lands in a pause of seconds");
        let done = place.json(0, &["jobs", "resume", &killed.job]);
        assert_eq!(done["status"], "completed", "{done:#}");
        assert_eq!(done["usage"]["attempts"], if call == 0 { 1 } else { 2 }, "killed behind call {call}");
        assert_every_call_stands_once(&place.journal(&killed.job));
        assert_eq!(place.tree(&killed.directory), expected, "killed behind call {call}");
    }
}

fn assert_every_call_stands_once(journal: &[Value]) {
    assert_chained(journal);
    let (numbers, keys): (Vec<u64>, BTreeSet<String>) = calls(journal).into_iter().unzip();
    assert_eq!(numbers, (1..=CALLS).collect::<Vec<_>>());
    assert_eq!(keys.len() as u64, CALLS, "each call has a key of its own");
}

/// Starts a job that comes to wait inside `call` for a lock on `file`, and kills its process there.
fn killed_inside(place: &Place, call: u64, file: &str) -> String {
    tree(place, "work");
    let held = File::open(place.path("work").join(file)).unwrap();
    held.lock().unwrap();
    let mut child = start(place, "work", &[]);
    let job = started(&mut child);
    child.hear(|entry| entry["kind"] == "called" && entry["call"] == call);
    child.kill();
    let last = place.journal(&job).pop().unwrap();
    assert_eq!((&last["kind"], &last["call"]), (&json!("called"), &json!(call)), "it was killed inside the call");
    job
}

#[test]
fn inside_an_idempotent_call_it_repeats_the_call_under_the_same_key() {
    let place = Place::new();
    place.playbook("every-tool", EVERY_TOOL);
    let expected = undisturbed(&place);
    let job = killed_inside(&place, 7, "last.txt");
    let before = place.journal(&job);
    assert_eq!((&before.last().unwrap()["tool"], &before.last().unwrap()["effect"]), (&json!("fs/write"), &json!("idempotent")));
    assert_eq!(place.tree("work")["last.txt"], "before");

    let done = place.json(0, &["jobs", "resume", &job]);
    assert_eq!((&done["status"], &done["usage"]["attempts"]), (&json!("completed"), &json!(2)));
    assert_eq!(place.tree("work"), expected);
    let after = place.journal(&job);
    assert_every_call_stands_once(&after);
    assert_eq!(after[..before.len()], before, "what was written stays");
    let kinds: Vec<&Value> = after[before.len()..].iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds[..2], ["resumed", "returned"], "the call that was under way is answered, not asked anew");
}

#[test]
fn inside_a_call_that_must_not_be_repeated_the_tool_is_asked_what_became_of_it() {
    let place = Place::new();
    place.playbook("every-tool", EVERY_TOOL);
    let expected = undisturbed(&place);
    let job = killed_inside(&place, 4, "log.txt");
    let before = place.journal(&job);
    assert_eq!((&before.last().unwrap()["tool"], &before.last().unwrap()["effect"]), (&json!("fs/replace"), &json!("once")));

    let done = place.json(0, &["jobs", "resume", &job]);
    assert_eq!(done["status"], "completed");
    assert_eq!(place.tree("work"), expected, "it was made once");
    let journal = place.journal(&job);
    assert_chained(&journal);
    let told: Vec<(&Value, &Value)> = journal[before.len()..].iter().map(|entry| (&entry["kind"], &entry["decision"])).take(4).collect();
    let none = Value::Null;
    let expected = [("resumed", &none), ("uncertain", &none), ("resolved", &json!("retry")), ("called", &none)];
    assert_eq!(told, expected.map(|(kind, decision)| (json!(kind), decision)).iter().map(|(k, d)| (k, *d)).collect::<Vec<_>>());
    assert_eq!(journal[before.len() + 3]["key"], before.last().unwrap()["key"], "under the same name");
}

const APPEND: &str = r#"{"run": {"run_id": "append", "goal": "leave a mark", "inputs": {"file": "recorded-file", "mark": "recorded-mark"}}}
{"tool": "fs/read", "input": {"path": "project/recorded-file"}, "output": {"text": "END\n"}}
{"tool": "fs/replace", "input": {"path": "project/recorded-file", "old": "END", "new": "recorded-mark\nEND"}, "output": {}}
{"tool": "fs/write", "input": {"path": "project/recorded-file.done", "text": "recorded-mark"}, "output": {}}
{"tool": "fs/read", "input": {"path": "project/recorded-file"}, "output": {"text": "all"}}
{"end": {"status": "success"}}
"#;
const ROUNDS: usize = 10;
const JOBS_A_ROUND: usize = 24;
const CLIENTS: usize = 3;

/// What a client asks for to have a mark left in a file of its own.
fn order(name: &str) -> Value {
    json!({"playbook_id": "append", "input": {"file": name, "mark": format!("mark of {name}")}, "idempotency_key": name})
}

/// Sends orders until the server goes away; the accepted jobs by name. `heard` learns of each at once.
fn send(url: &str, names: &[String], heard: &Sender<()>) -> BTreeMap<String, String> {
    let agent = agent();
    let accept = |name: &String| {
        let (status, job) = post(&agent, url, "/v1/jobs", &order(name))?;
        assert!(status == 202 || status == 200, "{status} {job}");
        let _ = heard.send(());
        Some((name.clone(), job["job_id"].as_str().unwrap().to_owned()))
    };
    names.iter().map_while(accept).collect()
}

/// Kills a server at some moment while clients order jobs; the jobs that it had accepted.
fn kill_while_clients_order(server: &mut Served, names: &[String], accepted_before: usize) -> BTreeMap<String, String> {
    let (heard, hearing) = channel();
    let url = server.url.clone();
    std::thread::scope(|scope| {
        let clients: Vec<_> = names
            .chunks(names.len() / CLIENTS)
            .map(|names| {
                let (url, heard) = (url.as_str(), heard.clone());
                scope.spawn(move || send(url, names, &heard))
            })
            .collect();
        for _ in 0..accepted_before {
            hearing.recv_timeout(PATIENCE).expect("orders are accepted");
        }
        server.child.kill();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_no_job_and_does_nothing_twice() {
    let place = Place::new();
    place.playbook("append", APPEND);
    std::fs::create_dir(place.path("work")).unwrap();
    let grant = ["--grant", "fs:project=work"];
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..JOBS_A_ROUND).map(|n| format!("file-{round}-{n}")).collect();
        for name in &names {
            place.file(&format!("work/{name}"), "END\n");
        }
        let moment = usize::try_from(RandomState::new().hash_one(round) % (JOBS_A_ROUND as u64 + 1)).unwrap();
        let accepted = kill_while_clients_order(&mut Served::start(&place, &grant), &names, moment);
        assert!(accepted.len() >= moment);
        // Again, while it takes them up.
        Served::start(&place, &grant).child.kill();

        let server = Served::start(&place, &grant);
        for (name, job) in &accepted {
            assert_eq!(server.get(&format!("/v1/jobs/{job}")).0, 200, "{name} was accepted in round {round} and is lost");
        }
        for name in &names {
            let mut waiting = order(name);
            waiting["wait_ms"] = json!(50_000);
            let (_, job) = server.post("/v1/jobs", &waiting).unwrap();
            assert!(accepted.get(name).is_none_or(|accepted| job["job_id"] == *accepted), "{name} is another job now");
            let marks = std::fs::read_to_string(place.path(&format!("work/{name}"))).unwrap().matches("mark of").count();
            let status = job["status"].as_str().unwrap().to_owned();
            match status.as_str() {
                "completed" => assert_eq!(marks, 1, "round {round}: {job:#}"),
                "uncertain" => assert!(marks <= 1, "round {round}: {marks} marks: {job:#}"),
                _ => panic!("round {round}: {job:#}"),
            }
            *statuses.entry(status).or_default() += 1;
        }
    }
    println!("killed {} times: {statuses:?}", 2 * ROUNDS);
    let listed = place.json(0, &["jobs", "list", "--limit", "500"]);
    assert_eq!(listed["jobs"].as_array().unwrap().len(), ROUNDS * JOBS_A_ROUND, "one job for each order");
}
