//! What every session is told first, in one batch: settings as pg_dump and pg_restore use them
//! (`setup_connection` in `pg_dump.c`, `_doSetFixedOutputState` in `pg_backup_archiver.c`).
//!
//! A batch and not startup `options`, because connection poolers refuse the latter. Invariant: whatever defaults
//! the server, the database or the role have, text read and written means the same on both ends.

use crate::error::Side;

/// The statements for a session on `side`, for a server of `version`.
pub(super) fn statements(side: Side, version: u32) -> String {
    let mut sql = String::from(
        "SET search_path = ''; \
         SET client_encoding = 'UTF8'; \
         SET DateStyle = ISO; \
         SET IntervalStyle = postgres; \
         SET extra_float_digits = 3; \
         SET bytea_output = hex; \
         SET xmloption = content; \
         SET standard_conforming_strings = on; \
         SET quote_all_identifiers = off; \
         SET array_nulls = on; \
         SET transform_null_equals = off; \
         SET default_transaction_isolation = 'read committed'; \
         SET default_transaction_deferrable = off; \
         SET statement_timeout = 0; \
         SET lock_timeout = 0; \
         SET idle_in_transaction_session_timeout = 0; \
         SET row_security = off; \
         SET synchronize_seqscans = off; \
         SET client_min_messages = warning",
    );
    let mut also = |from: u32, statement: &str| {
        if version >= from {
            sql.push_str("; ");
            sql.push_str(statement);
        }
    };
    // Compiling costs more than it gains on catalog queries, whose row estimates are wild.
    also(110_000, "SET jit = off");
    also(140_000, "SET idle_session_timeout = 0");
    // Where the client was killed, a statement or a wait for a lock ends soon, too. Other systems cannot look.
    also(
        140_000,
        "SELECT pg_catalog.set_config('client_connection_check_interval', '2s', false) WHERE pg_catalog.version() ~ 'linux'",
    );
    also(170_000, "SET transaction_timeout = 0");
    if side == Side::Target {
        also(0, "SET check_function_bodies = off");
        also(0, "SET default_transaction_read_only = off");
        also(0, "SET default_tablespace = ''");
        also(120_000, "SET default_table_access_method = heap");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_fit_side_and_version() {
        let old = statements(Side::Source, 100_000);
        assert!(!old.contains("jit") && !old.contains("transaction_timeout") && !old.contains("read_only"));
        let new = statements(Side::Target, 180_001);
        for wanted in ["jit = off", "transaction_timeout = 0", "check_function_bodies = off"] {
            assert!(new.contains(wanted), "{wanted}");
        }
    }
}
