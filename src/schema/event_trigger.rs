//! Event triggers.
//!
//! They are made when all else has been made, so that they do not fire for what the migration creates
//! (`RESTORE_PASS_POST_ACL` in `pg_backup.h`).

use super::quote::{quote_ident, quote_literal};
use super::{Enabled, Object, RenderOptions};

/// An event trigger.
#[derive(Clone, Debug, Default)]
pub struct EventTrigger {
    /// `ddl_command_start`, `sql_drop`, `login`, …
    pub event: String,
    /// The command tags it is limited to; empty: all.
    pub tags: Vec<String>,
    /// Its function, quoted and qualified.
    pub function: String,
    /// When it fires.
    pub enabled: Enabled,
}

impl EventTrigger {
    /// The event trigger, and its state where it is not the usual one.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let name = quote_ident(&object.name);
        let mut sql = format!("CREATE EVENT TRIGGER {name} ON {}", quote_ident(&self.event));
        if !self.tags.is_empty() {
            let tags: Vec<String> = self.tags.iter().map(|t| quote_literal(t)).collect();
            sql += &format!("\n         WHEN TAG IN ({})", tags.join(", "));
        }
        sql += &format!("\n   EXECUTE FUNCTION {}()", self.function);
        let mut out = vec![sql];
        if self.enabled != Enabled::Origin {
            out.push(format!("ALTER EVENT TRIGGER {name} {}", self.enabled.words()));
        }
        out
    }

    /// `DROP EVENT TRIGGER`, for which no event trigger fires.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP EVENT TRIGGER IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `EVENT TRIGGER t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("EVENT TRIGGER {}", quote_ident(&object.name))
    }
}
