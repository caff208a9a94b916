//! `key=value`, for people and `grep`: what one looks for comes first.

use policy_compiler::model::Name;

use crate::flow_log::event::{FlowEvent, Line, LostEvent, Who};

use super::{escape, id, limits, tell, time};

pub(super) fn write(line: &Line) -> String {
    let mut pairs = Pairs::default();
    match line {
        Line::Flow(event) => flow(&mut pairs, event),
        Line::Lost(event) => lost(&mut pairs, event),
    }
    pairs.line.push('\n');
    pairs.line
}

fn lost(pairs: &mut Pairs, lost: &LostEvent) {
    pairs.push("time", &time::rfc3339(lost.time));
    pairs.push("verdict", "lost");
    pairs.push("count", &lost.count.to_string());
    pairs.push("lost_at", tell::lost_at(lost.at));
    pairs.push("node", lost.node.as_str());
}

fn flow(pairs: &mut Pairs, event: &FlowEvent) {
    let (extent, count, since) = tell::extent(event.extent);
    pairs.push("time", &time::rfc3339(event.time));
    pairs.push("verdict", "dropped");
    pairs.push("direction", event.direction.as_str());
    pairs.push("src", &tell::who(&event.source));
    pairs.push_some("src_ip", event.source.address);
    pairs.push("dst", &tell::who(&event.destination));
    pairs.push_some("dst_ip", event.destination.address);
    if let Some(transport) = event.transport {
        pairs.push("proto", &tell::protocol(transport));
        pairs.push_some("dport", tell::ports(transport).map(|(_, port)| port));
        pairs.push_some("icmp_type", tell::icmp(transport).map(|(kind, _)| kind));
        pairs.push_some("icmp_code", tell::icmp(transport).map(|(_, code)| code));
    }
    pairs.push("reason", tell::reason(&event.reason));
    let policies = tell::isolating(&event.reason);
    if !policies.is_empty() {
        pairs.push("denied_by", &tell::keys(&limits::policies(policies)));
    }
    pairs.push("why", &tell::why(event));
    let hints: Vec<_> = event
        .hints
        .iter()
        .take(limits::HINTS)
        .map(|hint| limits::sentence(&hint.text))
        .collect();
    if !hints.is_empty() {
        pairs.push("hint", &hints.join(" | "));
    }
    pairs.push("extent", extent);
    pairs.push("count", &count.to_string());
    pairs.push_some("since", since.map(time::rfc3339));
    pairs.push_some(
        "suppressed",
        (event.suppressed > 0).then_some(event.suppressed),
    );
    pairs.push("node", event.node.as_str());
    for (end, workload, node) in [
        (&event.source, "src_workload", "src_node"),
        (&event.destination, "dst_workload", "dst_node"),
    ] {
        if let Who::Pod(pod) = &end.who {
            let text = pod.workload.as_ref().map(ToString::to_string);
            pairs.push_some(workload, text.as_deref().map(limits::name));
            pairs.push_some(node, pod.node.as_ref().map(Name::as_str));
        }
    }
    if let Some(transport) = event.transport {
        pairs.push_some("sport", tell::ports(transport).map(|(port, _)| port));
        let flags = tell::tcp_flags(transport).map(|flags| tell::flag_names(flags).join(","));
        pairs.push_some("flags", flags);
        pairs.push_some("fragment", tell::is_fragment(transport).then_some(true));
    }
    if let Some(interface) = &event.interface {
        let index = interface.index.to_string();
        let name = interface.name.as_deref().unwrap_or(&index);
        pairs.push("interface", &limits::name(name));
    }
    pairs.push("id", &id::of(event));
}

#[derive(Default)]
struct Pairs {
    line: String,
}

impl Pairs {
    fn push_some(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.push(key, &value.to_string());
        }
    }

    fn push(&mut self, key: &str, value: &str) {
        if !self.line.is_empty() {
            self.line.push(' ');
        }
        self.line.push_str(key);
        self.line.push('=');
        let is_plain = |c: char| !matches!(c, ' ' | '=' | '"' | '\\') && !escape::is_harmful(c);
        if !value.is_empty() && value.chars().all(is_plain) {
            self.line.push_str(value);
            return;
        }
        self.line.push('"');
        for character in value.chars() {
            match character {
                '"' | '\\' => self.line.extend(['\\', character]),
                '\n' => self.line.push_str("\\n"),
                '\r' => self.line.push_str("\\r"),
                '\t' => self.line.push_str("\\t"),
                harmful if escape::is_harmful(harmful) => {
                    escape::push_escaped(&mut self.line, harmful);
                }
                harmless => self.line.push(harmless),
            }
        }
        self.line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_a_reader_would_stop_or_err() {
        for (value, expected) in [
            ("", r#"k="""#),
            ("shop/web", "k=shop/web"),
            ("a,b:c|d'e…", "k=a,b:c|d'e…"),
            ("two words", r#"k="two words""#),
            ("a=b", r#"k="a=b""#),
            (r#"say "no""#, r#"k="say \"no\"""#),
            (r"C:\", r#"k="C:\\""#),
            ("a\nb\r\t", r#"k="a\nb\r\t""#),
            ("\u{1b}[31m\u{85}\u{202e}", r#"k="\u001b[31m\u0085\u202e""#),
        ] {
            let mut pairs = Pairs::default();
            pairs.push("k", value);
            assert_eq!(pairs.line, expected, "{value:?}");
        }
    }

    #[test]
    fn pairs_stand_one_space_apart() {
        let mut pairs = Pairs::default();
        pairs.push("a", "1");
        pairs.push_some("b", None::<&str>);
        pairs.push_some("c", Some(3));
        assert_eq!(pairs.line, "a=1 c=3");
    }
}
