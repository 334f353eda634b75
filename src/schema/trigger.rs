//! Triggers of users; those that enforce foreign keys come with their constraint.
//!
//! A row trigger on a partitioned table is cloned to its partitions by the server. A clone is in the model only where
//! its state differs from its parent's, and then only the state is set (`dumpTrigger` in `pg_dump.c`).

use super::quote::{qualified, quote_ident};
use super::{Address, Object, RenderOptions};

/// A trigger.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The relation it is on.
    pub table: Address,
    /// That relation's name, unquoted; its schema is the object's.
    pub table_name: String,
    /// The statement as `pg_get_triggerdef` writes it, without the semicolon; `None`: the clone of a partitioned table's
    /// trigger, which exists once its parent does.
    pub statement: Option<String>,
    /// When it fires.
    pub enabled: Enabled,
}

/// When a trigger or a rule fires, by `session_replication_role` (`pg_trigger.tgenabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Enabled {
    /// In sessions of role origin and local; what `CREATE` makes.
    #[default]
    Origin,
    /// Never.
    Disabled,
    /// In sessions of role replica only.
    Replica,
    /// Always.
    Always,
}

impl Enabled {
    /// From the catalog's letter; an unknown one means the default.
    pub fn from_letter(letter: &str) -> Self {
        match letter {
            "D" => Enabled::Disabled,
            "R" => Enabled::Replica,
            "A" => Enabled::Always,
            _ => Enabled::Origin,
        }
    }

    /// The words of `ALTER TABLE` before `TRIGGER` or `RULE`.
    pub fn words(self) -> &'static str {
        match self {
            Enabled::Origin => "ENABLE",
            Enabled::Disabled => "DISABLE",
            Enabled::Replica => "ENABLE REPLICA",
            Enabled::Always => "ENABLE ALWAYS",
        }
    }
}

impl Trigger {
    /// The trigger, and its state where it is not the usual one.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut out: Vec<String> = self.statement.iter().cloned().collect();
        if out.is_empty() || self.enabled != Enabled::Origin {
            out.push(format!(
                "ALTER TABLE {} {} TRIGGER {}",
                self.table_of(object),
                self.enabled.words(),
                quote_ident(&object.name)
            ));
        }
        out
    }

    /// `DROP TRIGGER`; a clone goes with its parent.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        if self.statement.is_none() {
            return Vec::new();
        }
        vec![format!("DROP TRIGGER IF EXISTS {} ON {}", quote_ident(&object.name), self.table_of(object))]
    }

    /// `TRIGGER t ON s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TRIGGER {} ON {}", quote_ident(&object.name), self.table_of(object))
    }

    fn table_of(&self, object: &Object) -> String {
        qualified(object.namespace.as_deref().unwrap_or_default(), &self.table_name)
    }
}
