//! Random faults in a manifest.

use serde_json::{Map, Value, json};

/// A small pseudo-random generator (xorshift), so that a printed seed is enough to see a failure again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or_default()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "app",
    "A b",
    "-x",
    "80",
    "http",
    "a--b",
    "TCP",
    "tcp",
    "UDP",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "Gt",
    "Ingress",
    "Egress",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.0.0.7/24",
    "010.0.0.0/8",
    "10.0.0.0/08",
    "::/0",
    "::ffff:10.0.0.0/104",
    "fd00::/8",
    "fd00::1/8",
    "00010::/16",
    "shop",
    "example.com/x",
];

/// Makes one or two changes somewhere in `value`.
pub(crate) fn mutate(value: &mut Value, random: &mut Random) {
    for _ in 0..=random.below(2) {
        let mut pointers = Vec::new();
        collect(value, "", &mut pointers);
        let pointer = random.one_of(&pointers).clone();
        if let Some(place) = value.pointer_mut(&pointer) {
            change(place, random);
        }
    }
}

/// The JSON pointers below `value`.
fn collect(value: &Value, here: &str, all: &mut Vec<String>) {
    let mut child = |step: &str, value: &Value| {
        let pointer = format!("{here}/{}", step.replace('~', "~0").replace('/', "~1"));
        all.push(pointer.clone());
        collect(value, &pointer, all);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| child(key, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, value)| child(&i.to_string(), value)),
        _ => {}
    }
}

fn change(place: &mut Value, random: &mut Random) {
    match place {
        Value::Object(map) if random.below(3) > 0 => change_object(map, random),
        Value::Array(items) if random.below(3) > 0 => match random.below(3) {
            0 => items.push(any(random)),
            1 => drop(items.pop()),
            _ => items.extend(items.first().cloned()),
        },
        _ => *place = any(random),
    }
}

fn change_object(map: &mut Map<String, Value>, random: &mut Random) {
    let keys: Vec<String> = map.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let key = random.one_of(&keys);
    let held = map.remove(key);
    match random.below(3) {
        0 => {}
        1 => {
            map.insert(format!("{key}x"), held.unwrap_or_default());
        }
        _ => {
            map.insert(key.clone(), any(random));
        }
    }
}

fn any(random: &mut Random) -> Value {
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(80),
        json!(8500),
        json!(65535),
        json!(65536),
        json!(-1),
        json!(2_147_483_648_u64),
        json!(80.0),
        json!([]),
        json!({}),
        json!([null]),
        json!({"matchLabels": {"a": "b"}}),
        json!(["a"]),
    ];
    if random.below(2) == 0 {
        Value::from(*random.one_of(TEXTS))
    } else {
        random.one_of(&others).clone()
    }
}
