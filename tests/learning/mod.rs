//! How well playbooks are learned: families of tasks, agents that do them with real tools, and worlds that nobody recorded.
//!
//! The table stands in `docs/LEARNING.md`. `REPRISE_TEST_FULL=1` measures and prints a larger one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod dice;
mod families;
mod judge;
mod table;
mod world;

use dice::Dice;
use families::{FAMILIES, Surprise};
use judge::{Bench, Verdict};
use table::Size;

use crate::support::site::in_full;

/// What the table is drawn from.
const SEED: u64 = 2026;
/// What the page shows.
const ON_THE_PAGE: Size = Size { sets: 3, held_out: 8 };
/// Enough to see what happens once in a hundred times.
const AT_LENGTH: Size = Size { sets: 25, held_out: 16 };

/// With BLESS=1 the table is written anew.
#[test]
fn the_page_has_the_table_that_is_measured() {
    let rows = table::measure(SEED, ON_THE_PAGE);
    let (begin, end) =
        ("<!-- table: begin; written by the test `the_page_has_the_table_that_is_measured` with BLESS=1 -->\n", "<!-- table: end -->");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/LEARNING.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(begin).expect("the page marks where the table begins");
    let (found, after) = rest.split_once(end).expect("the page marks where the table ends");
    let measured = format!("\n{}\n", table::printed(&rows));
    println!("{measured}");
    rows.iter().flat_map(|row| &row.remarks).for_each(|remark| println!("{remark}"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{before}{begin}{measured}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, measured, "run this test once with BLESS=1");
    assert_nothing_is_wrong(&rows);
}

/// Only where it is asked for: it takes minutes.
#[test]
fn at_length_no_playbook_does_what_the_agent_would_not() {
    if !in_full() {
        return;
    }
    let rows = table::measure(SEED, AT_LENGTH);
    println!("{}", table::printed(&rows));
    rows.iter().flat_map(|row| &row.remarks).for_each(|remark| println!("{remark}"));
    assert_nothing_is_wrong(&rows);
}

/// Whatever is not known may be refused; something else than the agent does may never be done.
fn assert_nothing_is_wrong(rows: &[table::Row]) {
    let is_wrong = |row: &&table::Row| row.cells.iter().any(|cell| cell.wrong > 0);
    let wrong: Vec<&str> = rows.iter().filter(is_wrong).map(|row| row.name).collect();
    assert!(wrong.is_empty(), "something else than the agent did: {wrong:?}");
}

#[test]
fn where_nothing_is_new_a_playbook_of_one_run_does_what_the_agent_did() {
    let bench = Bench::new();
    for family in FAMILIES {
        let mut dice = Dice::of(SEED, &[family.name, "the same"]);
        for surprise in [None, Some(Surprise::One), Some(Surprise::Other)] {
            let scene = (family.draw)(&mut dice, surprise);
            let run = bench.record_in(family, &scene, "once", reprise::clock::now_ms(), None);
            let playbook = bench.learn(&[run]).unwrap();
            assert_eq!(
                bench.judge_given(family, &playbook, &scene, &bench.taken(&playbook, scene.inputs())),
                Verdict::Right,
                "{}",
                family.name
            );
        }
    }
}
