//! What the machine takes by itself.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::report::{Report, time};

/// Appending 300 bytes and fdatasync: the least that a durable step can cost.
pub(super) fn fdatasync(home: &Path, report: &mut Report) -> Duration {
    let mut file = File::create(home.join("bare")).expect("the temporary directory takes files");
    let line = [b'x'; 300];
    let bare = time(report.rounds(2_000), || {
        file.write_all(&line).expect("the disk takes 300 bytes");
        file.sync_data().expect("the disk syncs");
    });
    report.fact("bare fdatasync of 300 appended bytes", format!("{bare:.1?}"));
    bare
}
