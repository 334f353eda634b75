//! The two written forms of a connection string.
