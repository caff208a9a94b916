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

/// Where one answers that was started at a port of its own.
async fn serving(telemetry: Telemetry) -> SocketAddr {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let server = Server::bind(any_port, telemetry).await.expect("a port");
    let address = server.address().expect("bound");
    tokio::spawn(server.run());
    address
}

#[tokio::test]
async fn probes_and_metrics() {
    let telemetry = Telemetry::default();
    let address = serving(telemetry.clone()).await;

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
        answer.contains("netpol_commits_total{result=\"ok\"} 1") && answer.contains("openmetrics"),
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
    let address = serving(Telemetry::default()).await;
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
    let address = serving(Telemetry::default()).await;
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
