//! JSON Schemas that somebody hands in to be held against a value.
//!
//! A schema is a program: a dozen references, each of which stands twice in the next one, name a million schemas, and a
//! short pattern may be compiled to megabytes. So a schema here has no references, a bounded number of schemas and patterns in
//! it, and is held against no more values than can be looked at in a few seconds.

use serde_json::Value;

use crate::limits;

/// Keywords that lead from one schema to another.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that look once more at all that the schemas beside them looked at.
const LOOK_AGAIN: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// A schema within its bounds.
pub struct Shape {
    validator: jsonschema::Validator,
    /// How much is done at most for each value that is looked at.
    size: usize,
}

/// A place where a value does not fit, as a JSON pointer, and why.
pub struct Misfit {
    /// A JSON pointer.
    pub place: String,
    /// Why.
    pub why: String,
}

/// What a schema consists of.
#[derive(Default)]
struct Parts {
    schemas: usize,
    patterns: usize,
    again: usize,
}

impl Shape {
    /// Reads a schema. Nothing is fetched, and no pattern backtracks.
    ///
    /// # Errors
    /// Why it is none, or which bound it is beyond.
    pub fn of(schema: &Value) -> Result<Shape, String> {
        let mut parts = Parts::default();
        parts.count(schema)?;
        for (what, count, most) in [
            ("schemas in it", parts.schemas, limits::SHAPE_SCHEMAS_MAX),
            ("patterns", parts.patterns, limits::SHAPE_PATTERNS_MAX),
            ("times unevaluatedProperties or unevaluatedItems", parts.again, limits::SHAPE_LOOKS_AGAIN_MAX),
        ] {
            if count > most {
                return Err(format!("the schema has {count} {what}; at most {most}"));
            }
        }
        let patterns = jsonschema::PatternOptions::regex().size_limit(limits::SHAPE_PATTERN_BYTES_MAX);
        // What `format` says is for people, as in 2020-12, whatever the schema calls itself: some formats compile the value.
        let options = jsonschema::options().with_pattern_options(patterns).should_validate_formats(false);
        let validator = options.build(schema).map_err(|e| format!("the schema is not valid: {e}"))?;
        Ok(Shape { validator, size: parts.schemas << parts.again })
    }

    /// How much is done at most to hold the value against it.
    #[must_use]
    pub fn work(&self, value: &Value) -> usize {
        values_in(value).saturating_mul(self.size)
    }

    /// Where the value does not fit: the first `most` places.
    ///
    /// # Errors
    /// Where the value is too large to be held against this schema.
    pub fn misfits(&self, value: &Value, most: usize) -> Result<Vec<Misfit>, String> {
        if self.work(value) > limits::SHAPE_WORK_MAX {
            let (values, size) = (values_in(value), self.size);
            return Err(format!(
                "a value with {values} values in it is too large for a schema with {size} in it; one times the other may be {}",
                limits::SHAPE_WORK_MAX
            ));
        }
        let misfit = |e: jsonschema::ValidationError| Misfit { place: e.instance_path().to_string(), why: e.to_string() };
        Ok(self.validator.iter_errors(value).take(most).map(misfit).collect())
    }
}

impl Parts {
    /// Counts whatever may be a schema, wherever it stands: what is none by its place counts too, which errs on the safe side.
    fn count(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Object(fields) => {
                self.schemas += 1;
                for (name, value) in fields {
                    let name = name.as_str();
                    if REFERENCES.contains(&name) && value.is_string() {
                        return Err(format!("the schema has a {name}, to {value}; write what it leads to in its place"));
                    }
                    match (name, value) {
                        ("pattern", Value::String(_)) => self.patterns += 1,
                        ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
                        _ => self.again += usize::from(LOOK_AGAIN.contains(&name)),
                    }
                    self.count(value)?;
                }
            }
            // A list of values to choose from is gone through for each value that is looked at.
            Value::Array(items) => {
                self.schemas += items.len();
                for item in items {
                    self.count(item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn values_in(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values_in).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(values_in).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use serde_json::json;

    /// Each level names the next one twice.
    fn bomb(levels: usize) -> Value {
        let mut defs = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            defs.insert(format!("d{level}"), json!({"allOf": [next.clone(), next]}));
        }
        defs.insert(format!("d{levels}"), json!({"type": "integer"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    }

    fn refusal(schema: &Value) -> String {
        Shape::of(schema).err().unwrap_or_else(|| panic!("{schema}"))
    }

    #[test]
    fn a_chain_of_references_is_refused_before_anybody_follows_it() {
        let said = refusal(&bomb(40));
        assert!(said.contains("$ref"), "{said}");
        for hidden in [
            json!({"properties": {"a": {"items": [{"$ref": "#"}]}}}),
            json!({"const": {"$dynamicRef": "#a"}}),
            json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "#"}),
        ] {
            assert!(refusal(&hidden).contains("Ref") || refusal(&hidden).contains("$ref"), "{hidden}");
        }
        // A field that is called so is none.
        let field = Shape::of(&json!({"properties": {"$ref": {"type": "string"}}})).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(field.misfits(&json!({"$ref": 1}), 5).unwrap_or_default().len(), 1);
    }

    #[test]
    fn what_would_take_much_memory_or_time_is_refused() {
        assert!(refusal(&json!({"pattern": "(a{100}){100}"})).contains("not valid"));
        assert!(refusal(&json!({"patternProperties": {"(a{100}){100}": {}}})).contains("not valid"));
        let patterns: Vec<Value> = (0..=limits::SHAPE_PATTERNS_MAX).map(|_| json!({"pattern": "a"})).collect();
        assert!(refusal(&json!({"anyOf": patterns})).contains("patterns; at most"));
        let schemas: Vec<Value> = (0..=limits::SHAPE_SCHEMAS_MAX).map(|_| json!({})).collect();
        assert!(refusal(&json!({"allOf": schemas})).contains("schemas in it; at most"));
        let deep = (0..20).fold(json!(true), |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}));
        assert!(refusal(&deep).contains("unevaluatedProperties"));
        let many: Vec<Value> = (0..500).map(|_| json!({"type": "integer"})).collect();
        let shape = Shape::of(&json!({"items": {"allOf": many}})).unwrap_or_else(|why| panic!("{why}"));
        assert!(shape.misfits(&json!(vec![1; 200_000]), 1).is_err_and(|why| why.contains("too large")));
    }

    #[test]
    fn what_is_within_the_bounds_is_judged_soon() {
        let begun = Instant::now();
        let deep = (0..60).fold(json!({"type": "text"}), |_, _| json!({"type": "string"}));
        let nested = (0..14).fold(deep, |inner, _| json!({"anyOf": [{"oneOf": [inner]}]}));
        let shape = Shape::of(&nested).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(shape.misfits(&json!(1), 5).unwrap_or_default().len(), 1);
        let again = (0..limits::SHAPE_LOOKS_AGAIN_MAX)
            .fold(json!({"properties": {"a": {}}}), |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}));
        let shape = Shape::of(&again).unwrap_or_else(|why| panic!("{why}"));
        assert!(shape.misfits(&json!({"a": 1}), 5).is_ok_and(|misfits| misfits.is_empty()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_value_is_never_compiled_as_a_pattern() {
        let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "format": "regex"});
        let shape = Shape::of(&schema).unwrap_or_else(|why| panic!("{why}"));
        assert!(shape.misfits(&json!("("), 5).is_ok_and(|misfits| misfits.is_empty()));
    }
}
