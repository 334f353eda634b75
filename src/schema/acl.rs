//! Privileges: `aclitem[]` to `GRANT` and `REVOKE` (`src/bin/pg_dump/dumputils.c`, `buildACLCommands`).

/// Privileges of an object and of its columns, with what they are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {}
