//! Leading: of several replicas only the one that holds the Lease acts.
//!
//! The Lease does not fence GitHub or Google, so every effect is keyed or conditional as
//! well; what it saves is double work. A replica that can not renew stops at once, in the
//! middle of whatever it does: as after a crash, the next one makes up for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::edges::cluster::{Cluster, Hold, Keeper};

/// How long the Lease lasts without a renewal.
pub const LEASE_LASTS: Duration = Duration::from_secs(15);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long one look may take: less than the Lease lasts, so that a holder has stopped
/// before another one begins.
const LOOK_TAKES: Duration = Duration::from_secs(5);

/// Whether this replica acts, as the server may ask at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Holder,
    /// Another one acts, at this address; or nobody does.
    Standby {
        address: Option<String>,
    },
}

/// The standing, shared between server and lead.
#[derive(Debug, Clone)]
pub struct Stand(Arc<Mutex<Standing>>);

impl Stand {
    pub fn new(standing: Standing) -> Self {
        Self(Arc::new(Mutex::new(standing)))
    }

    pub fn get(&self) -> Standing {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Does `work` whenever this replica holds the Lease, and stops it when it does not.
/// Does not end, unless the work does.
pub async fn lead<W: Future<Output = ()>>(
    cluster: &Cluster,
    keeper: &mut Keeper,
    stand: &Stand,
    clock: &Clock,
    work: impl Fn() -> W,
) {
    loop {
        until_held(cluster, keeper, stand, clock).await;
        tracing::info!("this replica holds the Lease");
        stand.set(Standing::Holder);
        tokio::select! {
            () = work() => return,
            address = until_lost(cluster, keeper, clock) => {
                stand.set(Standing::Standby { address });
            }
        }
        tracing::warn!("this replica lost the Lease, and stops");
    }
}

async fn until_held(cluster: &Cluster, keeper: &mut Keeper, stand: &Stand, clock: &Clock) {
    loop {
        match cluster.hold_lease(keeper, clock.now()).await {
            Ok(Hold::Held) => return,
            Ok(Hold::HeldBy { holder, address }) => {
                tracing::debug!(holder, "another replica holds the Lease");
                stand.set(Standing::Standby { address });
            }
            Err(error) => {
                tracing::warn!(%error, "the Lease can not be read");
                stand.set(Standing::Standby { address: None });
            }
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Renews until the Lease is somebody else's, and says where that one is; or until it could
/// not be renewed for too long.
async fn until_lost(cluster: &Cluster, keeper: &mut Keeper, clock: &Clock) -> Option<String> {
    loop {
        clock.sleep(LOOK_EVERY).await;
        let asked = tokio::select! {
            asked = cluster.hold_lease(keeper, clock.now()) => Some(asked),
            () = clock.sleep(LOOK_TAKES) => None,
        };
        match asked {
            Some(Ok(Hold::Held)) => {}
            Some(Ok(Hold::HeldBy { address, .. })) => return address,
            Some(Err(error)) => tracing::warn!(%error, "the Lease can not be renewed"),
            None => tracing::warn!("the Lease can not be renewed: no answer"),
        }
        if !keeper.holds(clock.now()) {
            return None;
        }
    }
}
