//! What comes of looks that fail, one after another.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::conntrack::ConntrackError;

pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The pause after the last look, if that failed, and when it was last told.
#[derive(Debug, Default)]
pub(super) struct Failures(Option<(Duration, Instant)>);

impl Failures {
    /// One failed. Returns the pause until it is tried again: longer and longer. Changes bring it on, and must not fill the
    /// log.
    pub(super) fn again(&mut self, error: &ConntrackError, now: Instant) -> Duration {
        let (pause, told) = match self.0 {
            None => (FIRST_RETRY, None),
            Some((before, told)) => {
                let is_news = now - told >= before;
                ((before * 2).min(LAST_RETRY), (!is_news).then_some(told))
            }
        };
        if told.is_none() {
            warn!(%error, again_in = ?pause, "cannot look for connections that policies forbid; policies are enforced for new ones");
        } else {
            debug!(%error, "again");
        }
        self.0 = Some((pause, told.unwrap_or(now)));
        pause
    }

    /// One did not.
    pub(super) fn end(&mut self) {
        if self.0.take().is_some() {
            info!("connections can be looked at again");
        }
    }
}
