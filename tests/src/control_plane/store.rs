//! Objects written straight into etcd, past all validation: as an older API server may have left them.

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::program::ETCD_ADDRESS;
use super::{ControlPlane, ControlPlaneError};

impl ControlPlane {
    /// Stores an object under an etcd key, `/registry/networkpolicies/NAMESPACE/NAME` for example. The API server
    /// serves it and tells watchers of it.
    pub fn store(&self, key: &str, object: &Value) -> Result<(), ControlPlaneError> {
        let base64 = |text: String| ByteString(text.into_bytes());
        let body =
            json!({"key": base64(key.to_owned()), "value": base64(object.to_string())}).to_string();
        let request = format!(
            "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.run(move |_| async move { exchange(&request).await })?;
        let answer = answer.map_err(ControlPlaneError::io("write to etcd"))?;
        if answer.starts_with("HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(ControlPlaneError::Request(format!(
            "etcd refused {key}: {answer}"
        )))
    }
}

async fn exchange(request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(ETCD_ADDRESS).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
