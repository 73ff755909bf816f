//! What the world says of a check, as far as a job's grants let it be seen.
//!
//! It changes nothing and starts nothing. The rule that must stay true: where no grant covers what is asked, the verdict is
//! unknown and its reason is the same whatever the host holds.

use std::path::Path;

use super::tool::Call;
use super::{Grants, Registry, exec, fs};
use crate::blocking;
use crate::checks::{Finding, Spec};
use crate::contract::ToolError;
use crate::json::Json;

impl Registry {
    /// Judges a check that asks about the world. One that asks about an answer is unknown here.
    pub async fn look(&self, spec: &Spec, grants: &Grants) -> Finding {
        let call = self.ask("", &Json::from(&serde_json::Value::Null), grants);
        let spec = spec.clone();
        let looked = blocking::run(move || seen(&spec, &call));
        let most = self.0.times.answer;
        let late = || Finding::unknown(format!("the system did not say so within {} s", most.as_secs_f32()));
        tokio::time::timeout(most, looked).await.unwrap_or_else(|_| late())
    }
}

fn seen(spec: &Spec, call: &Call) -> Finding {
    match spec {
        Spec::FileExists { path } => there(fs::is_there(call, path), path),
        Spec::PathNotExists { path } => not_there(fs::is_there(call, path), path),
        Spec::CwdContains { path } => match working_directory(&call.grants) {
            Some(directory) => {
                let path = format!("{directory}/{path}");
                there(fs::is_there(call, &path), &path)
            }
            None => Finding::unknown("no single directory is granted in which this job would work"),
        },
        Spec::CommandAvailable { command } => available(command, &call.grants),
        Spec::EnvExists { name } => match granted(&call.grants, name) {
            Some(_) => Finding::pass(format!("the variable {name:?} is granted")),
            None => no_variable(name),
        },
        Spec::EnvEquals { name, value } => match granted(&call.grants, name) {
            // What it holds instead is not said: not everybody who reads a journal is to see it.
            Some(held) if held == value => Finding::pass(format!("the variable {name:?} has that value")),
            Some(_) => Finding::fail(format!("the variable {name:?} has another value")),
            None => no_variable(name),
        },
        Spec::PortFree { .. } => Finding::unknown("no grant lets a job see the ports of this machine"),
        _ => Finding::unknown("this is nothing that can be looked at"),
    }
}

fn there(found: Result<bool, ToolError>, path: &str) -> Finding {
    match found {
        Ok(true) => Finding::pass(format!("{path:?} is there")),
        Ok(false) => Finding::fail(format!("{path:?} is not there")),
        Err(e) => Finding::unknown(e.message),
    }
}

fn not_there(found: Result<bool, ToolError>, path: &str) -> Finding {
    match found {
        Ok(true) => Finding::fail(format!("{path:?} is there")),
        Ok(false) => Finding::pass(format!("{path:?} is not there")),
        Err(e) => Finding::unknown(e.message),
    }
}

/// The one directory in which programs are run; where there is none, the one that is granted.
fn working_directory(grants: &Grants) -> Option<String> {
    let only = |mut names: Vec<String>| {
        names.sort();
        names.dedup();
        <[String; 1]>::try_from(names).ok().map(|[name]| name)
    };
    let of_programs: Vec<String> = grants.exec_grants().map(|grant| grant.directory.as_str().to_owned()).collect();
    if of_programs.is_empty() { only(grants.dirs().map(|(name, open)| open.seen_as(name)).collect()) } else { only(of_programs) }
}

/// By its whole path or by its name: what else lies on the host is not looked at.
fn available(command: &str, grants: &Grants) -> Finding {
    let named = |program: &Path| program.as_os_str() == command || program.file_name().is_some_and(|name| name == command);
    let mut of_that_name = grants.exec_grants().filter(|grant| named(&grant.program)).peekable();
    if of_that_name.peek().is_none() {
        return Finding::unknown(format!("no grant covers the program {command:?}; {}", grants.exec_hint()));
    }
    if of_that_name.any(|grant| exec::can_start(&grant.program, grants)) {
        return Finding::pass(format!("{command:?} is granted and can be run"));
    }
    Finding::fail(format!("{command:?} is granted and cannot be run now"))
}

fn granted<'g>(grants: &'g Grants, name: &str) -> Option<&'g str> {
    grants.list().iter().find_map(|grant| match grant {
        super::Grant::Env(env) if env.variable == name => Some(env.value.as_str()),
        _ => None,
    })
}

fn no_variable(name: &str) -> Finding {
    Finding::unknown(format!("no grant covers the variable {name:?}; a job sees nothing of the host's own environment"))
}
