//! Sequences: free ones, those owned by a column, and those behind identity columns.
//!
//! Invariant: an identity column's sequence is made by making the column an identity, never by `CREATE SEQUENCE`;
//! its owner is the table's.

use super::RenderOptions;
use super::column::Identity;
use super::object::{Address, Object};
use super::quote::{quote_ident, quote_literal};
use super::table::Relative;

/// A sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// `bigint`, `integer` or `smallint`.
    pub data_type: String,
    /// `START WITH`
    pub start: i64,
    /// `INCREMENT BY`
    pub increment: i64,
    /// `MINVALUE`
    pub min: i64,
    /// `MAXVALUE`
    pub max: i64,
    /// `CACHE`
    pub cache: i64,
    /// `CYCLE`
    pub cycle: bool,
    /// `UNLOGGED` (15 and later).
    pub unlogged: bool,
    /// The column that owns it.
    pub owned_by: Option<OwnedBy>,
    /// The sequence of an identity column, [`Sequence::owned_by`] says which.
    pub identity: Option<Identity>,
    /// `last_value` and `is_called`; `None`: the role that read the schema may not read this sequence.
    pub value: Option<(i64, bool)>,
    /// An extension makes it and has marked its value as the user's (`pg_extension_config_dump`): only the value is set.
    pub of_extension: bool,
}

/// The column a sequence belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedBy {
    /// Its table.
    pub table: Relative,
    /// Whether that table is unlogged.
    pub table_unlogged: bool,
    /// Its name, unquoted.
    pub column: String,
    /// Its type, as `format_type` spells it without modifiers.
    pub column_type: String,
    /// Whether its table is a partition that may have an identity column of its own (sources older than 17).
    pub of_partition: bool,
}

impl Sequence {
    /// The table that must exist before it: an identity sequence's. A sequence that is merely owned comes before the
    /// table whose default calls it, and is tied to it afterwards ([`Sequence::own`]).
    pub fn needs_table(&self) -> Option<Address> {
        self.identity.and(self.owned_by.as_ref()).map(|o| o.table.address)
    }

    /// The statements that make it.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        if self.of_extension {
            return Vec::new();
        }
        let name = object.qualified_name();
        let owner = self.owned_by.as_ref();
        // A partition takes no identity from 17 on: the column gets what it does as a default.
        let refused = options.target_version.is_some_and(|v| v >= 170_000);
        let as_default = owner.filter(|o| self.identity.is_some() && o.of_partition && refused);
        let identity = self.identity.zip(owner).filter(|_| as_default.is_none());
        let mut out = match identity {
            Some((identity, owner)) => format!(
                "ALTER TABLE {} ALTER COLUMN {} ADD GENERATED {} AS IDENTITY (\n    SEQUENCE NAME {name}",
                owner.table.name,
                quote_ident(&owner.column),
                match identity {
                    Identity::Always => "ALWAYS",
                    Identity::ByDefault => "BY DEFAULT",
                }
            ),
            None => {
                let unlogged = if self.unlogged { "UNLOGGED " } else { "" };
                let mut out = format!("CREATE {unlogged}SEQUENCE {name}");
                if self.data_type != "bigint" {
                    out.push_str(&format!("\n    AS {}", self.data_type));
                }
                out
            }
        };
        out.push_str(&format!("\n    START WITH {}\n    INCREMENT BY {}", self.start, self.increment));
        let (min, max) = self.default_bounds();
        if Some(self.min) == min {
            out.push_str("\n    NO MINVALUE");
        } else {
            out.push_str(&format!("\n    MINVALUE {}", self.min));
        }
        if Some(self.max) == max {
            out.push_str("\n    NO MAXVALUE");
        } else {
            out.push_str(&format!("\n    MAXVALUE {}", self.max));
        }
        out.push_str(&format!("\n    CACHE {}", self.cache));
        if self.cycle {
            out.push_str("\n    CYCLE");
        }
        let mut statements = vec![out];
        if let Some(owner) = as_default {
            let (table, column) = (&owner.table.name, quote_ident(&owner.column));
            statements.push(format!("ALTER SEQUENCE {name} OWNED BY {table}.{column}"));
            statements.push(format!(
                "ALTER TABLE ONLY {table} ALTER COLUMN {column} SET DEFAULT pg_catalog.nextval({})",
                quote_literal(&name)
            ));
        }
        if let Some((_, owner)) = identity {
            statements[0].push_str("\n)");
            // Making the column an identity gives the sequence the column's type.
            if owner.column_type != self.data_type {
                statements.push(format!(
                    "ALTER SEQUENCE {name} AS {} MINVALUE {} MAXVALUE {}",
                    self.data_type, self.min, self.max
                ));
            }
            // Before 15 no sequence is unlogged, whatever its table is.
            let can_differ = options.target_version.is_none_or(|v| v >= 150_000);
            if can_differ && self.unlogged != owner.table_unlogged {
                let to = if self.unlogged { "UNLOGGED" } else { "LOGGED" };
                statements.push(format!("ALTER SEQUENCE {name} SET {to}"));
            }
        }
        statements
    }

    /// The bounds that the sequence gets when none are given (`init_params` in `sequence.c`).
    fn default_bounds(&self) -> (Option<i64>, Option<i64>) {
        let (lowest, highest) = match self.data_type.as_str() {
            "smallint" => (i64::from(i16::MIN), i64::from(i16::MAX)),
            "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
            "bigint" => (i64::MIN, i64::MAX),
            _ => return (None, None),
        };
        if self.increment > 0 { (Some(1), Some(highest)) } else { (Some(lowest), Some(-1)) }
    }

    /// Ties it to the column that owns it; needs both. `None` for free and identity sequences.
    pub fn own(&self, object: &Object) -> Option<String> {
        let owner = self.owned_by.as_ref().filter(|_| self.identity.is_none())?;
        Some(format!(
            "ALTER SEQUENCE {} OWNED BY {}.{}",
            object.qualified_name(),
            owner.table.name,
            quote_ident(&owner.column)
        ))
    }

    /// The query that sets its value; `None` where that could not be read.
    pub fn setval(&self, object: &Object) -> Option<String> {
        let (last, called) = self.value?;
        Some(format!(
            "SELECT pg_catalog.setval({}, {last}, {called})",
            quote_literal(&object.qualified_name())
        ))
    }

    /// The statements that drop it. One behind an identity column goes with its table.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        match self.identity {
            Some(_) => Vec::new(),
            None if self.of_extension => Vec::new(),
            None => vec![format!("DROP SEQUENCE IF EXISTS {}", object.qualified_name())],
        }
    }

    /// How `COMMENT ON` and `ALTER … OWNER TO` name it.
    pub fn reference(&self, object: &Object) -> String {
        format!("SEQUENCE {}", object.qualified_name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Definition;
    use super::*;

    fn sequence(data_type: &str, increment: i64, min: i64, max: i64) -> Sequence {
        let data_type = data_type.to_owned();
        Sequence { data_type, start: 1, increment, min, max, cache: 1, ..Sequence::default() }
    }

    fn object(sequence: &Sequence) -> Object {
        Object {
            address: Address::relation(1),
            namespace: Some("s".into()),
            name: "it's".into(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Sequence(sequence.clone()),
        }
    }

    fn create(sequence: &Sequence) -> Vec<String> {
        sequence.create(&object(sequence), &RenderOptions::default())
    }

    fn owner() -> Option<OwnedBy> {
        let table = Relative { address: Address::relation(2), name: "s.t".into() };
        Some(OwnedBy {
            table,
            table_unlogged: false,
            column: "C".into(),
            column_type: "integer".into(),
            of_partition: false,
        })
    }

    #[test]
    fn bounds_that_are_the_default_are_not_written_as_numbers() {
        let statement = create(&sequence("bigint", 1, 1, i64::MAX)).remove(0);
        assert_eq!(
            statement,
            "CREATE SEQUENCE s.\"it's\"\n    START WITH 1\n    INCREMENT BY 1\n    NO MINVALUE\n    \
             NO MAXVALUE\n    CACHE 1"
        );
        let descending = create(&sequence("smallint", -1, -32768, -1)).remove(0);
        assert!(descending.contains("AS smallint") && descending.contains("NO MINVALUE\n    NO MAXVALUE"));
        let narrow =
            create(&Sequence { cycle: true, unlogged: true, ..sequence("integer", 2, -5, 10) }).remove(0);
        assert!(narrow.starts_with("CREATE UNLOGGED SEQUENCE"));
        assert!(narrow.ends_with("MINVALUE -5\n    MAXVALUE 10\n    CACHE 1\n    CYCLE"));
    }

    #[test]
    fn an_owned_sequence_is_tied_later_an_identity_is_made_by_its_table() {
        let owned = Sequence { owned_by: owner(), ..sequence("integer", 1, 1, i64::from(i32::MAX)) };
        assert_eq!(
            owned.own(&object(&owned)).as_deref(),
            Some("ALTER SEQUENCE s.\"it's\" OWNED BY s.t.\"C\"")
        );
        assert_eq!(owned.needs_table(), None);
        let identity = Sequence { identity: Some(Identity::ByDefault), unlogged: true, ..owned };
        assert_eq!(identity.needs_table(), Some(Address::relation(2)));
        assert_eq!(identity.own(&object(&identity)), None);
        assert!(identity.drop(&object(&identity)).is_empty());
        assert_eq!(
            create(&identity),
            [
                "ALTER TABLE s.t ALTER COLUMN \"C\" ADD GENERATED BY DEFAULT AS IDENTITY (\n    \
                 SEQUENCE NAME s.\"it's\"\n    START WITH 1\n    INCREMENT BY 1\n    NO MINVALUE\n    \
                 NO MAXVALUE\n    CACHE 1\n)",
                "ALTER SEQUENCE s.\"it's\" SET UNLOGGED",
            ]
        );
    }

    #[test]
    fn no_sequence_is_unlogged_on_a_target_before_15() {
        let identity = Sequence {
            owned_by: owner(),
            identity: Some(Identity::Always),
            unlogged: true,
            ..sequence("integer", 1, 1, i64::from(i32::MAX))
        };
        let made = |version| {
            let options = RenderOptions { target_version: Some(version), ..RenderOptions::default() };
            identity.create(&object(&identity), &options).len()
        };
        assert_eq!((made(140_000), made(150_000)), (1, 2));
    }

    #[test]
    fn a_value_that_is_not_known_is_not_set() {
        let mut sequence = sequence("bigint", 1, 1, i64::MAX);
        assert_eq!(sequence.setval(&object(&sequence)), None);
        sequence.value = Some((7, false));
        assert_eq!(
            sequence.setval(&object(&sequence)).as_deref(),
            Some("SELECT pg_catalog.setval('s.\"it''s\"', 7, false)")
        );
    }
}
