//! Subscriptions of the user's own: made disabled and disconnected, as pg_dump makes them.
//!
//! Invariants: nothing is contacted by making or dropping one, so the slot on the publisher, which the source's own
//! subscription may be using, stays as it is. The connection string, which may hold a password, is written into the
//! statement and nowhere else.

use std::fmt;

use super::quote::{quote_ident, quote_literal};
use super::{Object, RenderOptions};

/// A subscription.
#[derive(Clone, Default)]
pub struct Subscription {
    /// How the publisher is reached.
    pub conninfo: String,
    /// The slot on the publisher, unquoted; `None`: none.
    pub slot: Option<String>,
    /// The publications, unquoted.
    pub publications: Vec<String>,
    /// `synchronous_commit`
    pub synchronous_commit: String,
    /// `binary` (14 and later)
    pub binary: bool,
    /// `streaming`: `on`, `off`, `parallel` (14 and later)
    pub streaming: &'static str,
    /// `two_phase` (15 and later)
    pub two_phase: bool,
    /// `disable_on_error` (15 and later)
    pub disable_on_error: bool,
    /// `password_required` (16 and later)
    pub password_required: bool,
    /// `run_as_owner` (16 and later; before, that is how it was)
    pub run_as_owner: bool,
    /// `origin` (16 and later); `any` before
    pub origin: String,
    /// `failover` (17 and later)
    pub failover: bool,
}

/// Without the connection string.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("slot", &self.slot)
            .field("publications", &self.publications)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// `CREATE SUBSCRIPTION … WITH (connect = false, …)`.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        let publications: Vec<String> = self.publications.iter().map(|p| quote_ident(p)).collect();
        let slot = match self.slot.as_deref() {
            None => ", slot_name = NONE".to_owned(),
            // The default: the server takes as such what it does not take when it is written (pg_dump writes it).
            Some(slot) if slot == object.name && !is_slot_name(slot) => String::new(),
            Some(slot) => format!(", slot_name = {}", quote_literal(slot)),
        };
        let mut sql = format!(
            "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH (connect = false{slot}",
            quote_ident(&object.name),
            quote_literal(&self.conninfo),
            publications.join(", ")
        );
        let mut with = |name: &str, value: &str| sql += &format!(", {name} = {value}");
        if self.binary {
            with("binary", "true");
        }
        // The default is off from 14, where the option came, until 17, and parallel from 18 on.
        if self.streaming != "off" || options.target_version.is_none_or(|v| v >= 180_000) {
            with("streaming", self.streaming);
        }
        if self.two_phase {
            with("two_phase", "on");
        }
        if self.disable_on_error {
            with("disable_on_error", "true");
        }
        if !self.password_required {
            with("password_required", "false");
        }
        // Before 16 there is no other way.
        if self.run_as_owner && options.target_version.is_none_or(|v| v >= 160_000) {
            with("run_as_owner", "true");
        }
        if self.failover {
            with("failover", "true");
        }
        if self.synchronous_commit != "off" {
            with("synchronous_commit", &quote_literal(&self.synchronous_commit));
        }
        if self.origin != "any" {
            with("origin", &quote_literal(&self.origin));
        }
        vec![sql + ")"]
    }

    /// `DROP SUBSCRIPTION`, after taking its slot from it: the publisher is left alone.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        let name = quote_ident(&object.name);
        vec![format!(
            "ALTER SUBSCRIPTION {name} DISABLE;\nALTER SUBSCRIPTION {name} SET (slot_name = NONE);\n\
             DROP SUBSCRIPTION IF EXISTS {name}"
        )]
    }

    /// `SUBSCRIPTION s`.
    pub fn reference(&self, object: &Object) -> String {
        format!("SUBSCRIPTION {}", quote_ident(&object.name))
    }
}

/// Whether the server takes this as the name of a slot.
fn is_slot_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
