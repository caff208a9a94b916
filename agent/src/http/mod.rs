//! `/metrics`, `/healthz` and `/readyz`.
//!
//! Whoever reaches the address may connect, any program of the node for one. Connections are few and short, or they would
//! use up the descriptors that the agent needs to run `nft`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::telemetry::Telemetry;

/// Connections at a time of the node's own programs, the kubelet's probes among them, where others wait; and as many from
/// elsewhere, where others are refused.
const CONNECTIONS: usize = 32;

/// How long a connection lasts at most, from the first byte of a request to the last of its answer.
const LIFETIME: Duration = Duration::from_secs(5);

/// Bytes of a request with its headers.
const LARGEST_REQUEST: usize = 16 << 10;

/// Media type of the `OpenMetrics` text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics and probes: {source}; choose another with --listen"
)]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    source: io::Error,
}

/// A socket that answers as soon as [`Server::run`] is polled.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    telemetry: Telemetry,
}

impl Server {
    /// Takes the address.
    pub async fn bind(address: SocketAddr, telemetry: Telemetry) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError { address, source })?;
        Ok(Self {
            listener,
            telemetry,
        })
    }

    /// The address taken; tells the port if 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests, one for each connection.
    pub async fn run(self) {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(self.telemetry);
        let [near, far] = [(); 2].map(|()| Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else {
                // No descriptors left, perhaps: trying at once would only keep the processor busy.
                sleep(LIFETIME).await;
                continue;
            };
            // Who comes from elsewhere must not take the places that probes need, or the kubelet would end the agent.
            let is_near = stream.local_addr().is_ok_and(|own| own.ip() == peer.ip());
            let place = if is_near {
                near.clone().acquire_owned().await.ok()
            } else {
                far.clone().try_acquire_owned().ok()
            };
            let Some(place) = place else {
                continue;
            };
            let router = router.clone();
            tokio::spawn(async move {
                // Who is too slow, or speaks something else, gets no answer.
                let _ = timeout(LIFETIME, answer(stream, router)).await;
                drop(place);
            });
        }
    }
}

async fn answer(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LARGEST_REQUEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], telemetry.render())
}

async fn healthz(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    if telemetry.is_alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the event loop stands still\n",
        )
    }
}

async fn readyz(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    match telemetry.readiness() {
        Ok(()) => {
            let remark = telemetry.remark().map(|remark| format!("{remark}\n"));
            (
                StatusCode::OK,
                "ok\n".to_owned() + &remark.unwrap_or_default(),
            )
        }
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

#[cfg(test)]
mod tests;
