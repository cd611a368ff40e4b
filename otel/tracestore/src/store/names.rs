//! Service and span names as a segment keeps them.

use std::sync::Arc;

use super::batch::Name;
use super::span::kind_name;
use crate::model::Operation;

/// JSON: `[[service, span name, kind], …]`.
pub(crate) fn encode(names: &[Arc<Name>]) -> Vec<u8> {
    let list: Vec<_> =
        names.iter().map(|n| (&*n.service, n.operation.name.as_str(), n.operation.kind)).collect();
    serde_json::to_vec(&list).unwrap_or_default()
}

/// Reads [`encode`]'s form back; none when it is not that.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Name>> {
    let list: Vec<(String, String, String)> = serde_json::from_slice(bytes).ok()?;
    let name = |(service, name, kind): (String, String, String)| {
        let kind = (0..6).map(kind_name).find(|known| *known == kind).unwrap_or("");
        Name { service: Arc::from(service), operation: Operation { name, kind } }
    };
    Some(list.into_iter().map(name).collect())
}
