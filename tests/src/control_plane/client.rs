//! Requests as raw JSON: tests also send what no typed client would.

use kube::Client;
use kube::core::Request;
use kube::core::params::{GetParams, PostParams};
use serde_json::Value;

use super::ControlPlaneError;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Create,
    Replace,
    /// A JSON merge patch.
    Merge,
    /// Server-side apply: creates the object or takes it over.
    Apply,
    Delete,
}

impl Method {
    fn verb(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Create => "POST",
            Self::Replace => "PUT",
            Self::Merge | Self::Apply => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Get | Self::Create | Self::Replace | Self::Delete => "application/json",
            Self::Merge => "application/merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// Sends a request; `target` is path and query.
pub(super) async fn send(
    client: &Client,
    method: Method,
    target: &str,
    body: Option<&Value>,
) -> Result<Value, ControlPlaneError> {
    let malformed = |problem: String| {
        ControlPlaneError::Request(format!("{} {target}: {problem}", method.verb()))
    };
    let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
    // A request of some kind, every part of which is then replaced.
    let mut request = Request::new("/")
        .create(&PostParams::default(), body)
        .map_err(|e| malformed(e.to_string()))?;
    *request.method_mut() = method
        .verb()
        .parse()
        .map_err(|_| malformed("bad method".to_owned()))?;
    *request.uri_mut() = target
        .parse()
        .map_err(|_| malformed("bad path or query".to_owned()))?;
    let content_type = method
        .content_type()
        .parse()
        .map_err(|_| malformed("bad content type".to_owned()))?;
    request.headers_mut().insert("content-type", content_type);
    let text = client.request_text(request).await?;
    serde_json::from_str(&text)
        .map_err(|error| malformed(format!("the answer is no JSON: {error}")))
}

/// Whether the API server says it is ready.
pub(super) async fn is_ready(client: &Client) -> bool {
    let Ok(request) = Request::new("").get("readyz", &GetParams::default()) else {
        return false;
    };
    client.request_text(request).await.is_ok()
}

/// What is at a path, as it comes.
pub(super) async fn text(client: &Client, path: &str) -> Result<String, ControlPlaneError> {
    // A request of some kind, whose path is then replaced.
    let mut request = Request::new("/")
        .get("x", &GetParams::default())
        .map_err(|error| ControlPlaneError::Request(error.to_string()))?;
    *request.uri_mut() = path
        .parse()
        .map_err(|_| ControlPlaneError::Request(format!("bad path: {path}")))?;
    Ok(client.request_text(request).await?)
}
