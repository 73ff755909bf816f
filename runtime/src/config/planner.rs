//! `[planner]`: who turns a goal into a graph.
//!
//! It reads the settings and nothing that they name: no graph, no key, no answer of an endpoint.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::error::Result;
use crate::limits;
use crate::tools::grants::base_url;

use super::jobs::within;
use super::source::Source;

/// A planner.
#[derive(Debug, Clone, PartialEq)]
pub enum PlannerSettings {
    /// By rule: the first template whose goal fits. In the order of the file.
    Template(Vec<GoalTemplate>),
    /// By asking a model.
    Chat(ChatSettings),
}

/// A goal in words, and the graph for it.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalTemplate {
    /// As it was written: `refund {order}`.
    pub goal: String,
    /// The same in parts; no two placeholders stand side by side.
    pub parts: Vec<GoalPart>,
    /// The file with the graph.
    pub graph: PathBuf,
}

/// A part of a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoalPart {
    /// Stands there as it is.
    Text(String),
    /// `{order}`: any text.
    Placeholder(String),
}

/// An endpoint that speaks as OpenAI's does.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatSettings {
    /// Before `/chat/completions`: `https://api.example.com/v1`, without a slash at its end.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The environment variable that holds the key; none is sent where there is none.
    pub api_key_env: Option<String>,
    /// For one answer.
    pub timeout: Duration,
}

impl PlannerSettings {
    /// The endpoint, where a model is asked.
    #[must_use]
    pub fn chat(&self) -> Option<&ChatSettings> {
        match self {
            PlannerSettings::Chat(settings) => Some(settings),
            PlannerSettings::Template(_) => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    kind: Spanned<String>,
    #[serde(default)]
    template: Vec<TemplateTable>,
    url: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    api_key_env: Option<Spanned<String>>,
    timeout_ms: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateTable {
    goal: Spanned<String>,
    graph: Spanned<String>,
}

pub(super) fn read(table: &Table, source: &Source) -> Result<PlannerSettings> {
    match table.kind.get_ref().as_str() {
        "template" => {
            let text = [("url", &table.url), ("model", &table.model), ("api_key_env", &table.api_key_env)];
            let number = table.timeout_ms.as_ref().map(|number| ("timeout_ms", number.span()));
            let foreign = text.into_iter().filter_map(|(name, field)| Some((name, field.as_ref()?.span()))).chain(number).next();
            if let Some((name, at)) = foreign {
                return Err(source.wrong(at, format!("a planner of kind \"template\" has no `{name}`; it has [[planner.template]]")));
            }
            if table.template.is_empty() {
                return Err(source.wrong(table.kind.span(), "a planner of kind \"template\" needs at least one [[planner.template]]"));
            }
            table.template.iter().map(|template| template.read(source)).collect::<Result<_>>().map(PlannerSettings::Template)
        }
        "chat" => {
            if let Some(template) = table.template.first() {
                let why = "a planner of kind \"chat\" has no templates; it has url, model, api_key_env and timeout_ms";
                return Err(source.wrong(template.goal.span(), why));
            }
            table.chat(source).map(PlannerSettings::Chat)
        }
        other => {
            Err(source.wrong(table.kind.span(), format!("kind {other:?} is not of this version; the kinds are: \"template\", \"chat\"")))
        }
    }
}

impl Table {
    fn chat(&self, source: &Source) -> Result<ChatSettings> {
        let need = |field: Option<&Spanned<String>>, name: &str| {
            let absent = || source.wrong(self.kind.span(), format!("a planner of kind \"chat\" needs `{name}`"));
            field.cloned().ok_or_else(absent)
        };
        let url = need(self.url.as_ref(), "url")?;
        let model = need(self.model.as_ref(), "model")?;
        if model.get_ref().is_empty() || model.get_ref().len() > limits::ID_CHARS_MAX {
            return Err(source.wrong(model.span(), format!("a model's name has 1 to {} characters", limits::ID_CHARS_MAX)));
        }
        if let Some(name) = &self.api_key_env {
            let text = name.get_ref();
            let fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fits {
                // It may be the key itself, by mistake, so it is not shown.
                return Err(source.wrong(name.span(), "api_key_env is the name of an environment variable, such as OPENAI_API_KEY"));
            }
        }
        let timeout_ms = match &self.timeout_ms {
            Some(timeout) => within(timeout, 1, limits::PLANNER_TIMEOUT_MS_MAX, source)?,
            None => limits::PLANNER_TIMEOUT_MS_DEFAULT,
        };
        Ok(ChatSettings {
            url: source.place(url.span(), base_url(url.get_ref()))?,
            model: model.into_inner(),
            api_key_env: self.api_key_env.as_ref().map(|name| name.get_ref().clone()),
            timeout: Duration::from_millis(timeout_ms),
        })
    }
}

impl TemplateTable {
    fn read(&self, source: &Source) -> Result<GoalTemplate> {
        let goal = self.goal.get_ref();
        let parts = parts(goal).map_err(|why| source.wrong(self.goal.span(), format!("the goal {goal:?} {why}")))?;
        let graph = source.file(self.graph.span(), self.graph.get_ref())?;
        Ok(GoalTemplate { goal: goal.clone(), parts, graph })
    }
}

/// `refund {order}` as text and placeholders.
fn parts(goal: &str) -> Result<Vec<GoalPart>, String> {
    if goal.trim().is_empty() || goal.chars().count() > limits::TEXT_CHARS_MAX {
        return Err(format!("must have 1 to {} characters", limits::TEXT_CHARS_MAX));
    }
    let mut parts: Vec<GoalPart> = Vec::new();
    let mut names = BTreeSet::new();
    let mut rest = goal;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("has a { without its }")?;
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !fits {
            return Err(format!("has a placeholder {name:?}; a name has a-z, 0-9 and _ and begins with a letter"));
        }
        if !names.insert(name) {
            return Err(format!("has the placeholder {name:?} twice"));
        }
        if text.is_empty() && matches!(parts.last(), Some(GoalPart::Placeholder(_))) {
            return Err("has two placeholders with nothing between them, so it would fit in many ways".to_owned());
        }
        parts.extend(literal(text)?);
        parts.push(GoalPart::Placeholder(name.to_owned()));
        rest = after;
    }
    parts.extend(literal(rest)?);
    Ok(parts)
}

fn literal(text: &str) -> Result<Option<GoalPart>, String> {
    if text.contains('}') {
        return Err("has a } without its {".to_owned());
    }
    Ok((!text.is_empty()).then(|| GoalPart::Text(text.to_owned())))
}
