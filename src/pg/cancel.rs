//! Ending what a session's server process is doing, from outside.
//!
//! Invariant: the request goes to the very address the session is on, encrypted as the session is (PostgreSQL
//! protocol, "Canceling Requests in Progress").

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio_postgres::CancelToken;

use super::conninfo::{ConnInfo, Host};
use super::socket::{self, Address, OpenError};
use super::stream::Ready;

/// A cancel request takes one round trip; a server that needs longer is not going to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Cancels the running statement of one session; the session lives on.
#[derive(Clone)]
pub struct CancelHandle {
    info: Arc<ConnInfo>,
    host: Host,
    address: Address,
    tls: bool,
    token: CancelToken,
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("host", &self.host.display()).finish_non_exhaustive()
    }
}

impl CancelHandle {
    pub(super) fn new(
        info: Arc<ConnInfo>,
        host: Host,
        address: Address,
        tls: bool,
        token: CancelToken,
    ) -> Self {
        CancelHandle { info, host, address, tls, token }
    }

    /// Asks the server to cancel; returns when the server has read the request. Whether a statement was running and
    /// was ended is told by that statement alone (SQLSTATE 57014). Failures are of no use to anyone and are
    /// only traced. At most ten seconds.
    pub async fn cancel(&self) {
        let request = async {
            let mut stream = socket::open(&self.info, &self.host, &self.address, self.tls).await?;
            let sent = self.token.cancel_query_raw(&mut stream, Ready).await;
            sent.map_err(|e| OpenError::Io(std::io::Error::other(e)))?;
            // The server hangs up once it has passed the request on.
            let _ = stream.read(&mut [0; 16]).await;
            Ok::<(), OpenError>(())
        };
        match tokio::time::timeout(LIMIT, request).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::debug!("cancel request to {} failed: {e:?}", self.host.display()),
            Err(_) => tracing::debug!("cancel request to {} had no answer", self.host.display()),
        }
    }
}
