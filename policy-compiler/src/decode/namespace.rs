//! Namespaces.

use super::cursor::Cursor;
use super::{Kind, metadata};
use crate::model::Namespace;

pub(super) fn namespace(object: &Cursor<'_>) -> Option<Namespace> {
    let fields = object.some_fields()?;
    metadata::check_kind(&fields, Kind::Namespace);
    let metadata = fields.get_or_null("metadata");
    let metadata = metadata.some_fields()?;
    let labels = metadata::labels(&metadata);
    Some(Namespace::new(
        metadata::namespace_name(&metadata)?,
        &labels,
    ))
}
