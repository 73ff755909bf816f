//! What a call of a tool component may reach: what the component asks for, as far as grants give it to its namespace.

use std::path::PathBuf;
use std::sync::Arc;

use crate::sandbox::{Directory, Reach, Spaces};
use crate::tools::asks::{Ask, Asks};
use crate::tools::grants::OpenDir;
use crate::tools::{Access, Grants, Ways, kv};

use super::spaces::Granted;
use super::web::Door;

/// `grants`: as the component's namespace sees them.
pub(super) fn reach(asks: &Asks, grants: &Grants, ways: &Ways) -> Reach {
    let mut reach = Reach::default();
    for ask in asks.iter() {
        match ask {
            Ask::Files => reach.directories = grants.dirs().map(|(name, open)| directory(open.seen_as(name), open)).collect(),
            Ask::Environment => reach.environment = values(grants),
            Ask::Configuration => reach.configuration = values(grants),
            Ask::Clock => reach.clock = grants.clock(),
            Ask::Randomness => reach.random = grants.random(),
            Ask::Web => reach.web = Some(Arc::new(Door { gate: ways.gate.clone(), grants: grants.clone() })),
            Ask::KeyValue => {
                let granted = |spaces: &kv::Spaces| Granted { spaces: spaces.clone(), grants: grants.clone() };
                reach.spaces = ways.spaces.as_ref().map(|spaces| Arc::new(granted(spaces)) as Arc<dyn Spaces>);
            }
            // A component that imports a tool, or what starts a playbook, is refused at upload.
            Ask::Tool(_) | Ask::Playbooks => {}
        }
    }
    reach
}

fn values(grants: &Grants) -> Vec<(String, String)> {
    grants.env().map(|grant| (grant.variable.clone(), grant.value.clone())).collect()
}

fn directory(name: String, open: &OpenDir) -> Directory {
    Directory { name, path: held(open), writable: open.access == Access::ReadWrite }
}

/// The directory by its open handle: whatever was renamed since, it stays the one that was granted.
#[cfg(target_os = "linux")]
fn held(open: &OpenDir) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", open.dir.as_raw_fd()))
}

/// The directory where it was when the grants were opened, a moment ago.
#[cfg(not(target_os = "linux"))]
fn held(open: &OpenDir) -> PathBuf {
    open.path.clone()
}
