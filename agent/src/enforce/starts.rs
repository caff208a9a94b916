//! Pods that start, and wait until their rules are in the kernel.

use futures::FutureExt;
use tokio::time::Instant;
use tracing::warn;

use super::enforcer::{Enforcer, Progress};
use crate::pod_start::{Occurrence, Programmed};
use crate::port_guard::Binder;

impl Enforcer {
    /// Takes what the runtime says, or where pods are.
    pub(super) fn pod_start(&mut self, occurrence: Occurrence) {
        for event in self.pod_start.take(occurrence) {
            self.apply(event);
        }
        let closed = self.pod_start.closed();
        if closed != self.protection.closed.as_ref() {
            self.protection.closed = closed.cloned();
            self.compiler.protect(self.protection.clone());
            if matches!(self.progress, Progress::NoPodHere | Progress::Writing) {
                self.tell_strangers();
            }
        }
        if self.progress == Progress::Settling && self.pod_start.is_settled() {
            self.all_is_known();
        }
        self.applied();
    }

    /// Tells of pods of other nodes where this node's pods should be alone: what they send here is dropped.
    pub(super) fn tell_strangers(&self) {
        let Some(places) = &self.protection.closed else {
            return;
        };
        let is_here = |address| {
            places
                .networks
                .iter()
                .any(|network| network.contains(&address))
        };
        let stranger = self.compiler.snapshot().pods.values().find_map(|pod| {
            let address = pod.network_addresses().iter().find(|a| is_here(*a))?;
            (!self.scope.is_local(pod)).then_some((pod, address))
        });
        if let Some((pod, address)) = stranger {
            warn!(pod = %pod.key, %address, "a pod of another node has an address of this node's pod ranges: what such pods send \
                to this node is dropped; --pod-cidr must hold this node's pods alone");
        }
    }

    /// Notes that the compiler has taken something in.
    pub(super) fn applied(&mut self) {
        self.taken += 1;
        self.pod_start.applied(self.taken);
        if self.progress == Progress::Writing {
            self.schedule.changed(Instant::now());
        }
    }

    /// Lets those start whose rules are in the kernel.
    pub(super) fn answer(&mut self) {
        let Some(in_kernel) = self.in_kernel.filter(|_| self.has_written()) else {
            return;
        };
        for programmed in self.pod_start.committed(in_kernel) {
            match self.port_guard.binder() {
                Some(binder) => self.binding.push(bound(binder, programmed).boxed()),
                None => self.pod_start.go(programmed),
            }
        }
    }
}

/// Completes when a pod is bound to its port whose rules are in the kernel.
async fn bound(binder: Binder, programmed: Programmed) -> Programmed {
    binder.bind(&programmed.sandbox.addresses).await;
    programmed
}
