//! Links, and when they carry packets.

use std::time::{Duration, Instant};

use super::{LabError, Netns};

const UP_WITHIN: Duration = Duration::from_secs(60);

/// Waits until every link of these places carries packets. The kernel notices some time after both ends are up, and drops
/// what is sent before without a word: a request that must not arrive would not, for the wrong reason.
pub fn wait_for_links<'a>(places: impl IntoIterator<Item = &'a Netns>) -> Result<(), LabError> {
    let mut waiting: Vec<&Netns> = places.into_iter().collect();
    let deadline = Instant::now() + UP_WITHIN;
    while !waiting.is_empty() {
        let answers: Vec<_> = waiting
            .iter()
            .map(|netns| netns.run_later(&["ip", "-oneline", "link"], ""))
            .collect();
        let mut down = Vec::new();
        for (netns, answer) in waiting.into_iter().zip(answers) {
            let links = answer
                .recv()
                .map_err(|_| LabError::Ended(netns.name().to_owned()))??;
            if links.lines().any(|link| is_down(link, &links)) {
                down.push(netns);
            }
        }
        if Instant::now() > deadline {
            let names: Vec<&str> = down.iter().map(|netns| netns.name()).collect();
            return Err(LabError::Spec(format!(
                "{}: links stay down",
                names.join(", ")
            )));
        }
        waiting = down;
    }
    Ok(())
}

/// Whether a line of `ip -oneline link` is of a link that is down and will come up. A bridge without ports will not,
/// and nobody needs it.
fn is_down(link: &str, all: &str) -> bool {
    let name = link.split(": ").nth(1).unwrap_or_default();
    let is_idle_bridge = !name.contains('@') && !all.contains(&format!(" master {name} "));
    (link.contains("state DOWN") || link.contains("LOWERLAYERDOWN")) && !is_idle_bridge
}
