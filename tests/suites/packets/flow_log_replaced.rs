//! An agent that is replaced: for a while two of them run on the node, and the kernel hands packets on to one.

use std::net::SocketAddr;

use netpol_tests::lab::{Agent, Expect, Lab, Probe, Signal, Topology, Transport, privileged};

use crate::flow_log_ground::{
    NODE, agent, arguments, await_first, awaited, metric, put, send, start, world,
};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, addresses, at, eventually, objects};

const UP: &str = "netpol_flow_log_up";

/// Probes of the near callee by two pods that may, or may not, talk to it.
fn from(caller: Expect, stranger: Expect) -> Vec<Probe> {
    let [near, _] = addresses(NEAR);
    [(CALLER, caller), (STRANGER, stranger)]
        .map(|(pod, expect)| Probe::new(&at(pod), near, Transport::Tcp(80)).expect(expect))
        .into()
}

fn another(lab: &Lab, folder: &std::path::Path) -> Agent {
    let listen: SocketAddr = "127.0.0.1:19470".parse().expect("an address");
    lab.start_another_agent(NODE, listen, &arguments(folder, &[]))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_next_agent_takes_over() {
    if !privileged("the_next_agent_takes_over") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(&mut lab, &folder, &[]);
    awaited("the first has the group", || {
        (metric(&lab, agent(&lab), UP) == 1).then_some(())
    });
    let next = another(&lab, &folder);
    awaited("the next says that it has not", || {
        next.log()
            .contains("drops are not logged for now")
            .then_some(())
    });
    assert_eq!(metric(&lab, &next, UP), 0, "{}", next.log());
    assert_eq!(metric(&lab, agent(&lab), UP), 1, "the first has kept it");
    send(&lab, STRANGER, NEAR, [5001]);
    await_first(agent(&lab).flow_file(), 5001);

    // Both enforce. They write the same, one after the other, and neither may undo or hinder the other for long.
    let nobody = POLICIES.replace("role: caller", "role: nobody");
    let any = POLICIES.to_owned()
        + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
           metadata: { name: any, namespace: conn }\nspec: { ingress: [{}] }\n";
    eventually(&mut lab, "at first", &from(Expect::Answer, Expect::Silence));
    put(&folder, &(objects() + &nobody));
    eventually(
        &mut lab,
        "nobody may",
        &from(Expect::Silence, Expect::Silence),
    );
    put(&folder, &(objects() + &any));
    eventually(&mut lab, "all may", &from(Expect::Answer, Expect::Answer));
    put(&folder, &(objects() + POLICIES));
    eventually(
        &mut lab,
        "as at first",
        &from(Expect::Answer, Expect::Silence),
    );

    lab.stop_agent(NODE, Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    awaited("the next gets the group", || {
        (metric(&lab, &next, UP) == 1).then_some(())
    });
    send(&lab, STRANGER, NEAR, [5002]);
    await_first(next.flow_file(), 5002);
    assert!(
        !next.flow_lines().contains("5001"),
        "that was the first's to tell"
    );
    let mismatches = metric(&lab, &next, "netpol_flow_log_mismatches_total");
    assert_eq!(mismatches, 0, "{}", next.flow_lines());
    put(&folder, &(objects() + &nobody));
    eventually(
        &mut lab,
        "the next alone",
        &from(Expect::Silence, Expect::Silence),
    );
}
