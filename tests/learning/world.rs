//! A directory, a web server and a program that a task is done in. What an agent and a playbook do there is real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use reprise::contract::{Outcome, ToolId};
use reprise::json::Json;
use reprise::tools::{Grant, Grants, Registry};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::counter::Counter;

/// The name under which jobs and agents see the directory.
pub const PROJECT: &str = "project";

/// How a world is at the beginning, and what an agent is given there.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The run's inputs, and the job's.
    pub inputs: BTreeMap<String, Value>,
    /// Files by their path below the project.
    pub files: BTreeMap<String, String>,
    /// What the server answers, by path and query: one answer for each request, the last one from then on.
    pub pages: BTreeMap<String, Vec<Page>>,
}

/// One answer of the server.
#[derive(Debug, Clone)]
pub struct Page {
    pub kind: &'static str,
    pub body: String,
}

/// The pages of a scene, and how many times each was asked for.
#[derive(Default)]
struct Pages {
    told: BTreeMap<String, Vec<Page>>,
    asked: BTreeMap<String, usize>,
}

/// A place that one scene after the other is set up in.
pub struct World {
    dir: TempDir,
    server: Counter,
    pages: Arc<Mutex<Pages>>,
    registry: Registry,
    grants: Grants,
}

impl Scene {
    pub fn input(&mut self, name: &str, value: impl Into<Value>) {
        self.inputs.insert(name.to_owned(), value.into());
    }

    pub fn file(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.files.insert(path.into(), text.into());
    }

    pub fn page(&mut self, path: impl Into<String>, kind: &'static str, body: impl Into<String>) {
        self.pages.entry(path.into()).or_default().push(Page { kind, body: body.into() });
    }

    /// The inputs as a job takes them.
    pub fn inputs(&self) -> Value {
        self.inputs.clone().into_iter().collect()
    }
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(PROJECT)).unwrap();
        let (server, pages) = (Counter::start(), Arc::new(Mutex::new(Pages::default())));
        let told = Arc::clone(&pages);
        server.reply(
            "",
            Arc::new(move |seen| {
                let target = if seen.query.is_empty() { seen.path.clone() } else { format!("{}?{}", seen.path, seen.query) };
                match told.lock().unwrap().next(&target) {
                    Some(page) => (200, vec![("content-type", page.kind.to_owned())], page.body.into_bytes()),
                    None => (404, vec![], Vec::new()),
                }
            }),
        );
        let project = dir.path().join(PROJECT).canonicalize().unwrap();
        let grants = Grants::open(&grants(&project, &server.origin())).unwrap();
        World { dir, server, pages, registry: Registry::builtin(), grants }
    }

    /// What an operator grants to whoever works here.
    pub fn grants(&self) -> Vec<Grant> {
        grants(&self.project(), &self.server.origin())
    }

    pub fn origin(&self) -> String {
        self.server.origin()
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join(PROJECT).canonicalize().unwrap()
    }

    /// Takes everything away and sets the scene up.
    pub fn set_up(&self, scene: &Scene) {
        let project = self.project();
        for entry in std::fs::read_dir(&project).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        for (path, text) in &scene.files {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            std::fs::create_dir_all(project.join(directory)).unwrap();
            // A path that ends in a slash is a directory.
            if !name.is_empty() {
                std::fs::write(project.join(path), text).unwrap();
            }
        }
        *self.pages.lock().unwrap() = Pages { told: scene.pages.clone(), asked: BTreeMap::new() };
    }

    /// Every file and empty directory with its content.
    pub fn files(&self) -> BTreeMap<String, String> {
        let project = self.project();
        let (mut files, mut directories) = (BTreeMap::new(), vec![project.clone()]);
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&project).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    files.insert(format!("{name}/"), String::new());
                    directories.push(path);
                } else {
                    files.insert(name, std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        files
    }

    /// Calls a tool as it is called in a job with these grants.
    pub async fn call(&self, tool: &ToolId, key: &str, input: &Value) -> Outcome {
        self.registry.call(tool, key, &Json::from(input), &self.grants).await
    }

    /// Whether repeating a call of this tool would change something.
    pub fn changes(&self, tool: &ToolId) -> bool {
        !self.registry.get(tool).unwrap().effect.touches_nothing()
    }
}

impl Pages {
    fn next(&mut self, target: &str) -> Option<Page> {
        let answers = self.told.get(target)?;
        let asked = self.asked.entry(target.to_owned()).or_default();
        *asked += 1;
        answers.get(*asked - 1).or(answers.last()).cloned()
    }
}

fn grants(project: &Path, origin: &str) -> Vec<Grant> {
    let flags = [format!("fs:{PROJECT}={}", project.display()), format!("http:{origin}"), format!("exec:/bin/sh@{PROJECT}=check.sh **")];
    flags.iter().map(|flag| Grant::parse_flag(flag).unwrap()).collect()
}
