//! Which recorded tool is which tool here.
//!
//! Agents call the same things by different names. The table maps a recorded name to a tool id and its
//! field names to the tool's; what fits nothing becomes `agent/<name>`, so that no recording is a dead end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checks::Spec;
use crate::contract::{Effect, ToolId};
use crate::error::{Code, Error, Result};
use crate::tools::{Info, Registry};

/// How a recorded tool is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The tool it becomes, such as `fs/replace`.
    #[schema(value_type = String)]
    pub tool: ToolId,
    /// Recorded input field -> the tool's; fields not named keep their names.
    #[serde(default)]
    pub input: BTreeMap<String, String>,
    /// Recorded output field -> the tool's; `""` is the whole answer where it is no object.
    #[serde(default)]
    pub output: BTreeMap<String, String>,
}

/// The names under which agents record what the built-in file tools do.
const TABLE: &[(&[&str], &str)] = &[
    (&["read", "Read", "read_file", "view", "open_file", "fs_read"], "fs/read"),
    (&["list", "LS", "ls", "list_dir", "list_directory", "fs_list"], "fs/list"),
    (&["write", "Write", "write_file", "create_file", "fs_write"], "fs/write"),
    (&["edit", "Edit", "replace", "str_replace", "edit_file", "search_replace", "fs_replace"], "fs/replace"),
    (&["remove", "delete", "remove_file", "delete_file", "fs_remove"], "fs/remove"),
];

/// The field names that agents use for what the built-in file tools call otherwise.
const FIELDS: &[(&[&str], &str)] = &[
    (&["file_path", "filepath", "filename", "file", "target_file", "dir", "directory"], "path"),
    (&["old_string", "old_str", "old_text", "search"], "old"),
    (&["new_string", "new_str", "new_text", "replacement"], "new"),
    (&["content", "contents", "file_text"], "text"),
];

/// Fields that agents' tools have and these have not, with the value at which they change nothing.
const CHANGES_NOTHING: &[(&str, Value)] = &[
    ("replace_all", Value::Bool(false)),
    ("limit", Value::Null),
    ("offset", Value::Null),
    ("view_range", Value::Null),
    ("ignore", Value::Null),
];

/// A table of bindings, and the directories that stand for grants.
#[derive(Clone)]
pub struct Bindings {
    table: BTreeMap<String, Binding>,
    /// (recorded directory, grant name), longest directory first.
    roots: Vec<(String, String)>,
    registry: Registry,
}

/// A recorded call in the terms of the tool that it is bound to.
#[derive(Debug, Clone)]
pub struct Bound {
    /// What a playbook calls.
    pub tool: ToolId,
    /// What repeating it does; `once` for tools performed outside, of which nothing is known.
    pub effect: Effect,
    /// The input that a playbook gives.
    pub input: Value,
    /// The recorded name, where it is another than the tool's.
    pub recorded_as: Option<String>,
    /// Why it is this tool.
    pub reason: String,
    output_fields: BTreeMap<String, String>,
    /// The fields that the tool answers with; none where only the recording knows.
    answers: Option<BTreeSet<String>>,
}

impl Bindings {
    /// The built-in table, over the tools of `registry`.
    #[must_use]
    pub fn builtin(registry: &Registry) -> Self {
        let fields = || FIELDS.iter().flat_map(|(froms, to)| froms.iter().map(|from| ((*from).to_owned(), (*to).to_owned()))).collect();
        let binding = |tool: &str| {
            let output = BTreeMap::from([(String::new(), "text".to_owned()), ("content".to_owned(), "text".to_owned())]);
            Binding { tool: ToolId::parse(tool).expect("the table holds tool ids"), input: fields(), output }
        };
        let table = TABLE.iter().flat_map(|(names, tool)| names.iter().map(|name| ((*name).to_owned(), binding(tool))));
        Bindings { table: table.collect(), roots: Vec::new(), registry: registry.clone() }
    }

    /// The same with more bindings (which win) and with `roots`: a recorded directory, and the grant under
    /// whose name a job will see it.
    ///
    /// # Errors
    /// `invalid_configuration` for a tool that is not here and is not `agent/...`, or a root that is no absolute path.
    pub fn extended(mut self, more: &BTreeMap<String, Binding>, roots: &BTreeMap<String, String>) -> Result<Self> {
        let wrong = |message| Err(Error::new(Code::InvalidConfiguration, message));
        for (name, binding) in more {
            if !binding.tool.is_external() && self.registry.get(&binding.tool).is_none() {
                return wrong(format!("binding {name:?}: there is no tool {}; `reprise tools list` shows what there is", binding.tool));
            }
            // A short `NAME=TOOL` still gets the usual field names.
            let mut binding = binding.clone();
            if let Some(usual) =
                self.table.values().find(|b| b.tool == binding.tool).filter(|_| binding.input.is_empty() && binding.output.is_empty())
            {
                binding = usual.clone();
            }
            self.table.insert(name.clone(), binding);
        }
        for (root, grant) in roots {
            let plain = root.trim_end_matches('/');
            if !plain.starts_with('/') || grant.is_empty() || grant.contains('/') {
                return wrong(format!(
                    "root {root:?} = {grant:?}: a root is an absolute recorded directory and the name of a grant, such as /home/me/project=project"
                ));
            }
            self.roots.push((plain.to_owned(), grant.clone()));
        }
        self.roots.sort_by_key(|(root, _)| std::cmp::Reverse(root.len()));
        Ok(self)
    }

    /// Binds one recorded call.
    #[must_use]
    pub fn bind(&self, recorded: &str, input: &Value) -> Bound {
        if let Some(binding) = self.table.get(recorded) {
            let renamed = self.renamed(binding, input);
            match self.misfit(&binding.tool, &renamed) {
                None => {
                    return self.bound(
                        &binding.tool,
                        renamed,
                        recorded,
                        format!("{recorded:?} is bound to {}", binding.tool),
                        binding.output.clone(),
                    );
                }
                Some(why) => {
                    let reason = format!("{recorded:?} would be {}, but the recorded input does not fit it ({why})", binding.tool);
                    return self.bound(&ToolId::agent(recorded), input.clone(), recorded, reason, BTreeMap::new());
                }
            }
        }
        match ToolId::parse(recorded) {
            Ok(tool) if tool.is_external() => {
                self.bound(&tool, input.clone(), recorded, "recorded under this name".to_owned(), BTreeMap::new())
            }
            Ok(tool) if self.registry.get(&tool).is_some() => {
                let input = self.below_roots(&tool, input.clone());
                self.bound(&tool, input, recorded, "recorded under this name".to_owned(), BTreeMap::new())
            }
            _ => {
                let reason = format!("nothing here provides {recorded:?}: someone outside must perform it");
                self.bound(&ToolId::agent(recorded), input.clone(), recorded, reason, BTreeMap::new())
            }
        }
    }

    fn bound(&self, tool: &ToolId, input: Value, recorded: &str, reason: String, output_fields: BTreeMap<String, String>) -> Bound {
        let info = self.registry.get(tool);
        let effect = info.as_ref().map_or(Effect::Once, |info| info.effect);
        let fields =
            |info: &std::sync::Arc<Info>| info.output_schema["properties"].as_object().map(|fields| fields.keys().cloned().collect());
        let answers = info.as_ref().and_then(fields);
        let recorded_as = (tool.to_string() != recorded).then(|| recorded.to_owned());
        Bound { tool: tool.clone(), effect, input, recorded_as, reason, output_fields, answers }
    }

    fn renamed(&self, binding: &Binding, input: &Value) -> Value {
        let Value::Object(fields) = input else { return input.clone() };
        let rename = |key: &String| binding.input.get(key).filter(|to| !fields.contains_key(*to)).unwrap_or(key).clone();
        let says_something =
            |(key, value): &(&String, &Value)| !CHANGES_NOTHING.iter().any(|(name, nothing)| name == key && nothing == *value);
        let renamed: Map<String, Value> = fields.iter().filter(says_something).map(|(key, value)| (rename(key), value.clone())).collect();
        self.below_roots(&binding.tool, Value::Object(renamed))
    }

    /// Files lie where the agent saw them; a job sees them below a grant's name.
    fn below_roots(&self, tool: &ToolId, mut input: Value) -> Value {
        if tool.namespace() == "fs"
            && let Some(Value::String(path)) = input.get_mut("path")
            && let Some(below) = self.seen_below_roots(path)
        {
            *path = below;
        }
        input
    }

    /// A recorded condition of files, with the path as a job sees it.
    #[must_use]
    pub fn check_below_roots(&self, spec: Spec) -> Spec {
        let moved = |path: String| self.seen_below_roots(&path).unwrap_or(path);
        match spec {
            Spec::FileExists { path } => Spec::FileExists { path: moved(path) },
            Spec::PathNotExists { path } => Spec::PathNotExists { path: moved(path) },
            other => other,
        }
    }

    fn seen_below_roots(&self, path: &str) -> Option<String> {
        self.roots.iter().find_map(|(root, grant)| Some(format!("{grant}{}", below(path, root)?)))
    }

    fn misfit(&self, tool: &ToolId, input: &Value) -> Option<String> {
        let schema = &self.registry.get(tool)?.input_schema;
        let validator = jsonschema::validator_for(schema).ok()?;
        validator.iter_errors(input).next().map(|e| e.to_string())
    }
}

/// What follows `root` in `path`, with its slash; none where `path` lies elsewhere.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/')).map(|rest| rest.trim_end_matches('/'))
}

impl Bound {
    /// The recorded answer in the bound tool's terms, without what that tool never answers: a value found there
    /// could not be found in a job.
    #[must_use]
    pub fn output_of(&self, recorded: Value) -> Value {
        let renamed = match recorded {
            Value::Object(fields) => {
                let rename = |key: String| self.output_fields.get(&key).filter(|to| !fields.contains_key(*to)).cloned().unwrap_or(key);
                Value::Object(fields.iter().map(|(key, value)| (rename(key.clone()), value.clone())).collect())
            }
            Value::Null => Value::Null,
            whole => match self.output_fields.get("") {
                Some(field) => Value::Object([(field.clone(), whole)].into_iter().collect()),
                None => whole,
            },
        };
        match (renamed, &self.answers) {
            (Value::Object(mut fields), Some(answers)) => {
                fields.retain(|name, _| answers.contains(name));
                Value::Object(fields)
            }
            (_, Some(_)) => Value::Null,
            (whole, None) => whole,
        }
    }
}
