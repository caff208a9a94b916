//! Any bytes, and right ones in any pieces.

use proptest::collection::vec;
use proptest::prelude::*;

use super::received;
use crate::nri::wire::messages::{self, Configuration, Pod, Synchronization};
use crate::nri::wire::multiplex;
use crate::nri::wire::protobuf::{self, Writer};
use crate::nri::wire::ttrpc::{self, Kind, Message, Request};

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
