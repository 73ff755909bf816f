//! `reprise test`: a playbook on copies of the directories it may see, undisturbed and killed at every flush.
//!
//! It puts the parts together: `world` has the copies, `ended` what a job came to there, `sweep` the kills, `report` what is
//! shown. The rule: what the user has is read and never written.

mod ended;
mod report;
mod sweep;
mod world;

use std::path::PathBuf;
use std::time::Instant;

use super::args::{Global, Test, TestedJob, playbook_and_version};
use super::exit;
use super::output::Output;
use crate::blocking;
use crate::compiler::emit::emit;
use crate::compiler::graph::Graph;
use crate::config::Config;
use crate::engine::{Engine, Upload, inspect_file};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::json::Json;
use crate::tools::grants::GrantName;
use crate::tools::{Grant, HttpGrant, Registry};
use report::Report;
use world::World;

/// What is tested: components by playbook, the one that is run first, and its input.
pub(super) struct Subject {
    playbooks: Vec<(PlaybookId, Vec<u8>)>,
    pub input: Json,
}

impl Subject {
    pub(super) fn playbook_id(&self) -> &PlaybookId {
        &self.playbooks[0].0
    }
}

pub(super) async fn test(global: &Global, args: Test, output: &Output) -> Result<u8> {
    let roots = args.roots.iter().map(root).collect::<Result<Vec<_>>>()?;
    let mut web = args.grants.into_iter().map(web_only).collect::<Result<Vec<_>>>()?;
    let input = super::args::json_of("--input", &args.input)?;
    let playbooks = match (&args.playbook, &args.graph) {
        (Some(playbook), _) => stored(global, playbook, &mut web).await?,
        (None, Some(file)) => from_graph(global, file.clone(), &mut web).await?,
        (None, None) => return Err(Error::invalid("PLAYBOOK", "name a playbook, or a graph with --graph")),
    };
    let subject = Subject { playbooks, input };
    let home = tempfile::Builder::new().prefix("reprise-test-").tempdir();
    let home = home.map_err(|e| Error::new(Code::StoreUnavailable, format!("cannot make a temporary directory: {e}")))?;
    let template = prepared(home.path().join("template"), roots, web, &subject).await?;

    let begun = Instant::now();
    let world = template.copy_to(&home.path().join("undisturbed"))?;
    let undisturbed = ended::run_on(&world, &subject).await?;
    let time = begun.elapsed();
    world.remove();
    let changes = ended::changes(&template.files()?, &undisturbed.files).into_iter().collect();
    let outcomes = if args.crash_everywhere && undisturbed.status.is_final() {
        Some(sweep::sweep(&template, &subject, &undisturbed, home.path(), |_| ()).await?)
    } else {
        None
    };
    let report = Report { playbook_id: subject.playbook_id().clone(), undisturbed, changes, time, outcomes };
    if let Some(file) = &args.junit {
        std::fs::write(file, report.to_junit()).map_err(|e| world::cannot("write", file, &e))?;
    }
    output.show(|| report.to_json(), || report.in_words());
    Ok(match report.passed() {
        true => exit::OK,
        false if report.undisturbed.status.is_final() => exit::JOB_FAILED,
        false => exit::JOB_NOT_DONE,
    })
}

/// The process that is killed: as the others, but for the point at which it dies.
pub(super) async fn tested_job(global: &Global, args: TestedJob) -> Result<u8> {
    let input = super::args::json_of("standard input", "@-")?;
    let subject = Subject { playbooks: vec![(args.playbook, Vec::new())], input };
    ended::run_to_die(&World::at(args.world, global.die_at), &subject).await?;
    Ok(exit::OK)
}

fn root((name, directory): &(String, String)) -> Result<(GrantName, PathBuf)> {
    let path = PathBuf::from(directory);
    if !path.is_dir() {
        return Err(Error::invalid("--root", format!("{directory:?} is not a directory")));
    }
    Ok((GrantName::parse(name)?, path))
}

fn web_only(grant: Grant) -> Result<HttpGrant> {
    match grant {
        Grant::Http(grant) => Ok(grant),
        Grant::Fs(grant) => {
            let instead = format!("give a directory with --root {}={}, so that the test works on a copy", grant.name, grant.path.display());
            Err(Error::invalid("--grant", instead))
        }
        other => {
            let why = format!(
                "a test takes no grant of kind {:?}; it reaches copies of directories (--root) and web servers (http)",
                other.kind()
            );
            Err(Error::invalid("--grant", why))
        }
    }
}

/// A stored playbook and all that it starts; the web servers that the operator granted are granted here too.
async fn stored(global: &Global, playbook: &str, web: &mut Vec<HttpGrant>) -> Result<Vec<(PlaybookId, Vec<u8>)>> {
    let (id, version) = playbook_and_version(playbook)?;
    let engine = global.existing().await?;
    let space = global.space()?;
    add_web(web, &engine.granted()?);
    let version = engine.playbook(&space, &id, version)?;
    let mut playbooks = vec![(id, engine.component(version.component).await?)];
    with_children(&engine, &space, &mut playbooks).await?;
    Ok(playbooks)
}

async fn from_graph(global: &Global, file: PathBuf, web: &mut Vec<HttpGrant>) -> Result<Vec<(PlaybookId, Vec<u8>)>> {
    if let Some(config) = &global.config {
        add_web(web, &Config::read(config)?.grants);
    }
    let bytes = blocking::run(move || {
        let text = std::fs::read(&file).map_err(|e| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display())))?;
        let tools = Registry::builtin();
        let plan = Graph::parse(&text)?.lower(|tool| tools.get(tool).map(|info| info.effect))?;
        emit(&plan)
    });
    let bytes = bytes.await?;
    let starts = inspect_file(bytes.clone()).await?.starts;
    let mut playbooks = vec![(PlaybookId::parse("graph")?, bytes)];
    if !starts.is_empty() {
        with_children(&global.existing().await?, &global.space()?, &mut playbooks).await?;
    }
    Ok(playbooks)
}

/// Adds the newest versions of all playbooks that those in the list start, and so on.
async fn with_children(engine: &Engine, space: &Space, playbooks: &mut Vec<(PlaybookId, Vec<u8>)>) -> Result<()> {
    let mut at = 0;
    while at < playbooks.len() {
        for name in engine.inspect(playbooks[at].1.clone()).await?.starts {
            let id = PlaybookId::parse(&name)?;
            if playbooks.iter().any(|(known, _)| *known == id) {
                continue;
            }
            let component = engine.playbook(space, &id, None)?.component;
            playbooks.push((id, engine.component(component).await?));
        }
        at += 1;
    }
    Ok(())
}

/// A grant that was given by hand stands in for one of the same name.
fn add_web(web: &mut Vec<HttpGrant>, grants: &[Grant]) {
    for grant in grants {
        if let Grant::Http(grant) = grant
            && web.iter().all(|given| given.name != grant.name)
        {
            web.push(grant.clone());
        }
    }
}

/// The world that all others are copies of: the playbooks are in it, and no job has run.
async fn prepared(dir: PathBuf, roots: Vec<(GrantName, PathBuf)>, web: Vec<HttpGrant>, subject: &Subject) -> Result<World> {
    let (world, engine) = blocking::run(move || {
        let world = World::make(&dir, &roots, &web)?;
        let engine = Engine::open(&world.settings())?;
        Ok::<_, Error>((world, engine))
    })
    .await?;
    for (id, bytes) in &subject.playbooks {
        let upload = Upload { playbook_id: Some(id.clone()), name: None, bytes: bytes.clone() };
        engine.upload(&Space::default_space(), upload).await?;
    }
    engine.shut_down().await;
    blocking::run(move || drop(engine)).await;
    Ok(world)
}
