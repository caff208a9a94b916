//! Addresses that go from pod to pod.

use super::*;

#[test]
fn an_address_that_moved_belongs_to_whom_it_belonged() {
    let mut world = World::new();
    let (db, web) = (pod("shop/db", "10.0.0.2"), pod("shop/web", "10.0.0.1"));
    let before = world.syn(Direction::Ingress, &db, "10.0.0.1", "10.0.0.2", 5432);
    // The peer's address goes to another pod, and so does the subject's.
    world.take(Event::PodDeleted(web.key.clone()));
    world.take(Event::Pod(pod("shop/api", "10.0.0.1")));
    world.take(Event::PodDeleted(db.key.clone()));
    world.take(Event::Pod(pod("shop/new-db", "10.0.0.2")));
    world.settle();
    let event = world.explain(&before);
    assert_eq!(key_of(&event.source), "shop/web uid of shop/web");
    assert_eq!(key_of(&event.destination), "shop/db uid of shop/db");
    assert!(matches!(&event.reason, Reason::NoRule { isolating, .. } if isolating.len() == 1));
    let mut after = before.clone();
    after.time = world.now;
    // The kernel still dropped it in the chain of the pod that has gone.
    let event = world.explain(&after);
    assert_eq!(key_of(&event.source), "shop/api uid of shop/api");
    assert_eq!(key_of(&event.destination), "shop/db uid of shop/db");
}

#[test]
fn a_replacement_under_the_same_name_is_another_pod() {
    let mut world = World::new();
    let old = pod("shop/db", "10.0.0.2");
    let new = Pod {
        uid: "new".into(),
        ..pod("shop/db", "10.0.0.3")
    };
    world.take(Event::Pod(new.clone()));
    world.settle();
    let event = world.explain(&world.syn(Direction::Ingress, &old, "10.0.0.1", "10.0.0.2", 1));
    assert_eq!(key_of(&event.destination), "shop/db uid of shop/db");
    let event = world.explain(&world.syn(Direction::Ingress, &new, "10.0.0.1", "10.0.0.3", 1));
    assert_eq!(key_of(&event.destination), "shop/db new");
}

#[test]
fn addresses_move_with_pods_and_not_with_their_labels() {
    let mut world = World::new();
    let db = || pod("shop/db", "10.0.0.2");
    let rows = [
        (
            "the same",
            Event::Pod(Pod {
                labels: Labels::default(),
                ..db()
            }),
            &[][..],
        ),
        (
            "another address",
            Event::Pod(pod("shop/db", "10.0.0.3")),
            &["10.0.0.2", "10.0.0.3"],
        ),
        (
            "another life",
            Event::Pod(Pod {
                uid: "2".into(),
                ..pod("shop/db", "10.0.0.3")
            }),
            &["10.0.0.3"],
        ),
        ("its end", Event::PodDeleted(db().key), &["10.0.0.3"]),
    ];
    for (what, event, expected) in rows {
        world.take(event);
        let moved: Vec<String> = world.moved.iter().map(ToString::to_string).collect();
        assert_eq!(moved, expected, "{what}");
    }
}

#[test]
fn before_everything_was_known_things_were_as_they_turned_out() {
    let mut world = World::new();
    let late = world.now;
    world.attribution = Attribution::new(world.attribution.node.clone());
    let listed = ["shop/db", "shop/web"].map(|key| {
        pod(
            key,
            if key == "shop/db" {
                "10.0.0.2"
            } else {
                "10.0.0.1"
            },
        )
    });
    for pod in &listed {
        world.now += Duration::from_secs(1);
        world.attribution.before(
            &Event::PodDeleted(pod.key.clone()),
            &world.compiler,
            world.now,
        );
        world
            .attribution
            .before(&Event::Pod(pod.clone()), &world.compiler, world.now);
    }
    let sighting = Sighting {
        time: late,
        ..world.syn(Direction::Ingress, &listed[0], "10.0.0.1", "10.0.0.2", 5432)
    };
    let event = world.explain(&sighting);
    assert!(matches!(&event.source.who, Who::Pod(pod) if pod.key == listed[1].key));
}
