//! `reprise graph check FILE`, and how a graph is read from a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::args::GraphCheck;
use super::output::Output;
use super::{exit, show};
use crate::compiler::graph::Graph;
use crate::error::{Code, Error, Result};
use crate::{blocking, engine, limits};

pub(super) async fn check(args: GraphCheck, output: &Output) -> Result<u8> {
    let graph = read(&args.file).await?;
    // A graph needs no data directory, so that anyone can look at what they were sent.
    let checked = engine::check_graph_file(&graph).await?;
    output.show(
        || checked.to_json(),
        || {
            format!(
                "Graph      sha256 {}\nPlaybook   {}\n{}",
                checked.graph_digest,
                checked.playbook_id,
                show::inspection(&checked.inspection)
            )
        },
    );
    Ok(exit::OK)
}

/// The graph in a file, or on standard input for `-`.
///
/// # Errors
/// `file_not_found`, and as [`Graph::parse`].
pub(super) async fn read(file: &Path) -> Result<Graph> {
    let file = file.to_owned();
    blocking::run(move || {
        let unreadable = |e: std::io::Error| Error::new(Code::FileNotFound, format!("cannot read {}: {e}", file.display()));
        let source: Box<dyn Read> =
            if file.as_os_str() == "-" { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(&file).map_err(unreadable)?) };
        let mut text = Vec::new();
        // One byte more than is taken: enough for the graph to be refused.
        source.take(limits::JSON_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        Graph::parse(&text).map_err(|e| if e.issues.is_empty() { e.at(file.display()) } else { e })
    })
    .await
}
