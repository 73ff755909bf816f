//! The tables of `docs/COMPONENT-VALUES.md` say what is done.

use serde_json::Value;

use super::{read, shape};

/// The rows of the table below this heading: the code of each cell.
fn rows(heading: &str) -> Vec<Vec<Vec<String>>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMPONENT-VALUES.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("the page has no {heading:?}"));
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let lines = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    // A bar within a cell is written `\|`.
    let cells = |line: &str| line.trim_matches('|').replace("\\|", "\0").split('|').map(|cell| code(&cell.replace('\0', "|"))).collect();
    lines.map(cells).collect()
}

/// Declarations and use of a type as the page writes it.
fn written(wit: &str) -> (String, String) {
    match wit.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["record" | "variant" | "enum" | "flags", name, ..] => (wit.to_owned(), (*name).to_owned()),
        _ => (String::new(), wit.to_owned()),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn every_type_has_the_json_and_the_schema_that_the_page_says() {
    let rows = rows("The table");
    assert!(rows.len() >= 24, "{}", rows.len());
    for row in rows {
        let [types, examples, schema] = row.as_slice() else { panic!("{row:?}") };
        for wit in types {
            let (declarations, ty) = written(wit);
            let shape = shape(&declarations, &ty);
            assert_eq!(shape.schema(), json(&schema[0]), "{wit}");
            for example in examples {
                let value = json(example);
                assert_eq!(shape.raise(&shape.lower(&value).unwrap()).unwrap().to_string(), value.to_string(), "{wit}");
            }
        }
    }
}

#[test]
fn what_is_taken_as_well_comes_back_as_the_page_says() {
    let rows = rows("What is taken as well");
    assert!(rows.len() >= 5, "{}", rows.len());
    for row in rows {
        let (declarations, ty) = written(&row[0][0]);
        let shape = shape(&declarations, &ty);
        let raised = shape.raise(&shape.lower(&json(&row[1][0])).unwrap()).unwrap();
        assert_eq!(raised.to_string(), json(&row[2][0]).to_string(), "{row:?}");
    }
}

#[test]
fn what_the_page_calls_refused_is_refused() {
    let rows = rows("What is refused");
    assert!(rows.len() >= 6, "{}", rows.len());
    for row in rows {
        let (declarations, ty) = written(&row[0][0]);
        let issue = shape(&declarations, &ty).lower(&json(&row[1][0])).unwrap_err();
        assert_eq!(
            (issue.path.as_str(), issue.message.as_str()),
            (row[2].first().map_or("", String::as_str), row[3][0].as_str()),
            "{row:?}"
        );
    }
}

#[test]
fn types_without_json_are_refused_in_the_words_of_the_page() {
    let rows = rows("Types that have no JSON");
    assert!(rows.len() >= 3, "{}", rows.len());
    for row in rows {
        let issue = read(&row[0][0]).unwrap_err();
        assert_eq!((&issue.path, &issue.message), (&row[1][0], &row[2][0]), "{row:?}");
    }
}
