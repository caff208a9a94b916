//! Connections that bear the label of those that were cut: reset or dropped at their next packet, from either end. Who
//! labels them is another matter: here it is a table of the test's.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use netpol_tests::lab::{Lab, NODES, Place, Topology, privileged, uninterrupted};
use policy_compiler::compile::Protection;

use crate::world::{CALLER, FAR, NEAR, addresses, at, build, deny_all};

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);

/// Both ends of connections over both protocols.
struct Talk {
    name: String,
    streams: [TcpStream; 2],
    sockets: [UdpSocket; 2],
}

impl Talk {
    fn begin(lab: &Lab, from: &Place, to: &Place, port: u16, ends: [IpAddr; 2]) -> Self {
        let [near, far] = [from, to].map(|place| lab.host(place).expect("a place").netns());
        let server = SocketAddr::new(ends[1], port);
        let (listener, answering) = far
            .call(move || (TcpListener::bind(server), UdpSocket::bind(server)))
            .expect("alive");
        let (listener, answering) = (listener.expect("free"), answering.expect("free"));
        let client = SocketAddr::new(ends[0], port);
        let (stream, asking) = near
            .call(move || {
                let asking = UdpSocket::bind(client);
                (TcpStream::connect_timeout(&server, LONG), asking)
            })
            .expect("alive");
        let (stream, asking) = (stream.expect("connected"), asking.expect("free"));
        asking.connect(server).expect("a way");
        answering.connect(client).expect("a way");
        let accepted = listener.accept().expect("connected").0;
        for stream in [&stream, &accepted] {
            stream.set_read_timeout(Some(LONG)).expect("a time");
        }
        let mut talk = Self {
            name: format!("{} at {} to {} at {}", from, ends[0], to, ends[1]),
            streams: [stream, accepted],
            sockets: [asking, answering],
        };
        talk.goes_on("at first");
        talk
    }

    /// Each end hears of the other.
    fn goes_on(&mut self, when: &str) {
        let [first, second] = &mut self.streams;
        let mut buffer = [0; 4];
        let said = first
            .write_all(b"ping")
            .and_then(|()| second.read_exact(&mut buffer));
        let said = said.and_then(|()| second.write_all(b"pong"));
        said.and_then(|()| first.read_exact(&mut buffer))
            .unwrap_or_else(|error| panic!("{} over TCP, {when}: {error}", self.name));
        for (from, to) in [(0, 1), (1, 0)] {
            let heard = self.says(from, to, LONG);
            assert!(heard, "{} over UDP from {from} to {to}, {when}", self.name);
        }
    }

    fn says(&self, from: usize, to: usize, within: Duration) -> bool {
        let (from, to) = (&self.sockets[from], &self.sockets[to]);
        to.set_read_timeout(Some(within)).expect("a time");
        from.send(b"ping").expect("sent");
        match uninterrupted(|| to.recv(&mut [0; 16])) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// A word in each protocol, that may not arrive.
    fn say_something(&mut self) {
        self.says(0, 1, SHORT);
        self.streams[0].write_all(b"ping").expect("taken");
    }

    /// Neither end hears of the other any more, and both are told over TCP.
    fn is_cut(&mut self) {
        // Who is asked must not get through either: the connection is known from its other side.
        for (from, to) in [(1, 0), (0, 1)] {
            let heard = self.says(from, to, SHORT);
            assert!(!heard, "{} over UDP from {from} to {to}", self.name);
        }
        for (number, stream) in self.streams.iter_mut().enumerate() {
            if number == 1 {
                stream.write_all(b"pong").expect("the first is taken");
            }
            let answer = uninterrupted(|| stream.read(&mut [0; 4]));
            let kind = answer.map_err(|error| error.kind());
            let reset = Err(ErrorKind::ConnectionReset);
            assert_eq!(kind, reset, "{}, end {number}", self.name);
        }
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    GoesOn,
    IsCut,
    /// It bears the label, but what the node itself sends is not judged.
    IsTheNodes,
}

/// Labels what is tracked of a family, and no more after that.
fn label(lab: &Lab, family: &str, packets: impl FnOnce()) {
    let run = |script: &str| {
        for node in &NODES {
            let host = lab.host(&Place::node(node.name)).expect("a node");
            host.netns()
                .nft(script)
                .unwrap_or_else(|error| panic!("{error}"));
        }
    };
    for hook in ["prerouting", "output"] {
        run(&format!(
            "table inet lab_labels {{\n chain {hook} {{\n type filter hook {hook} priority -150;\n \
             meta nfproto {family} ct state established ct label set 127\n }}\n}}\n"
        ));
    }
    packets();
    run("delete table inet lab_labels\n");
}

#[test]
fn a_cut_connection_ends_at_its_next_packet() {
    if !privileged("a_cut_connection_ends_at_its_next_packet") {
        return;
    }
    for topology in Topology::ALL {
        let lab = build(topology);
        let protection = |_: &_| Protection {
            revocable: true,
            ..Protection::default()
        };
        // The rules that ask for the label are there with the first pod that is isolated: a bystander is.
        let mut world = deny_all();
        world
            .policies
            .retain(|key, _| key.namespace.as_str() == "else");
        lab.load_protected(&world, protection)
            .unwrap_or_else(|error| panic!("{error}"));
        let node = Place::node("node-a");
        let mut talks: Vec<(Fate, Talk)> = Vec::new();
        let mut port = 7000;
        for (family, fate) in [(0, Fate::GoesOn), (1, Fate::IsCut)] {
            let of_node: [IpAddr; 2] = [NODES[0].v4.into(), NODES[0].v6.into()];
            let caller = addresses(CALLER)[family];
            for callee in [NEAR, FAR] {
                port += 1;
                let ends = [caller, addresses(callee)[family]];
                talks.push((
                    fate,
                    Talk::begin(&lab, &at(CALLER), &at(callee), port, ends),
                ));
            }
            port += 1;
            let ends = [of_node[family], caller];
            let talk = Talk::begin(&lab, &node, &at(CALLER), port, ends);
            let is_labelled = fate == Fate::IsCut;
            talks.push((if is_labelled { Fate::IsTheNodes } else { fate }, talk));
        }
        label(&lab, "ipv6", || {
            for (_, talk) in &mut talks {
                talk.say_something();
            }
        });
        for (fate, talk) in &mut talks {
            match fate {
                Fate::GoesOn => {
                    let said = talk.streams[1].read_exact(&mut [0; 4]);
                    said.expect(&talk.name);
                    talk.goes_on("beside those that were cut");
                }
                Fate::IsCut => talk.is_cut(),
                Fate::IsTheNodes => assert!(talk.says(0, 1, LONG), "{}", talk.name),
            }
        }
        let counters = lab.counters("node-a");
        let cut = counters.unwrap_or_else(|error| panic!("{error}"))["cut"];
        assert!(cut >= 10, "{topology}: {cut} packets counted");
    }
}
