//! What the kernel tells of other programs' changes: real edits by `nft`, in a namespace of their own.

mod edits;
mod many;

use std::time::Duration;

use netpol_agent::dataplane::{
    Dataplane, Disturbance, Foreign, NOTICES, NetlinkDataplane, Watcher,
};
use netpol_tests::lab::{LabError, Netns};
use policy_compiler::ruleset::Transaction;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// What is not told by then will not be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace that is watched.
struct Watched {
    netns: Netns,
    runtime: Runtime,
    dataplane: NetlinkDataplane,
    watcher: Watcher,
}

impl Watched {
    fn new(name: &str) -> Self {
        Self::with_buffer(name, NOTICES)
    }

    fn with_buffer(name: &str, bytes: usize) -> Self {
        let make = || -> Result<Self, LabError> {
            let netns = Netns::new(name)?;
            // Sockets belong to the namespace they were opened in; a runtime wakes whoever waits for them anywhere.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let (dataplane, watcher, runtime) = netns.call(move || {
                let dataplane = NetlinkDataplane::open().expect("a socket");
                let entered = runtime.handle().clone();
                let _entered = entered.enter();
                let watcher = Watcher::with_buffer(&dataplane, bytes).expect("a watcher");
                (dataplane, watcher, runtime)
            })?;
            Ok(Self {
                netns,
                runtime,
                dataplane,
                watcher,
            })
        };
        make().unwrap_or_else(|error| panic!("{error}"))
    }

    fn commit(&mut self, transaction: &Transaction) {
        let committed = self.runtime.block_on(self.dataplane.commit(transaction));
        committed.unwrap_or_else(|error| panic!("{error}"));
    }

    fn nft(&self, script: &str) {
        let loaded = self.netns.nft(script);
        loaded.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The next disturbance.
    fn next(&mut self) -> Disturbance {
        let next = async { timeout(PATIENCE, self.watcher.next()).await };
        self.runtime.block_on(next).expect("a disturbance")
    }

    /// What `nft` did next.
    fn foreign(&mut self) -> Foreign {
        match self.next() {
            Disturbance::Foreign(foreign) => foreign,
            Disturbance::Overrun => panic!("an overrun"),
        }
    }

    /// Makes sure that nothing was told before what is done now.
    fn assert_nothing(&mut self, row: &str) {
        self.nft("add counter inet netpol last\n");
        let foreign = self.foreign();
        assert_eq!(foreign.to_string(), "1 other", "{row}");
        self.nft("delete counter inet netpol last\n");
        assert_eq!(self.foreign().to_string(), "1 other", "{row}");
    }
}
