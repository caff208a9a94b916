//! Fields of pods and namespaces that were probably to be others.
//!
//! Readers look at few fields of these objects and pass over the rest, of which the API server knows far more than is known
//! here. A manifest has not been before it yet: a misspelt `labels` would leave a pod without any, and no policy would select it.

use serde_json::Value;

use super::path::Segment;
use super::slim::Keep;
use super::{FieldError, Kind, spelling};

/// Fields that nobody reads and whose names are nearly those of fields that are read. Of policies there are none: their
/// reader takes any unknown field for an error.
pub fn misspelt(kind: Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    look(object, Keep::of(kind), &mut Vec::new(), &mut errors);
    errors
}

fn look(value: &Value, keep: Keep, path: &mut Vec<Segment>, errors: &mut Vec<FieldError>) {
    match (keep, value) {
        (Keep::Fields(read), Value::Object(fields)) => {
            let names: Vec<&str> = read.iter().map(|(name, _)| *name).collect();
            for (name, value) in fields {
                path.push(Segment::Field(name.clone()));
                if let Some((_, keep)) = read.iter().find(|(known, _)| known == name) {
                    look(value, *keep, path, errors);
                } else if let Some(near) = spelling::nearest(name, &names) {
                    errors.push(FieldError {
                        path: path.iter().cloned().collect(),
                        problem: spelling::unknown(name, Some(near)),
                    });
                }
                path.pop();
            }
        }
        (Keep::Items(keep), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Segment::Index(index));
                look(item, *keep, path, errors);
                path.pop();
            }
        }
        _ => {}
    }
}
