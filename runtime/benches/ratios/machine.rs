//! What the machine takes by itself.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::report::{Report, time};

/// Appending 300 bytes and fdatasync: the least that a durable step can cost.
pub(super) fn fdatasync(home: &Path, report: &mut Report) -> Duration {
    let rounds = report.rounds(2_000);
    let mut file = File::create(home.join("bare")).expect("the temporary directory takes files");
    let line = [b'x'; 300];
    let before = Written::now();
    let bare = time(rounds, || {
        file.write_all(&line).expect("the disk takes 300 bytes");
        file.sync_data().expect("the disk syncs");
    });
    report.fact("bare fdatasync of 300 appended bytes", format!("{bare:.1?}"));
    if let (Some(before), Some(after)) = (before, Written::now()) {
        let each = (after.to_disk - before.to_disk) / rounds as u64;
        report.fact(
            "  disk written for each, in the file system's blocks",
            format!("{:.2} KiB", f64::from(u32::try_from(each).unwrap_or(u32::MAX)) / 1024.0),
        );
    }
    bare
}

/// What this process has written so far, as the kernel counts it.
pub(super) struct Written {
    /// Bytes handed to `write`.
    pub handed_over: u64,
    /// Bytes sent to the disk: whole blocks, and the file system's own.
    pub to_disk: u64,
}

impl Written {
    /// None where the kernel does not say.
    pub(super) fn now() -> Option<Self> {
        let io = std::fs::read_to_string("/proc/self/io").ok()?;
        let field = |name: &str| io.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
        Some(Written { handed_over: field("wchar:")?, to_disk: field("write_bytes:")? })
    }
}
