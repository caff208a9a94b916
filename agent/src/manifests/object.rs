//! The objects of one file.

use std::io;
use std::thread;

use policy_compiler::decode::{self, Decoded, FieldError, misspelt};
use policy_compiler::model::{Name, Namespace, ObjectKey, Pod, Policy};
use serde_json::Value as Json;

use super::document::Document;
use super::error::{Excerpt, ManifestError};
use super::kind::Kind;
use super::tree::Node;

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    /// A Namespace.
    Namespace(Namespace),
    /// A Pod.
    Pod(Pod),
    /// A NetworkPolicy.
    Policy(Policy),
    /// An object of a kind netpol does not use.
    Other(Json),
}

/// Several times what the deepest document takes that is accepted.
const PARSER_STACK: usize = 32 << 20;

/// What makes an object that object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    Namespace(Name),
    Pod(ObjectKey),
    Policy(ObjectKey),
}

impl Object {
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::Namespace(namespace) => Some(Identity::Namespace(namespace.name.clone())),
            Self::Pod(pod) => Some(Identity::Pod(pod.key.clone())),
            Self::Policy(policy) => Some(Identity::Policy(policy.key.clone())),
            Self::Other(_) => None,
        }
    }
}

impl std::fmt::Display for Identity {
    /// `pod shop/web`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Pod(key) => write!(f, "pod {key}"),
            Self::Policy(key) => write!(f, "networkpolicy {key}"),
        }
    }
}

impl Identity {
    /// The namespace the object is in; none for a namespace.
    pub(crate) fn namespace(&self) -> Option<&Name> {
        match self {
            Self::Namespace(_) => None,
            Self::Pod(key) | Self::Policy(key) => Some(&key.namespace),
        }
    }
}

/// An object and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) object: Object,
    pub(super) place: Excerpt,
}

/// All of one file: what it defines and what is wrong with it. A faulty policy may be in both.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) objects: Vec<Found>,
    pub(crate) errors: Vec<ManifestError>,
    /// Whether each object in the file is in `objects`, in spite of errors perhaps.
    pub(crate) complete: bool,
}

impl File {
    /// Reads the text of the file `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        // Nesting is bounded, but not so low that any thread's stack would do.
        let parse = || Self::parse_here(name, text);
        let parsed = thread::scope(|scope| {
            let thread = thread::Builder::new()
                .stack_size(PARSER_STACK)
                .spawn_scoped(scope, parse)?;
            thread
                .join()
                .map_err(|_| io::Error::other("the parser gave up on it"))
        });
        parsed.unwrap_or_else(|error| {
            Self::unreadable(ManifestError::new(format!(
                "{name}: cannot be read: {error}"
            )))
        })
    }

    fn parse_here(name: &str, text: &str) -> Self {
        let mut file = Self {
            objects: Vec::new(),
            errors: Vec::new(),
            complete: true,
        };
        for document in Document::split(name, text) {
            match document.parse() {
                Ok(Some(root)) => file.add(&document, &root, None),
                Ok(None) => {}
                Err(error) => file.lose(error),
            }
        }
        file
    }

    /// The file that cannot be read.
    pub(crate) fn unreadable(error: ManifestError) -> Self {
        Self {
            objects: Vec::new(),
            errors: vec![error],
            complete: false,
        }
    }

    /// Notes an error that keeps an object from being known at all.
    fn lose(&mut self, error: ManifestError) {
        self.errors.push(error);
        self.complete = false;
    }

    /// Adds an object, or those of a list. `implied` is what a typed list says of its items.
    fn add(
        &mut self,
        document: &Document<'_>,
        node: &Node,
        implied: Option<(&'static str, &'static str)>,
    ) {
        if !node.is_map() {
            let problem = "not a Kubernetes object: a mapping with `apiVersion`, `kind` and `metadata` is expected";
            self.lose(ManifestError::new(problem).at(document.excerpt(node.span())));
            return;
        }
        let given = |field| {
            node.get(field)
                .and_then(Node::as_str)
                .filter(|text| !text.is_empty())
        };
        let (Some(api_version), Some(kind)) = (
            given("apiVersion").or(implied.map(|i| i.0)),
            given("kind").or(implied.map(|i| i.1)),
        ) else {
            let field = if given("apiVersion").is_none() {
                "apiVersion"
            } else {
                "kind"
            };
            let problem = format!(
                "{}: {field}: must be given, as a string",
                subject(given("kind"), node)
            );
            self.lose(ManifestError::new(problem).at(document.excerpt(node.locate_field(field))));
            return;
        };
        let place = document.excerpt(node.span());
        let object = match Kind::of(api_version, kind) {
            Ok(Kind::Namespace) => self
                .keep(document, node, decode::Kind::Namespace, decode::namespace)
                .map(Object::Namespace),
            Ok(Kind::Pod) => self
                .keep(document, node, decode::Kind::Pod, decode::pod)
                .map(Object::Pod),
            Ok(Kind::NetworkPolicy) => self
                .keep(document, node, decode::Kind::NetworkPolicy, decode::policy)
                .map(Object::Policy),
            Ok(Kind::Other) => Some(Object::Other(node.to_json())),
            Ok(Kind::List(item)) => return self.add_items(document, node, item),
            Err(misnomer) => {
                let message = format!(
                    "{}: {}: {}",
                    subject(Some(kind), node),
                    misnomer.field,
                    misnomer.problem
                );
                let place = document.excerpt(node.locate_field(misnomer.field));
                self.lose(ManifestError::new(message).at(place));
                None
            }
        };
        self.objects
            .extend(object.map(|object| Found { object, place }));
    }

    fn add_items(
        &mut self,
        document: &Document<'_>,
        list: &Node,
        implied: Option<(&'static str, &'static str)>,
    ) {
        let Some(items) = list.get("items").filter(|items| !items.is_null()) else {
            return;
        };
        let Some(items) = items.as_list() else {
            let place = document.excerpt(list.locate_field("items"));
            return self.lose(ManifestError::new("list: items: must be a list").at(place));
        };
        for item in items {
            self.add(document, item, implied);
        }
    }

    /// The decoded object; its errors go to the file's, each with its place.
    fn keep<T>(
        &mut self,
        document: &Document<'_>,
        node: &Node,
        kind: decode::Kind,
        read: impl FnOnce(&Json) -> Decoded<T>,
    ) -> Option<T> {
        let subject = subject(node.get("kind").and_then(Node::as_str), node);
        let json = node.to_json();
        let Decoded { object, errors } = read(&json);
        let told = |error: FieldError| {
            ManifestError::new(format!("{subject}: {error}"))
                .at(document.excerpt(node.locate(&error.path)))
        };
        self.errors
            .extend(errors.into_iter().chain(misspelt(kind, &json)).map(told));
        self.complete &= object.is_some();
        object
    }
}

/// How errors call an object whose fields may be anything: `networkpolicy shop/db`.
fn subject(kind: Option<&str>, node: &Node) -> String {
    let kind = kind.unwrap_or("object").to_lowercase();
    let metadata = |field| {
        node.get("metadata")
            .and_then(|m| m.get(field))
            .and_then(Node::as_str)
    };
    match metadata("name") {
        None => format!("{kind} without name"),
        Some(name) if kind == "namespace" => format!("{kind} {name}"),
        Some(name) => format!(
            "{kind} {}/{name}",
            metadata("namespace").unwrap_or("default")
        ),
    }
}
