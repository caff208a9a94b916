//! What is said of changes.

use policy_compiler::decode;
use policy_compiler::index::Compiler;
use policy_compiler::model::NodeScope;
use serde_json::json;

use super::*;

fn key(text: &str) -> ObjectKey {
    text.parse().expect("a key")
}

fn policy(namespace: &str, name: &str, types: &[&str]) -> Event {
    let policy = decode::policy(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"policyTypes": types}
    }));
    Event::Policy(policy.object.expect("valid"))
}

fn pod(namespace: &str, name: &str, app: &str, address: &str) -> Event {
    let pod = decode::pod(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {"nodeName": "node-a"}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    }));
    Event::Pod(pod.object.expect("valid"))
}

fn causes(before: Vec<Event>, events: Vec<Event>) -> Causes {
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    before.into_iter().for_each(|event| compiler.apply(event));
    let mut causes = Causes::default();
    for event in events {
        causes.note(&event, compiler.snapshot());
        compiler.apply(event);
    }
    causes
}

#[test]
fn what_happened_to_an_object_is_one_word() {
    let before = || {
        vec![
            policy("shop", "db", &["Ingress"]),
            pod("shop", "web", "web", "10.0.0.1"),
        ]
    };
    let rows = [
        (
            vec![policy("shop", "db", &["Ingress"])],
            vec!["the rules were put right"],
        ),
        (
            vec![policy("shop", "db", &["Egress"])],
            vec!["NetworkPolicy shop/db changed"],
        ),
        (
            vec![policy("shop", "x", &["Egress"])],
            vec!["NetworkPolicy shop/x added"],
        ),
        (
            vec![Event::PolicyDeleted(key("shop/db"))],
            vec!["NetworkPolicy shop/db deleted"],
        ),
        (
            vec![
                Event::PolicyDeleted(key("shop/db")),
                policy("shop", "db", &["Egress"]),
            ],
            vec!["NetworkPolicy shop/db changed"],
        ),
        (
            vec![Event::PolicyDeleted(key("shop/none"))],
            vec!["the rules were put right"],
        ),
        (
            vec![pod("shop", "web", "else", "10.0.0.1")],
            vec!["Pod shop/web relabelled"],
        ),
        (
            vec![
                pod("shop", "web", "else", "10.0.0.1"),
                pod("shop", "web", "else", "10.0.0.2"),
            ],
            vec!["Pod shop/web changed"],
        ),
        (
            vec![Event::PodDeleted(key("shop/web"))],
            vec!["Pod shop/web deleted"],
        ),
    ];
    for (events, expected) in rows {
        let text = format!("{events:?}");
        assert_eq!(
            causes(before(), events).of(&[&key("shop/web")]),
            expected,
            "{text}"
        );
    }
}

#[test]
fn causes_are_those_that_can_be_about_the_connection() {
    let mut events = vec![policy("else", "x", &["Egress"])];
    let of = |events: &[Event], pods: &[&str]| {
        let pods: Vec<ObjectKey> = pods.iter().map(|pod| key(pod)).collect();
        let pods: Vec<&ObjectKey> = pods.iter().collect();
        causes(vec![], events.to_vec()).of(&pods)
    };
    // One must be, whatever one thinks.
    assert_eq!(of(&events, &["shop/web"]), ["NetworkPolicy else/x added"]);
    events.push(policy("shop", "db", &["Ingress"]));
    events.push(pod("shop", "cron", "a", "10.0.0.9"));
    assert_eq!(of(&events, &["shop/web"]), ["NetworkPolicy shop/db added"]);
    assert_eq!(
        of(&events, &["shop/web", "shop/cron"]),
        ["NetworkPolicy shop/db added", "Pod shop/cron added"]
    );
}

#[test]
fn many_are_counted() {
    let events: Vec<Event> = (0..REMEMBERED + 20)
        .map(|i| policy("shop", &format!("p{i:03}"), &["Ingress"]))
        .collect();
    let causes = causes(vec![], events);
    assert_eq!(causes.objects.len(), REMEMBERED);
    let told = causes.of(&[&key("shop/web")]);
    assert_eq!(told.len(), TOLD + 1);
    assert_eq!(told[0], "NetworkPolicy shop/p000 added");
    assert_eq!(told[TOLD], format!("and {} more", REMEMBERED - TOLD));
    assert_eq!(
        causes.of(&[&key("other/web")]).last().map(String::as_str),
        Some(&*format!("and {} more", REMEMBERED + 20 - TOLD))
    );
    assert_eq!(
        Causes::occasion("the agent started").of(&[]),
        ["the agent started"]
    );
}
