//! The API server as a source.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use policy_compiler::model::{Namespace, Pod, Policy};
use tracing::info;

use super::object::{Object, Watched};
use super::relist::{Relist, Step};
use super::trouble::Trouble;
use super::{Kind, Update};
use crate::telemetry::Telemetry;

/// How long a watch may be silent before it is asked for anew: bounds how long a dead connection goes unnoticed.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Watches the three kinds. Never ends: what fails is tried again, with growing pauses.
pub fn watch(client: &Client, telemetry: &Telemetry) -> impl Stream<Item = Update> + use<> {
    let kinds = [
        watch_kind::<Namespace>(client, telemetry),
        watch_kind::<Pod>(client, telemetry),
        watch_kind::<Policy>(client, telemetry),
    ];
    merge(stream::select_all(kinds), telemetry.clone())
}

/// Joins the kinds' steps, and says when all of them have been listed.
fn merge(
    steps: impl Stream<Item = (Kind, Step)>,
    telemetry: Telemetry,
) -> impl Stream<Item = Update> {
    let mut awaited = BTreeSet::from(Kind::ALL);
    for kind in Kind::ALL {
        telemetry.waiting_for(kind.plural(), None);
    }
    steps.flat_map(move |(kind, step)| {
        let mut updates: Vec<Update> = step.changes.into_iter().map(Update::Change).collect();
        if step.list_complete && awaited.remove(&kind) {
            telemetry.has_arrived(kind.plural());
            info!(kind = kind.plural(), "listed");
            updates.extend(awaited.is_empty().then_some(Update::Synced));
        }
        stream::iter(updates)
    })
}

fn watch_kind<T: Watched>(
    client: &Client,
    telemetry: &Telemetry,
) -> BoxStream<'static, (Kind, Step)>
where
    Object<T>: kube::Resource<DynamicType = ()>,
{
    let api: Api<Object<T>> = Api::all(client.clone());
    let seconds = u32::try_from(WATCH_TIMEOUT.as_secs()).unwrap_or(u32::MAX);
    let config = watcher::Config::default().timeout(seconds);
    let mut relist = Relist::<T>::new(telemetry.clone());
    let mut trouble = Trouble::new(T::KIND, telemetry.clone());
    watcher(api, config)
        .default_backoff()
        .map(move |result| match result {
            Ok(event) => {
                // `Init` only says that a list is about to be asked for.
                if !matches!(event, watcher::Event::Init) {
                    trouble.over();
                }
                let step = relist.step(event);
                if step.list_complete {
                    trouble.listed();
                }
                (T::KIND, step)
            }
            Err(error) => {
                trouble.with(&error);
                (T::KIND, Step::default())
            }
        })
        .boxed()
}
