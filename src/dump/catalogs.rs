//! What every reader gets: the session, and the server's version to branch on.

use crate::pg::Session;

/// The catalogs of one database under one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Catalogs<'a> {
    /// In a `REPEATABLE READ READ ONLY` transaction.
    pub session: &'a Session,
    /// `server_version_num`.
    pub version: u32,
}
