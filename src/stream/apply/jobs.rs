//! How many lanes the target is worth, where nobody has said.
//!
//! They are used where they pay (`crate::stream::pressure`). Invariant: at least one; more than the processors that the target is known to
//! have only where they are not known.

use bytes::Bytes;

use crate::pg::{SqlError, Wire};

/// More do not pay: the source decodes with one process, and four lanes apply faster than it sends.
const MOST: usize = 4;
/// Where the processors cannot be seen: two sessions are nowhere too much, and let one work while the other waits for the disk.
const UNSEEN: usize = 2;

/// Lanes by the target's processors. PostgreSQL tells them nowhere; who may read the server's files is told by `/proc/cpuinfo` on Linux.
///
/// # Errors
/// A broken connection. That the file may not be read is no error.
pub(crate) async fn default_jobs(wire: &mut Wire) -> Result<usize, SqlError> {
    const WHAT: &str = "looking for the target's processors";
    const SQL: &str = "SELECT pg_catalog.pg_read_file('/proc/cpuinfo') \
         WHERE pg_catalog.has_function_privilege('pg_catalog.pg_read_file(text)', 'EXECUTE') \
         AND pg_catalog.pg_has_role('pg_read_server_files', 'MEMBER')";
    match wire.rows(WHAT, SQL).await {
        Ok(rows) => Ok(lanes(rows.first().and_then(|row| row.first()?.as_ref()))),
        Err(error) if error.is_broken() => Err(error),
        Err(_) => Ok(UNSEEN),
    }
}

fn lanes(cpuinfo: Option<&Bytes>) -> usize {
    let Some(text) = cpuinfo else { return UNSEEN };
    let processors = text.split(|b| *b == b'\n').filter(|line| line.starts_with(b"processor")).count();
    if processors == 0 { UNSEEN } else { processors.min(MOST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_processors_that_are_seen() {
        let seen = |text: &'static str| lanes(Some(&Bytes::from_static(text.as_bytes())));
        assert_eq!(seen("processor\t: 0\nmodel name\t: x\n"), 1);
        assert_eq!(seen("processor\t: 0\n\nprocessor\t: 1\n\nprocessor\t: 2\n"), 3);
        assert_eq!(seen(&"processor\t: 0\n".repeat(64).leak()[..]), MOST);
        assert_eq!(seen("Features : none of ours\n"), UNSEEN);
        assert_eq!(lanes(None), UNSEEN);
    }
}
