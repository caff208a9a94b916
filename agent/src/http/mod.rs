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
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::telemetry::{Elements, TableSize};

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    #[tokio::test]
    async fn probes_and_metrics() {
        let telemetry = Telemetry::default();
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(any_port, telemetry.clone())
            .await
            .expect("a port");
        let address = server.address().expect("bound");
        tokio::spawn(server.run());

        telemetry.waiting_for("pods", Some("connection refused".to_owned()));
        let answer = request(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("pods (connection refused)"),
            "{answer}"
        );
        assert!(
            request(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 503")
        );

        telemetry.beat();
        telemetry.committed(Duration::ZERO, Elements::default());
        telemetry.in_force(TableSize::default());
        assert!(
            request(address, "/readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            request(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let answer = request(address, "/metrics").await;
        assert!(
            answer.contains("netpol_commits_total{result=\"ok\"} 1")
                && answer.contains("openmetrics"),
            "{answer}"
        );
        assert!(request(address, "/other").await.starts_with("HTTP/1.1 404"));

        let huge = request(address, &format!("/{}", "x".repeat(20_000))).await;
        assert!(!huge.contains(" 200 "), "{huge}");
        let taken = Server::bind(address, telemetry)
            .await
            .expect_err("taken")
            .to_string();
        assert!(taken.contains("--listen"), "{taken}");
    }

    #[tokio::test]
    async fn strangers_take_no_places_of_the_nodes_own() {
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(any_port, Telemetry::default())
            .await
            .expect("a port");
        let address = server.address().expect("bound");
        tokio::spawn(server.run());
        let mut strangers = Vec::new();
        for _ in 0..=CONNECTIONS {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            let elsewhere = "127.0.0.2:0".parse().expect("an address");
            socket.bind(elsewhere).expect("bound");
            strangers.push(socket.connect(address).await.expect("connected"));
        }
        let mut nothing = String::new();
        let one_too_many = strangers.last_mut().expect("strangers");
        let refused = timeout(LIFETIME / 2, one_too_many.read_to_string(&mut nothing));
        assert!(refused.await.is_ok(), "still open");
        let answer = timeout(LIFETIME / 2, request(address, "/readyz"));
        assert!(answer.await.is_ok(), "no answer in time");
    }

    #[tokio::test]
    async fn idle_connections_shut_nobody_out() {
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(any_port, Telemetry::default())
            .await
            .expect("a port");
        let address = server.address().expect("bound");
        tokio::spawn(server.run());
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS * 3 / 2 {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream
                .write_all(b"GET /readyz HTTP/1.1\r\nX: ")
                .await
                .expect("sent");
            idle.push(stream);
        }
        let answer = timeout(LIFETIME * 3, request(address, "/readyz"));
        assert!(
            answer
                .await
                .expect("answered in time")
                .starts_with("HTTP/1.1 503")
        );
        // The first of them was told to go.
        let mut rest = String::new();
        let closed = timeout(LIFETIME, idle[0].read_to_string(&mut rest));
        assert!(closed.await.is_ok(), "still open");
    }
}
