//! The table of `docs/LEARNING.md`.

use std::fmt::Write as _;

use super::dice::Dice;
use super::families::{FAMILIES, Family, Surprise};
use super::judge::{Bench, Verdict};

/// How many runs a playbook is learned from, by column.
pub const SOURCES: [usize; 4] = [1, 2, 3, 5];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Sets of source runs, each of which makes a playbook of its own.
    pub sets: u64,
    /// Held-out worlds for each playbook; every fourth holds a surprise.
    pub held_out: u64,
}

/// How many held-out worlds came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub right: u64,
    pub refused: u64,
    pub wrong: u64,
}

/// A family with a tally for each number of source runs.
pub struct Row {
    pub name: &'static str,
    pub cells: Vec<Tally>,
    /// What was said of those that were not right, each once, the wrong ones first.
    pub remarks: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.right += other.right;
        self.refused += other.refused;
        self.wrong += other.wrong;
    }
}

/// Measures every family, each in a world of its own.
pub fn measure(seed: u64, size: Size) -> Vec<Row> {
    std::thread::scope(|scope| {
        let rows: Vec<_> = FAMILIES.iter().map(|family| scope.spawn(move || row(family, seed, size))).collect();
        rows.into_iter().map(|row| row.join().unwrap()).collect()
    })
}

fn row(family: &Family, seed: u64, size: Size) -> Row {
    let bench = Bench::new();
    let (mut cells, mut remarks) = (vec![Tally::default(); SOURCES.len()], Vec::new());
    for set in 0..size.sets {
        let runs = bench.record(family, seed + set, SOURCES[SOURCES.len() - 1]);
        for (cell, n) in cells.iter_mut().zip(SOURCES) {
            cell.add(of_runs(&bench, family, &runs[..n], seed + set, size, &mut remarks));
        }
    }
    remarks.sort();
    remarks.dedup();
    Row { name: family.name, cells, remarks }
}

fn of_runs(bench: &Bench, family: &Family, runs: &[reprise::runs::Run], seed: u64, size: Size, remarks: &mut Vec<String>) -> Tally {
    let mut tally = Tally::default();
    let mut remark = |kind: &str, held_out: u64, why: &str| {
        remarks.push(format!("{kind}: {}, set {seed}, {} runs, held out {held_out}: {why}", family.name, runs.len()));
    };
    let playbook = match bench.learn(runs) {
        Ok(playbook) => playbook,
        Err(e) => {
            remark("refused", 0, &format!("{}: {}", e.code.as_str(), e.message));
            return Tally { refused: size.held_out, ..tally };
        }
    };
    for n in 0..size.held_out {
        let surprise = match n % 8 {
            3 => Some(Surprise::One),
            7 => Some(Surprise::Other),
            _ => None,
        };
        // The same worlds for every number of source runs, so that the columns can be compared.
        let mut dice = Dice::of(seed, &[family.name, "held out", &n.to_string()]);
        match bench.judge(family, &playbook, &(family.draw)(&mut dice, surprise)) {
            Verdict::Right => tally.right += 1,
            Verdict::Refused(why) => {
                tally.refused += 1;
                remark("refused", n, &why);
            }
            Verdict::Wrong(why) => {
                tally.wrong += 1;
                remark("WRONG", n, &why);
            }
        }
    }
    tally
}

/// The table as it stands on the page.
pub fn printed(rows: &[Row]) -> String {
    let head: String = SOURCES.iter().map(|n| format!(" {n} run{} |", if *n == 1 { "" } else { "s" })).collect();
    let mut text = format!("| right / refused / wrong |{head}\n|---|{}\n", "---|".repeat(SOURCES.len()));
    let mut all = vec![Tally::default(); SOURCES.len()];
    for row in rows {
        line(&mut text, row.name, &row.cells);
        all.iter_mut().zip(&row.cells).for_each(|(all, cell)| all.add(*cell));
    }
    line(&mut text, "**all**", &all);
    text
}

fn line(text: &mut String, name: &str, cells: &[Tally]) {
    let cells: String = cells.iter().map(|cell| format!(" {} / {} / {} |", cell.right, cell.refused, cell.wrong)).collect();
    writeln!(text, "| {name} |{cells}").unwrap();
}
