//! The page on how a playbook earns trust: what it says holds without a word is what holds, and its numbers are right.

use reprise::config::{Config, LifecycleSettings};
use reprise::lifecycle::Status;
use reprise::lifecycle::policy::wilson;

use crate::support::page::{blocks, repository};

const PAGE: &str = "docs/LIFECYCLE.md";

#[test]
fn the_policy_on_the_page_is_the_one_that_holds_where_nothing_is_said() {
    let block = blocks(PAGE).into_iter().find(|block| block.info == "toml").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("reprise.toml");
    std::fs::write(&file, &block.text).unwrap();
    assert_eq!(Config::read(&file).unwrap().lifecycle, LifecycleSettings::default());
    for part in [
        "auto_promote",
        "canary_share",
        "separate_reviewer",
        "open_review",
        "open_promotion",
        "proved",
        "recordings",
        "min_age_s",
        "min_failures",
    ] {
        assert!(block.text.contains(&format!("{part} = ")), "{part} is named on the page");
    }
    for (wrong, why) in [
        ("[lifecycle]\nauto_promot = true\n", "auto_promot is no part of a policy"),
        ("[lifecycle]\ncanary_share = 1.5\n", "canary_share is not a number from 0 to 1"),
        ("[lifecycle.active]\nsuccesses = -1\n", "active.successes is not a whole number"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        let e = Config::read(&file).unwrap_err();
        assert!(e.message.contains(why), "{e}");
    }
}

#[test]
fn the_statuses_and_the_bounds_on_the_page_are_those_of_the_program() {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    for status in Status::ALL {
        assert!(page.contains(&format!("| `{}` |", status.as_str())), "{status:?}");
    }
    for (successes, failures, words) in [(5, 0, "Five of five give 0.57"), (5, 1, "five of six 0.44"), (10, 0, "ten of ten 0.72")] {
        let bound = format!("{:.2}", wilson(successes, failures));
        assert!(page.contains(words) && words.ends_with(&bound), "{words}: {bound}");
    }
}
