//! The tools of the namespace `{{namespace}}`.

// Without the standard library the component asks the host for nothing. To read files, send requests or use a crate that needs
// it, remove this line and `default-features = false` in Cargo.toml: README.md.
#![no_std]

use reprise_guest::prelude::*;

// The tools that this component has.
export_tools!(bump);

/// What the tool takes. Each comment becomes part of the schema that callers see.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bump {
    /// A version: three numbers joined by dots.
    version: String,
    /// Which of them is raised.
    part: Part,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Part {
    Major,
    Minor,
    Patch,
}

/// What it answers.
#[derive(Serialize, JsonSchema, Debug, PartialEq)]
struct Bumped {
    /// The next version.
    version: String,
}

/// Raises one part of a version, and sets those behind it to 0.
// `pure`: the same input gives the same output, and nothing is touched. The others are `read`, `idempotent` and `once`; a function
// that takes a second argument `key: &str` gets the name of this one call, which stays the same when the call is repeated.
#[tool(name = "{{namespace}}/bump", effect = pure)]
fn bump(input: Bump) -> Result<Bumped, ToolError> {
    let wrong = || ToolError::new(ErrorKind::InvalidInput, format!("{:?} is not three numbers joined by dots", input.version));
    let numbers: Vec<u64> = input.version.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [major, minor, patch] = numbers[..] else { return Err(wrong()) };
    let (major, minor, patch) = match input.part {
        Part::Major => (major.checked_add(1), Some(0), Some(0)),
        Part::Minor => (Some(major), minor.checked_add(1), Some(0)),
        Part::Patch => (Some(major), Some(minor), patch.checked_add(1)),
    };
    match (major, minor, patch) {
        (Some(major), Some(minor), Some(patch)) => Ok(Bumped { version: format!("{major}.{minor}.{patch}") }),
        _ => Err(ToolError::new(ErrorKind::Failed, "that number cannot be raised any more")),
    }
}

#[cfg(test)]
mod tests {
    use reprise_guest::testing::call;

    use super::*;

    /// A tool is a function: call it.
    #[test]
    fn what_stands_behind_is_set_to_zero() {
        for (part, version) in [(Part::Major, "2.0.0"), (Part::Minor, "1.3.0"), (Part::Patch, "1.2.10")] {
            assert_eq!(bump(Bump { version: "1.2.9".into(), part }), Ok(Bumped { version: version.into() }));
        }
    }

    /// Or call it with JSON, as the host does.
    #[test]
    fn what_is_no_version_is_refused() {
        for version in ["", "1.2", "1.2.x", "1.2.3.4", "-1.2.3"] {
            let error = call::<bump>("a-key", &json!({"version": version, "part": "patch"})).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidInput, "{version}: {error}");
        }
        assert_eq!(call::<bump>("a-key", &json!({"version": "0.1.2", "part": "minor"})), Ok(json!({"version": "0.2.0"})));
    }
}
