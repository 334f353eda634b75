//! The two servers of a run, and what the run has made on them.

use super::measure::{self, Watch};
use super::premises::{Left, Premises};
use super::report::ServerFacts;
use super::throwaway::{Throwaway, random};
use super::{Asked, BenchError, Place, note};
use crate::error::Side;
use crate::pg::{ConnInfo, Server};
use crate::progress::Reporter;

/// One side.
#[derive(Debug)]
pub(super) struct End {
    pub server: Server,
    /// `server_version_num`.
    pub version: u32,
    /// See [`ServerFacts::optimization`].
    optimization: Option<String>,
    /// Its postmaster, where that is on this machine.
    postmaster: Option<u32>,
    throwaway: Option<Throwaway>,
}

/// Both sides.
#[derive(Debug)]
pub(super) struct Arena {
    pub source: End,
    pub target: End,
    pub premises: Premises,
}

impl Arena {
    /// Starts what is to be started, and connects.
    pub(super) async fn open(asked: &Asked, reporter: &Reporter) -> Result<Arena, BenchError> {
        let tag = format!("pg_migrator_bench_{}", &random()[..8]);
        let (source, target) = tokio::join!(
            End::open(Side::Source, &asked.source, &tag, reporter),
            End::open(Side::Target, &asked.target, &tag, reporter)
        );
        let (source, target) = (source?, target?);
        let premises = Premises::new(source.server.clone(), target.server.clone(), tag);
        Ok(Arena { source, target, premises })
    }

    /// Whose CPU is measured.
    pub(super) fn watch(&self) -> Watch {
        Watch { source: self.source.postmaster, target: self.target.postmaster }
    }

    /// Writes out what is dirty on both sides, so that nobody pays for what went before; a role that may not is no hindrance.
    pub(super) async fn checkpoint(&self) -> Result<(), BenchError> {
        for end in [&self.source, &self.target] {
            let session = end.server.connect().await?;
            if let Err(error) = session.batch("a checkpoint", "CHECKPOINT").await
                && error.is_broken()
            {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Everything that was made goes; what could not be dropped is returned.
    pub(super) async fn close(self) -> Vec<Left> {
        let throwaway = (self.source.throwaway.is_some(), self.target.throwaway.is_some());
        self.premises.clear(throwaway.0, throwaway.1).await
    }
}

impl End {
    async fn open(side: Side, place: &Place, tag: &str, reporter: &Reporter) -> Result<End, BenchError> {
        let (server, throwaway) = match place {
            Place::Given(server) => {
                // By its name all sessions of the run are found again.
                let info = ConnInfo { application_name: tag.to_owned(), ..server.info().clone() };
                (Server::new(side, info), None)
            }
            Place::Throwaway(bin) => {
                note(reporter, format!("{side}: making a server from {}", bin.display()));
                let throwaway = Throwaway::start(side, bin, tag).await?;
                (throwaway.server().clone(), Some(throwaway))
            }
        };
        let session = server.connect().await?;
        let pid: Option<i32> = session
            .value("looking for the server's process", "SELECT pg_catalog.pg_backend_pid() AS pid")
            .await?;
        let postmaster = pid.and_then(|pid| u32::try_from(pid).ok());
        let postmaster = postmaster.and_then(|pid| measure::postmaster_of(pid, server.dbname()));
        let flags = "SELECT pg_catalog.substring(setting, '(?:.* |^)(-O[^ ]*)') FROM pg_catalog.pg_config WHERE name = 'CFLAGS'";
        // Only some roles may know.
        let optimization = session.value("asking how the server was built", flags).await.unwrap_or_default();
        Ok(End {
            version: session.version(),
            optimization: optimization.flatten(),
            server,
            postmaster,
            throwaway,
        })
    }

    pub(super) fn facts(&self) -> ServerFacts {
        ServerFacts {
            version: self.version,
            throwaway: self.throwaway.is_some(),
            visible: self.postmaster.is_some(),
            optimization: self.optimization.clone(),
        }
    }
}
