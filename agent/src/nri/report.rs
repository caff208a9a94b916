//! What is told to the agent.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::GateEvent;
use super::error::Broken;

/// See the module.
#[derive(Debug)]
pub(super) struct Report {
    events: mpsc::Sender<GateEvent>,
    lost: bool,
}

impl Report {
    pub(super) fn new(events: mpsc::Sender<GateEvent>) -> Self {
        Self {
            events,
            lost: false,
        }
    }

    /// Tells at once, or not at all: the runtime waits.
    pub(super) fn tell(&mut self, event: GateEvent) -> Result<(), Broken> {
        if matches!(event, GateEvent::Connected { .. }) {
            self.lost = false;
        }
        self.events.try_send(event).map_err(|error| match error {
            TrySendError::Full(_) => Broken::Behind,
            TrySendError::Closed(_) => Broken::Deserted,
        })
    }

    /// Tells that there is no connection, unless that was the last thing said about it.
    pub(super) async fn lost(&mut self, why: &Broken) -> Result<(), Broken> {
        tracing::debug!(%why, "no NRI connection");
        if self.lost {
            return Ok(());
        }
        self.lost = true;
        let why = why.to_string();
        let sent = self.events.send(GateEvent::Lost { why }).await;
        sent.map_err(|_| Broken::Deserted)
    }

    /// Waits until nobody takes what is told.
    pub(super) fn deserted(&self) -> impl Future<Output = ()> + use<> {
        let events = self.events.clone();
        async move { events.closed().await }
    }
}
