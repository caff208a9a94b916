//! The API server as a source, against one that answers by a script.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream, StreamExt};
use netpol_agent::source::{ClusterConfig, Update, connect, list, watch};
use netpol_agent::telemetry::Telemetry;
use policy_compiler::index::Event;
use serde_json::{Value as Json, json};
use similar_asserts::assert_eq;
use tempfile::TempDir;

/// What the server answers, in turn, by plural. A list that is not scripted is empty, a watch is silent.
#[derive(Default)]
struct Script {
    lists: BTreeMap<&'static str, VecDeque<(StatusCode, Json)>>,
    watches: BTreeMap<&'static str, VecDeque<Vec<Json>>>,
    /// The query of each list request.
    asked: Vec<String>,
}

impl Script {
    fn list(mut self, plural: &'static str, items: &[Json]) -> Self {
        self.lists
            .entry(plural)
            .or_default()
            .push_back((StatusCode::OK, page(items, "")));
        self
    }

    fn answer(mut self, plural: &'static str, code: StatusCode, body: Json) -> Self {
        self.lists
            .entry(plural)
            .or_default()
            .push_back((code, body));
        self
    }

    fn watch(mut self, plural: &'static str, events: Vec<Json>) -> Self {
        self.watches.entry(plural).or_default().push_back(events);
        self
    }
}

fn page(items: &[Json], next: &str) -> Json {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": next}, "items": items})
}

fn status(code: u16, message: &str) -> Json {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "x"})
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, uri: Uri) -> Response {
    let mut script = script.lock().expect("not poisoned");
    let query = uri.query().unwrap_or_default();
    let Some(plural) = ["namespaces", "pods", "networkpolicies"]
        .into_iter()
        .find(|p| uri.path().ends_with(p))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if query.contains("watch=true") {
        let next = script.watches.get_mut(plural).and_then(VecDeque::pop_front);
        let events = next
            .unwrap_or_default()
            .into_iter()
            .map(|event| Ok::<_, Infallible>(format!("{event}\n")));
        return Body::from_stream(stream::iter(events).chain(stream::pending())).into_response();
    }
    script.asked.push(format!("{plural} {query}"));
    let next = script.lists.get_mut(plural).and_then(VecDeque::pop_front);
    let (code, body) = next.unwrap_or_else(|| (StatusCode::OK, page(&[], "")));
    (code, body.to_string()).into_response()
}

/// The server, and a kubeconfig for it.
struct Server {
    script: Arc<Mutex<Script>>,
    folder: TempDir,
}

impl Server {
    async fn start(script: Script) -> Self {
        let script = Arc::new(Mutex::new(script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\n\
             clusters:\n- {{name: c, cluster: {{server: 'http://{address}'}}}}\nusers:\n- {{name: u, user: {{}}}}\n"
        );
        std::fs::write(folder.path().join("config"), config).expect("written");
        Self { script, folder }
    }

    async fn client(&self) -> kube::Client {
        let file = Some(self.folder.path().join("config"));
        connect(&ClusterConfig::Kubeconfig {
            file,
            context: None,
        })
        .await
        .expect("a client")
    }

    async fn watch(&self, telemetry: &Telemetry) -> BoxStream<'static, String> {
        watch(&self.client().await, telemetry)
            .map(|update| show(&update))
            .boxed()
    }
}

/// `+pod/a`, `-pod/a`, `synced`
fn show(update: &Update) -> String {
    match update {
        Update::Synced => "synced".to_owned(),
        Update::Change(Event::Pod(pod)) => format!("+pod/{}", pod.key.name),
        Update::Change(Event::PodDeleted(key)) => format!("-pod/{}", key.name),
        Update::Change(Event::Namespace(namespace)) => format!("+namespace/{}", namespace.name),
        Update::Change(Event::NamespaceDeleted(name)) => format!("-namespace/{name}"),
        Update::Change(Event::Policy(policy)) => format!("+policy/{}", policy.key.name),
        Update::Change(Event::PolicyDeleted(key)) => format!("-policy/{}", key.name),
    }
}

fn pod(name: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7", "uid": name},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}
    })
}

fn event(kind: &str, object: impl Into<Json>) -> Json {
    json!({"type": kind, "object": object.into()})
}

/// All that is said up to `last`, in order of the alphabet: the kinds come in any order.
async fn until(updates: &mut BoxStream<'static, String>, last: &str) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(update) = updates.next().await {
        if update == last {
            break;
        }
        said.push(update);
    }
    said.sort_unstable();
    said
}

#[tokio::test]
async fn all_pages_of_all_kinds_are_listed_before_it_is_synced() {
    let namespace = json!({"metadata": {"name": "shop", "resourceVersion": "1"}});
    let policy =
        json!({"metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}}});
    let script = Script::default()
        .list("namespaces", &[namespace])
        .answer("pods", StatusCode::OK, page(&[pod("a")], "more"))
        .answer("pods", StatusCode::OK, page(&[pod("b")], ""))
        .answer(
            "networkpolicies",
            StatusCode::SERVICE_UNAVAILABLE,
            status(503, "etcd has no leader"),
        )
        .list("networkpolicies", &[policy]);
    let server = Server::start(script).await;
    let telemetry = Telemetry::default();
    let mut updates = server.watch(&telemetry).await;
    assert_eq!(
        until(&mut updates, "synced").await,
        ["+namespace/shop", "+pod/a", "+pod/b", "+policy/deny"]
    );
    let asked = server.script.lock().expect("not poisoned").asked.clone();
    assert!(
        asked
            .iter()
            .any(|query| query.starts_with("pods ") && query.contains("continue=more")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn changes_follow_and_a_lost_watch_is_made_good_by_a_new_list() {
    let gone = event("ERROR", status(410, "too old resource version"));
    let script = Script::default()
        .list("pods", &[pod("a"), pod("b")])
        .watch(
            "pods",
            vec![event("ADDED", pod("c")), event("DELETED", pod("a")), gone],
        )
        .list("pods", &[pod("c"), pod("d")]);
    let server = Server::start(script).await;
    let mut updates = server.watch(&Telemetry::default()).await;
    let said = until(&mut updates, "-pod/b").await;
    assert_eq!(
        said,
        [
            "+pod/a", "+pod/b", "+pod/c", "+pod/c", "+pod/d", "-pod/a", "synced"
        ]
    );
}

#[tokio::test]
async fn objects_of_any_shape_do_not_stop_the_watch() {
    let shapeless = [
        json!(null),
        json!("x"),
        json!([]),
        json!({"metadata": {"name": 7}}),
        json!({"metadata": []}),
    ];
    let odd = json!({
        "metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "8"}, "spec": {"hostNetwork": "yes"},
    });
    let script = Script::default()
        .list("pods", &[&shapeless[..], &[pod("a")]].concat())
        .watch(
            "pods",
            vec![event("MODIFIED", odd), event("ADDED", pod("b"))],
        );
    let server = Server::start(script).await;
    let telemetry = Telemetry::default();
    let mut updates = server.watch(&telemetry).await;
    let said = until(&mut updates, "+pod/b").await;
    assert!(said.contains(&"+pod/a".to_owned()), "{said:?}");
    assert!(telemetry.invalid(netpol_agent::source::Kind::Pod) > 0);
}

#[tokio::test]
async fn readiness_tells_why_a_kind_is_not_listed() {
    let forbidden = status(
        403,
        "pods is forbidden: User \"x\" cannot list resource \"pods\"",
    );
    let script = Script::default().answer("pods", StatusCode::FORBIDDEN, forbidden);
    let server = Server::start(script).await;
    let telemetry = Telemetry::default();
    let mut updates = server.watch(&telemetry).await;
    let reason = loop {
        // The stream goes on by being polled; the answer comes by way of telemetry.
        let _ = futures::poll!(updates.next());
        let reason = telemetry
            .readiness()
            .map_or_else(|reason| reason.to_string(), |()| "ready".to_owned());
        if reason.contains("forbidden") {
            break reason;
        }
        tokio::task::yield_now().await;
    };
    assert!(reason.contains("pods (pods is forbidden"), "{reason}");
    assert!(reason.contains("ClusterRole"), "{reason}");
    // Then it is allowed.
    assert_eq!(until(&mut updates, "synced").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_single_list_takes_all_pages_and_tells_of_what_is_wrong() {
    let odd =
        json!({"metadata": {"name": "odd", "namespace": "shop"}, "spec": {"policyTypes": ["Foo"]}});
    let script = Script::default()
        .answer("pods", StatusCode::OK, page(&[pod("a")], "more"))
        .answer("pods", StatusCode::OK, page(&[pod("b")], ""))
        .list("networkpolicies", &[odd]);
    let server = Server::start(script).await;
    let (snapshot, problems) = list(&server.client().await).await.expect("listed");
    assert_eq!((snapshot.pods.len(), snapshot.policies.len()), (2, 1));
    assert!(
        problems[0].starts_with("networkpolicy shop/odd: spec.policyTypes[0]: "),
        "{problems:?}"
    );

    let refused = Script::default().answer(
        "namespaces",
        StatusCode::UNAUTHORIZED,
        status(401, "Unauthorized"),
    );
    let server = Server::start(refused).await;
    let error = list(&server.client().await)
        .await
        .expect_err("refused")
        .to_string();
    assert!(
        error.starts_with("cannot list namespaces: ") && error.contains("credentials"),
        "{error}"
    );
}
