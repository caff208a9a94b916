//! A client and a server, either side of a router that translates some of their addresses.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use netpol_agent::conntrack::{Connection, Conntrack, Which};
use netpol_tests::lab::Netns;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::exchange::{Exchange, PATIENCE};

pub(super) const CLIENT: [&str; 2] = ["10.2.0.2", "fd02::2"];
/// Of the client, too; masqueraded.
pub(super) const HIDDEN: &str = "10.2.0.3";
pub(super) const SERVER: [&str; 2] = ["10.1.0.2", "fd01::2"];
/// Of the router, towards the server.
pub(super) const ROUTER: &str = "10.1.0.1";
/// Where a service is, TCP and UDP, that the server's port 8080 stands behind.
pub(super) const SERVICE: [&str; 2] = ["10.96.0.1", "fd96::1"];
pub(super) const PORT: u16 = 8080;
/// What goes to these ports is in zone 7; or that in this direction is, in zone 8; or replies are, in zone 9.
pub(super) const ZONED: [u16; 3] = [7001, 7002, 7003];
/// What goes to these ports bears the label of that place less 7100.
pub(super) const LABELLED: u16 = 7100;
/// Labels that are set on it.
pub(super) const LABELS: [u16; 7] = [0, 7, 64, 119, 120, 126, 127];

pub(super) struct Ground {
    pub(super) client: Netns,
    pub(super) router: Netns,
    pub(super) server: Netns,
}

/// Any rule that sets a label makes the kernel give new connections room for labels; in some kernels one that looks for one
/// does, too.
const ROOM: &str = "add chain inet ground labels
add rule inet ground labels ct label set 127
add rule inet ground forward ct label 127 counter name cut drop
";

impl Ground {
    pub(super) fn new() -> Self {
        let ground = Self::without_room();
        ground.make_room();
        let labels = LABELS.iter().map(|label| {
            let port = LABELLED + label;
            format!("add rule inet ground forward udp dport {port} ct label set {label}\n")
        });
        let labels: String = labels.collect();
        ground.router.nft(&labels).expect("rules");
        ground
    }

    /// New connections get no room for labels, until [`Ground::make_room`].
    pub(super) fn without_room() -> Self {
        let [client, router, server] =
            ["client", "router", "server"].map(|name| Netns::new(name).expect("a namespace"));
        for netns in [&client, &router, &server] {
            let settings = [
                // Until it is done, nobody asks a neighbour for its address.
                ("net/ipv6/conf/all/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
            ];
            netns.sysctl(&settings).expect("settings");
        }
        for (end, device) in [(&client, "to-client"), (&server, "to-server")] {
            let place = router.path();
            let link = format!(
                "link add eth0 type veth peer name {device} netns {}\n",
                place.display()
            );
            end.ip(&link).expect("a link");
        }
        let of_client = format!(
            "addr add {}/24 dev eth0\naddr add {HIDDEN}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
             route add default via 10.2.0.1\nroute add default via fd02::1\n",
            CLIENT[0], CLIENT[1]
        );
        let of_server = format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
             route add default via {ROUTER}\nroute add default via fd01::1\n",
            SERVER[0], SERVER[1]
        );
        let of_router = format!(
            "addr add 10.2.0.1/24 dev to-client\naddr add fd02::1/64 dev to-client nodad\n\
             addr add {ROUTER}/24 dev to-server\naddr add fd01::1/64 dev to-server nodad\n\
             link set to-client up\nlink set to-server up\n"
        );
        router.ip(&of_router).expect("addresses");
        client.ip(&of_client).expect("addresses");
        server.ip(&of_server).expect("addresses");
        router.nft(&rules()).expect("rules");
        Self {
            client,
            router,
            server,
        }
    }

    pub(super) fn make_room(&self) {
        self.router.nft(ROOM).expect("rules");
    }

    /// Reads the router's list.
    pub(super) fn conntrack(&self) -> Conntrack {
        let opened = self.router.call(Conntrack::open).expect("alive");
        opened.expect("permitted")
    }

    /// The one connection that is like this.
    pub(super) fn find(&self, is_it: impl Fn(&Connection) -> bool) -> Connection {
        let mut found = Vec::new();
        let mut conntrack = self.conntrack();
        let take = |connection| {
            if is_it(&connection) && !found.contains(&connection) {
                found.push(connection);
            }
        };
        conntrack.each(&Which::All, take).expect("a list");
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0]
    }

    /// Packets that the rules saw the label of those cut on.
    pub(super) fn cut_packets(&self) -> u64 {
        let listed = ["nft", "-j", "list", "counter", "inet", "ground", "cut"];
        let listed = self.router.run(&listed, "").expect("a counter");
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let objects = listed["nftables"].as_array().expect("a list").iter();
        let counter = objects
            .map(|object| &object["counter"])
            .find(|c| c.is_object());
        counter.expect("a counter")["packets"]
            .as_u64()
            .expect("a number")
    }

    pub(super) fn tcp(&self, from: &str, to: (&str, u16), at: (&str, u16)) -> Exchange {
        let at = socket(at);
        let listener = self.server.call(move || TcpListener::bind(at));
        let listener = listener.expect("alive").expect("a socket");
        let (from, to) = (socket((from, 0)), socket(to));
        let stream = self.client.call(move || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&from.into())?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            Ok::<TcpStream, std::io::Error>(socket.into())
        });
        let stream = stream.expect("alive").expect("a connection");
        let (other, _) = listener.accept().expect("a connection");
        Exchange::Tcp(stream, other)
    }

    pub(super) fn udp(&self, from: &str, to: (&str, u16), at: (&str, u16)) -> Exchange {
        let (from, to, at) = (socket((from, 0)), socket(to), socket(at));
        let there = self.server.call(move || UdpSocket::bind(at));
        let here = self.client.call(move || {
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            Ok::<_, std::io::Error>(socket)
        });
        let here = here.expect("alive").expect("a socket");
        let mut exchange = Exchange::Udp(here, there.expect("alive").expect("a socket"));
        assert!(exchange.passes(), "{from} to {to}");
        exchange
    }

    /// Echo requests with this identifier.
    pub(super) fn icmp(&self, from: &str, to: &str, id: u16) -> Exchange {
        let (from, to) = (socket((from, 0)), socket((to, 0)));
        let here = self.client.call(move || {
            let protocol = match to {
                SocketAddr::V4(_) => Protocol::ICMPV4,
                SocketAddr::V6(_) => Protocol::ICMPV6,
            };
            let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol))?;
            socket.bind(&from.into())?;
            Ok::<_, std::io::Error>(socket)
        });
        let mut exchange = Exchange::Icmp(here.expect("alive").expect("a socket"), to, id, 0);
        assert!(exchange.passes(), "{from} to {to}");
        exchange
    }
}

fn socket((address, port): (&str, u16)) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

fn rules() -> String {
    let [in_7, in_8, in_9] = ZONED;
    format!(
        "table inet ground {{
  counter cut {{ }}
  chain zones {{
    type filter hook prerouting priority raw
    udp dport {in_7} ct zone set 7
    udp sport {in_7} ct zone set 7
    udp dport {in_8} ct original zone set 8
    udp dport {in_9} ct reply zone set 9
    udp sport {in_9} ct reply zone set 9
  }}
  chain services {{
    type nat hook prerouting priority dstnat
    ip daddr {} meta l4proto {{ tcp, udp }} th dport 80 dnat ip to {}:{PORT}
    ip6 daddr {} meta l4proto {{ tcp, udp }} th dport 80 dnat ip6 to [{}]:{PORT}
  }}
  chain hidden {{
    type nat hook postrouting priority srcnat
    ip saddr {HIDDEN} masquerade
  }}
  chain forward {{
    type filter hook forward priority filter
  }}
}}
",
        SERVICE[0], SERVER[0], SERVICE[1], SERVER[1]
    )
}
