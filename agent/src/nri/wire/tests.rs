//! The decoders against bytes as NRI's own implementation sends them, and against any bytes.

use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::messages::{self, Change, Configuration, Pod, Synchronization};
use super::multiplex::{self, Demultiplexer};
use super::protobuf::{self, Writer};
use super::ttrpc::{self, Kind, Message, Messages, Request};
use super::{LARGEST_MESSAGE, WireError};

/// What comes on each connection.
fn received(pieces: &[&[u8]]) -> Result<Vec<(u32, Message)>, WireError> {
    let mut demultiplexer = Demultiplexer::default();
    let mut connections = [Messages::default(), Messages::default()];
    let mut received = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some((connection, mut bytes)) = demultiplexer.next(&mut piece)? {
            let messages = match connection {
                multiplex::PLUGIN => &mut connections[0],
                multiplex::RUNTIME => &mut connections[1],
                _ => continue,
            };
            while let Some(message) = messages.next(&mut bytes)? {
                received.push((connection, message));
            }
        }
    }
    Ok(received)
}

#[test]
fn a_request_is_what_the_specification_says_it_is() {
    let bytes: &[u8] = &[
        0, 0, 0, 1, 0, 0, 0, 32, // connection 1, 32 bytes
        0, 0, 0, 22, 0, 0, 0, 3, 1, 0, // 22 bytes, stream 3, a request, no flags
        0x0a, 1, b'P', // service
        0x12, 1, b'm', // method
        0x1a, 2, 8, 1, // payload
        0x20, 0x80, 0xa8, 0xd6, 0xb9, 7, // 2 s in nanoseconds
        0x2a, 4, 0x0a, 2, b'k', b'v', // metadata
    ];
    let received = received(&[bytes]).expect("valid");
    let [(multiplex::PLUGIN, message)] = received.as_slice() else {
        panic!("{received:?}");
    };
    assert_eq!((message.stream, message.kind), (3, Kind::Request));
    let request = Request::read(&message.body).expect("valid");
    assert_eq!(
        request,
        Request {
            service: "P",
            method: "m",
            payload: &[8, 1],
            timeout: 2_000_000_000
        }
    );
}

#[test]
fn answers_are_what_the_specification_says_they_are() {
    assert_eq!(
        multiplex::frame(1, &ttrpc::answer(7, &messages::subscription())),
        [
            0, 0, 0, 1, 0, 0, 0, 14, // connection 1
            0, 0, 0, 4, 0, 0, 0, 7, 2, 0, // stream 7, a response
            0x12, 2, 0x10, 0b111, // events 1, 2 and 3
        ]
    );
    assert_eq!(
        ttrpc::unimplemented(9, "no"),
        [
            0, 0, 0, 8, 0, 0, 0, 9, 2, 0, // stream 9, a response
            0x0a, 6, 8, 12, 0x12, 2, b'n', b'o', // status
        ]
    );
    assert_eq!(
        messages::registration("netpol", "10"),
        *b"\x0a\x06netpol\x12\x0210"
    );
    let refused = Writer::default().bytes(1, &[8, 2, 0x12, 2, b'n', b'o']);
    let refused = ttrpc::objection(&refused.finish());
    assert_eq!(refused, Ok(Some("no".to_owned())));
    assert_eq!(ttrpc::objection(&[0x0a, 0]), Ok(None), "status 0");
    assert_eq!(ttrpc::objection(&[]), Ok(None));
}

#[test]
fn a_sandbox_is_read_with_what_matters_of_it() {
    let namespace = |kind: &str| Writer::default().text(1, kind).text(2, "/run/x").finish();
    let linux = Writer::default()
        .bytes(1, &[8, 1])
        .text(3, "/kubepods")
        .bytes(5, &namespace("pid"))
        .bytes(5, &namespace("network"))
        .bytes(5, &namespace("ipc"));
    let pod = Writer::default()
        .text(1, "c0ffee")
        .text(2, "db-0")
        .text(3, "5ca1ab1e")
        .text(4, "shop")
        .bytes(5, b"\x0a\x01a\x12\x01b")
        .bytes(8, &linux.finish())
        .number(9, 4711)
        .text(10, "10.244.1.7")
        .text(10, "no address")
        .text(10, "fd00:10:244:1::7")
        .finish();
    let run = Writer::default().bytes(1, &pod).finish();
    let read = Pod::in_field(&run, 1).expect("valid").expect("a pod");
    assert_eq!(read.has_network, Some(true));
    let sandbox = read.sandbox;
    assert_eq!(sandbox.id, "c0ffee");
    assert_eq!(sandbox.name, "db-0");
    assert_eq!(sandbox.uid, "5ca1ab1e");
    assert_eq!(sandbox.namespace, "shop");
    let addresses: Vec<IpAddr> = ["10.244.1.7", "fd00:10:244:1::7"]
        .map(|address| address.parse().expect("an address"))
        .into();
    assert_eq!(sandbox.addresses, addresses);
    assert_eq!(Pod::in_field(&[], 1), Ok(None));

    let of_the_node = Writer::default().bytes(5, &namespace("pid")).finish();
    let of_the_node = Writer::default().bytes(8, &of_the_node).finish();
    let all = Writer::default()
        .bytes(1, &of_the_node)
        .bytes(2, b"not even read")
        .bytes(1, &[])
        .number(3, 1)
        .finish();
    let all = Synchronization::read(&all).expect("valid");
    let networks: Vec<_> = all.pods.iter().map(|pod| pod.has_network).collect();
    assert_eq!(networks, [Some(false), None]);
    assert!(all.more);
    assert_eq!(all.answer(), [0x10, 1]);
}

#[test]
fn the_runtime_introduces_itself() {
    let introduction = Writer::default()
        .text(1, "---")
        .text(2, "containerd")
        .text(3, "v2.3.7")
        .number(4, 5000)
        .number(5, 2000)
        .text(6, "v0.12.0");
    let configuration = Configuration::read(&introduction.finish()).expect("valid");
    assert_eq!(configuration.runtime, "containerd");
    assert_eq!(configuration.version, "v2.3.7");
    assert_eq!(configuration.request_timeout, Some(Duration::from_secs(2)));
    let negative = Writer::default().number(5, u64::MAX).finish();
    let configuration = Configuration::read(&negative).expect("valid");
    assert_eq!(configuration.request_timeout, None);
}

#[test]
fn each_kind_of_change_has_its_number() {
    let change = |event| messages::state_change(&Writer::default().number(1, event).finish());
    assert_eq!(change(1), Ok(Some(Change::Started)));
    assert_eq!(change(2), Ok(Some(Change::Stopped)));
    assert_eq!(change(3), Ok(Some(Change::Stopped)));
    assert_eq!(change(4), Ok(None));
    assert_eq!(messages::state_change(&[]), Ok(None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    fn first(bytes: &[u8]) -> Result<(u64, protobuf::Value<'_>), WireError> {
        protobuf::fields(bytes).next().expect("a field")
    }
    assert_eq!(first(&[8]), Err(WireError::Truncated), "no value");
    assert_eq!(first(&[0x0a, 5, 1]), Err(WireError::Truncated), "too short");
    assert_eq!(first(&[0x0d, 1, 2, 3]), Err(WireError::Truncated), "fixed");
    assert_eq!(first(&[0x0b]), Err(WireError::Field), "a group");
    assert_eq!(first(&[2, 0]), Err(WireError::Field), "field 0");
    let endless = [0xff; 11];
    assert_eq!(first(&endless), Err(WireError::Number));
    let mut too_large = vec![8];
    too_large.extend([0xff; 9]);
    too_large.push(2);
    assert_eq!(first(&too_large), Err(WireError::Number), "65 bits");
    let after = protobuf::fields(&[0x0b, 8, 1]).count();
    assert_eq!(after, 1, "nothing is read behind an error");

    assert_eq!(Configuration::read(&[0x10, 1]), Err(WireError::Kind));
    assert_eq!(Configuration::read(&[0x12, 1, 0xff]), Err(WireError::Text));

    let beyond = u32::try_from(LARGEST_MESSAGE + 11).expect("small");
    let mut frame = vec![0, 0, 0, 1];
    frame.extend(beyond.to_be_bytes());
    assert_eq!(received(&[&frame]), Err(WireError::Frame(beyond)));
    let beyond = u32::try_from(LARGEST_MESSAGE + 1).expect("small");
    let mut message = beyond.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 1, 0]);
    let frame = multiplex::frame(1, &message);
    assert_eq!(received(&[&frame]), Err(WireError::Message(beyond)));
}

/// Messages of both connections in frames of any size, with frames of unknown connections and empty ones between.
fn traffic() -> impl Strategy<Value = (Vec<(u32, Message)>, Vec<u8>)> {
    let message = (1..=2u32, any::<u32>(), vec(any::<u8>(), 0..40), 1..20usize);
    vec(message, 0..8).prop_map(|messages| {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (connection, stream, body, piece) in messages {
            let message = ttrpc::answer(stream, &body);
            for piece in message.chunks(piece) {
                bytes.extend(multiplex::frame(connection, piece));
                bytes.extend(multiplex::frame(connection, &[]));
                bytes.extend(multiplex::frame(77, piece));
            }
            let body = message[10..].to_vec();
            let kind = Kind::Response;
            expected.push((connection, Message { stream, kind, body }));
        }
        (expected, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_survive_any_cuts((expected, bytes) in traffic(), cut in 1..50usize) {
        let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        prop_assert_eq!(received(&pieces), Ok(expected));
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in vec(any::<u8>(), 0..200)) {
        let _ = received(&[&bytes]);
        let framed = multiplex::frame(multiplex::PLUGIN, &bytes);
        let _ = received(&[&framed]);
        let _ = Request::read(&bytes);
        let _ = ttrpc::objection(&bytes);
        let _ = Configuration::read(&bytes);
        let _ = Synchronization::read(&bytes);
        let _ = Pod::in_field(&bytes, 1);
        let _ = messages::state_change(&bytes);
    }

    /// Nearly right is harder than random.
    #[test]
    fn no_change_of_a_valid_message_is_too_odd(place in 0..200usize, byte in any::<u8>(), end in 0..200usize) {
        let namespace = Writer::default().text(1, "network").finish();
        let linux = Writer::default().bytes(5, &namespace).finish();
        let pod = Writer::default().text(1, "id").text(2, "name").text(4, "shop").bytes(8, &linux).text(10, "::1");
        let all = Writer::default().bytes(1, &pod.finish()).number(3, 1).finish();
        let request = Request { service: messages::PLUGIN_SERVICE, method: "Synchronize", payload: &all, timeout: 1 };
        let mut bytes = multiplex::frame(multiplex::PLUGIN, &request.message(1));
        let length = bytes.len();
        bytes[place % length] = byte;
        bytes.truncate(length - end % length / 2);
        if let Ok(messages) = received(&[&bytes]) {
            for (_, message) in messages {
                if let Ok(request) = Request::read(&message.body) {
                    let _ = Synchronization::read(request.payload);
                }
            }
        }
    }

    #[test]
    fn numbers_and_texts_come_back(field in 1..1000u64, number in any::<u64>(), text in ".{0,20}") {
        let bytes = Writer::default().number(field, number).text(field + 1, &text).finish();
        let fields: Result<Vec<_>, _> = protobuf::fields(&bytes).collect();
        let expected = vec![
            (field, protobuf::Value::Number(number)),
            (field + 1, protobuf::Value::Bytes(text.as_bytes())),
        ];
        prop_assert_eq!(fields, Ok(expected));
    }
}
