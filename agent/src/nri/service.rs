//! What this plugin answers to each question of the runtime. No socket and no clock.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::Broken;
use super::known::Known;
use super::patience::Patience;
use super::wire::messages::{self, Change, Configuration, PLUGIN_SERVICE, Pod, Synchronization};
use super::wire::ttrpc::{self, Request};
use super::{Answer, GateEvent, Sandbox};

/// Pods that may wait at a time. The runtimes there are ask about one after the other.
pub(super) const MOST_WAITING: usize = 256;

/// What to do about a question.
#[derive(Debug)]
pub(super) enum Reply {
    /// Send this message.
    Now(Vec<u8>),
    /// Send an empty answer as soon as this resolves, or the time is over.
    Once(oneshot::Receiver<()>, Duration),
}

/// One connection's state.
#[derive(Debug)]
pub(super) struct Service<'k> {
    known: &'k mut Known,
    pub(super) patience: Patience,
    configuration: Configuration,
    /// Those told of in parts of a synchronization, while others follow.
    running: HashSet<String>,
    synchronized: bool,
    tells_addresses: bool,
}

impl<'k> Service<'k> {
    pub(super) fn new(known: &'k mut Known) -> Self {
        Self {
            known,
            patience: Patience::default(),
            configuration: Configuration::default(),
            running: HashSet::new(),
            synchronized: false,
            tells_addresses: false,
        }
    }

    /// Whether the runtime has told which sandboxes there are: from then on it asks before it starts one.
    pub(super) fn is_synchronized(&self) -> bool {
        self.synchronized
    }

    /// Answers a question, while so many others wait; adds to `events` what there is to tell.
    ///
    /// A question about a pod is never refused: its pod would not start. What cannot be read ends the connection instead,
    /// and the runtime goes on without this plugin.
    pub(super) fn answer(
        &mut self,
        stream: u32,
        request: &Request<'_>,
        waiting: usize,
        events: &mut Vec<GateEvent>,
    ) -> Result<Reply, Broken> {
        let payload = request.payload;
        if request.service != PLUGIN_SERVICE {
            return Ok(unknown(stream, request));
        }
        let change = match request.method {
            "Configure" => {
                self.configuration = Configuration::read(payload)?;
                let timeout = self.configuration.request_timeout;
                self.patience.configure(timeout);
                return Ok(now(stream, &messages::subscription()));
            }
            "Synchronize" => {
                let all = Synchronization::read(payload)?;
                let answer = all.answer();
                self.synchronize(all, events)?;
                return Ok(now(stream, &answer));
            }
            "RunPodSandbox" => Some((Change::Started, 1)),
            "StopPodSandbox" | "RemovePodSandbox" => Some((Change::Stopped, 1)),
            // Before NRI 0.12 this was the only method for all that happens to sandboxes.
            "StateChange" => messages::state_change(payload)?.map(|change| (change, 2)),
            "Shutdown" => None,
            _ => return Ok(unknown(stream, request)),
        };
        if let Some((change, field)) = change
            && let Some(pod) = Pod::in_field(payload, field)?
        {
            match change {
                Change::Started => {
                    return self.start(stream, pod, request.timeout, waiting, events);
                }
                Change::Stopped => events.extend(self.stop(pod.sandbox)),
            }
        }
        Ok(now(stream, &[]))
    }

    fn synchronize(
        &mut self,
        all: Synchronization,
        events: &mut Vec<GateEvent>,
    ) -> Result<(), Broken> {
        self.tells_addresses |= all.pods.iter().any(|pod| !pod.sandbox.addresses.is_empty());
        if all.pods.iter().any(has_untold_addresses) {
            self.expect_addresses()?;
        }
        if !self.synchronized {
            self.synchronized = true;
            events.push(GateEvent::Connected {
                runtime: self.configuration.runtime.clone(),
                version: self.configuration.version.clone(),
            });
        }
        for pod in all.pods {
            // What was stopped and is not yet removed is told too. Its addresses may be another's.
            if pod.sandbox.addresses.is_empty() || pod.has_network == Some(false) {
                continue;
            }
            self.running.insert(pod.sandbox.id.clone());
            self.known.add(&pod.sandbox);
            let (answer, _) = Answer::awaited();
            events.push(GateEvent::Started(pod.sandbox, answer));
        }
        if !all.more {
            let running = std::mem::take(&mut self.running);
            let gone = self.known.retain(&running);
            events.extend(gone.into_iter().map(GateEvent::Stopped));
        }
        Ok(())
    }

    fn start(
        &mut self,
        stream: u32,
        pod: Pod,
        timeout: i64,
        waiting: usize,
        events: &mut Vec<GateEvent>,
    ) -> Result<Reply, Broken> {
        if has_untold_addresses(&pod) {
            self.expect_addresses()?;
        }
        let sandbox = pod.sandbox;
        if sandbox.addresses.is_empty() {
            // On the node's network: nothing of its own to program.
            return Ok(now(stream, &[]));
        }
        self.tells_addresses = true;
        self.known.add(&sandbox);
        let (answer, answered) = Answer::awaited();
        if waiting >= MOST_WAITING {
            drop(answered);
            events.push(GateEvent::Started(sandbox, answer));
            return Ok(now(stream, &[]));
        }
        events.push(GateEvent::Started(sandbox, answer));
        Ok(Reply::Once(answered, self.patience.of(timeout)))
    }

    fn stop(&mut self, mut sandbox: Sandbox) -> Option<GateEvent> {
        let known = self.known.remove(&sandbox.id);
        if sandbox.addresses.is_empty() {
            sandbox.addresses = known?.addresses;
        }
        Some(GateEvent::Stopped(sandbox))
    }

    /// There is a pod with a network of its own and no address. Is that so with all of them?
    fn expect_addresses(&self) -> Result<(), Broken> {
        if self.tells_addresses {
            return Ok(());
        }
        let Configuration {
            runtime, version, ..
        } = &self.configuration;
        Err(Broken::NoAddresses {
            runtime: format!("{runtime} {version}"),
        })
    }
}

fn has_untold_addresses(pod: &Pod) -> bool {
    pod.has_network == Some(true) && pod.sandbox.addresses.is_empty()
}

fn now(stream: u32, payload: &[u8]) -> Reply {
    Reply::Now(ttrpc::answer(stream, payload))
}

fn unknown(stream: u32, request: &Request<'_>) -> Reply {
    let why = format!("netpol has no {}/{}", request.service, request.method);
    Reply::Now(ttrpc::unimplemented(stream, &why))
}
