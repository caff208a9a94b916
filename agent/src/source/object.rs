//! API objects as they come off the wire: decoded on the spot, whatever shape they are in.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Resource;
use policy_compiler::decode::{self, Decoded};
use policy_compiler::index::Event;
use policy_compiler::model::{Name, Namespace, ObjectKey, Pod, Policy};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::Kind;

/// A kind of object that can be watched.
pub(super) trait Watched: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What names one object of the kind.
    type Key: Clone + Ord + std::fmt::Display + Send + 'static;
    /// Whether the kind lives in namespaces.
    type Scope;
    const KIND: Kind;

    fn decode(json: &Json) -> Decoded<Self>;
    fn key(namespace: Option<&str>, name: &str) -> Option<Self::Key>;
    /// The object's key, of the same texts.
    fn own_key(&self) -> Self::Key;
    /// Makes two keys share what is the same in them.
    fn share(_: &mut Self::Key, _: &Self::Key) {}
    fn changed(self) -> Event;
    fn deleted(key: Self::Key) -> Event;
}

impl Watched for Pod {
    type Key = ObjectKey;
    type Scope = NamespaceResourceScope;
    const KIND: Kind = Kind::Pod;

    fn decode(json: &Json) -> Decoded<Self> {
        decode::pod(json)
    }

    fn key(namespace: Option<&str>, name: &str) -> Option<ObjectKey> {
        object_key(namespace, name)
    }

    fn own_key(&self) -> ObjectKey {
        self.key.clone()
    }

    fn share(key: &mut ObjectKey, other: &ObjectKey) {
        share_namespace(key, other);
    }

    fn changed(self) -> Event {
        Event::Pod(self)
    }

    fn deleted(key: ObjectKey) -> Event {
        Event::PodDeleted(key)
    }
}

impl Watched for Namespace {
    type Key = Name;
    type Scope = ClusterResourceScope;
    const KIND: Kind = Kind::Namespace;

    fn decode(json: &Json) -> Decoded<Self> {
        decode::namespace(json)
    }

    fn key(_: Option<&str>, name: &str) -> Option<Name> {
        Name::parse(name).ok()
    }

    fn own_key(&self) -> Name {
        self.name.clone()
    }

    fn changed(self) -> Event {
        Event::Namespace(self)
    }

    fn deleted(key: Name) -> Event {
        Event::NamespaceDeleted(key)
    }
}

impl Watched for Policy {
    type Key = ObjectKey;
    type Scope = NamespaceResourceScope;
    const KIND: Kind = Kind::NetworkPolicy;

    fn decode(json: &Json) -> Decoded<Self> {
        decode::policy(json)
    }

    fn key(namespace: Option<&str>, name: &str) -> Option<ObjectKey> {
        object_key(namespace, name)
    }

    fn own_key(&self) -> ObjectKey {
        self.key.clone()
    }

    fn share(key: &mut ObjectKey, other: &ObjectKey) {
        share_namespace(key, other);
    }

    fn changed(self) -> Event {
        Event::Policy(self)
    }

    fn deleted(key: ObjectKey) -> Event {
        Event::PolicyDeleted(key)
    }
}

fn object_key(namespace: Option<&str>, name: &str) -> Option<ObjectKey> {
    Some(ObjectKey::new(
        Name::parse(namespace?).ok()?,
        Name::parse(name).ok()?,
    ))
}

fn share_namespace(key: &mut ObjectKey, other: &ObjectKey) {
    if key.namespace == other.namespace {
        key.namespace.clone_from(&other.namespace);
    }
}

/// An object as the watch delivers it.
///
/// Any JSON value at all deserializes: an error here would end the watch of every object of the kind, over one of them.
/// Only what policy can see is kept, since a list page holds hundreds of these at once.
#[derive(Clone, Debug)]
pub(super) struct Object<T> {
    /// Just the name, the namespace and the version: all the watcher asks for.
    meta: ObjectMeta,
    pub(super) decoded: Decoded<T>,
}

impl<T: Watched> Object<T> {
    /// Reads the object from JSON.
    pub(super) fn new(json: &Json) -> Self {
        let text = |field| {
            json.pointer(field)
                .and_then(Json::as_str)
                .map(str::to_owned)
        };
        let meta = ObjectMeta {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Self {
            meta,
            decoded: T::decode(json),
        }
    }

    /// The object's identity, `None` if it has no usable name.
    pub(super) fn key(&self) -> Option<T::Key> {
        T::key(self.meta.namespace.as_deref(), self.meta.name.as_deref()?)
    }

    /// What to call an object whose name may be of any shape.
    pub(super) fn display_name(&self) -> String {
        let name = self.meta.name.as_deref().unwrap_or("(without name)");
        self.meta.namespace.as_deref().map_or_else(
            || name.to_owned(),
            |namespace| format!("{namespace}/{name}"),
        )
    }
}

impl<'de, T: Watched> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = T::KIND.read(deserializer)?;
        Ok(Self::new(&json))
    }
}

impl<T: Watched> Resource for Object<T> {
    type DynamicType = ();
    type Scope = T::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        T::KIND.name().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        // The core group has no name, and its API version nothing before the slash.
        let group = T::KIND.api_version().split_once('/');
        group.map_or("", |(group, _)| group).into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        T::KIND.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
