//! What is ordered, with a loop that the test plays.

use super::look::ordered;
use super::*;
use crate::conntrack::Tuple;

const NODE: &str = "172.30.0.1";
const GOT: &str = "172.30.0.9";
const FAR: &str = "10.0.2.1";

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    let addresses = texts.iter().map(|text| text.parse().expect("an address"));
    addresses.collect()
}

fn flow(from: &str) -> Connection {
    let [from, to] = [from, "10.0.1.2"].map(|text| text.parse().expect("an address"));
    Connection::new(Tuple::new((from, 40_000), (to, 80), 6))
}

/// What is to be done where everything is cut but what the node opened, and how often that was asked. The node has `NODE` at
/// first, and these later.
fn asked(found: &[Connection], later: &[&str]) -> (Vec<(Order, Connection)>, usize) {
    let (worker, orders, told) = Worker::new();
    let Worker {
        tell,
        told: mut hears,
    } = worker;
    let judge = thread::spawn(move || {
        let (mut own, mut times) = (addresses(&[NODE]), 0);
        while let Some(told) = hears.blocking_recv() {
            match told {
                Told::Own(now) => own = now,
                Told::Found(found) => {
                    times += 1;
                    let cut = found.into_iter().filter(|c| !own.contains(&c.source()));
                    let orders = cut.map(|connection| (Order::Cut, connection)).collect();
                    tell.send(Tell::Do(orders)).expect("it waits");
                }
                other => panic!("{other:?}"),
            }
        }
        times
    });
    let mut talk = Talk {
        orders: &orders,
        told: &told,
        is_over: false,
    };
    let mut own = addresses(&[NODE]);
    let ordered = ordered(found, &mut own, || Ok(addresses(later)), &mut talk);
    drop(told);
    (ordered.expect("orders"), judge.join().expect("no panic"))
}

#[test]
fn what_the_node_opened_from_an_address_it_has_just_got_is_its_own() {
    let cut = |from| (Order::Cut, flow(from));
    let found = [NODE, GOT, FAR].map(flow);
    let (orders, times) = asked(&found, &[NODE, GOT]);
    assert_eq!((orders, times), (vec![cut(FAR)], 2));
    let (orders, times) = asked(&found[..2], &[NODE, GOT]);
    assert_eq!((orders, times), (vec![], 2));
    // What it got does not matter to these, or it got nothing.
    let (orders, times) = asked(&[flow(FAR)], &[NODE, GOT]);
    assert_eq!((orders, times), (vec![cut(FAR)], 1));
    let (orders, times) = asked(&found, &[NODE]);
    assert_eq!((orders, times), (vec![cut(GOT), cut(FAR)], 1));
}

#[test]
fn nothing_is_ordered_when_nobody_judges_any_more() {
    let (worker, orders, told) = Worker::new();
    drop(worker);
    let mut talk = Talk {
        orders: &orders,
        told: &told,
        is_over: false,
    };
    let mut own = addresses(&[]);
    let ordered = ordered(&[flow(FAR)], &mut own, || Ok(addresses(&[])), &mut talk);
    assert_eq!(ordered.expect("no error"), []);
    assert!(talk.is_over);
}
