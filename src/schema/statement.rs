//! The statements every kind has: owner, comments, privileges; and the way from an object to its kind's file.
//!
//! Invariant: each function is a pure view on the object; what it names is schema-qualified.

use super::acl::{AclKind, AclOn, AclTarget};
use super::namespace::is_public;
use super::object::{Comment, CommentOn};
use super::quote::{quote_ident, quote_literal};
use super::{Definition, Namespace, Object, RenderOptions};

/// Calls the same method on whatever kind the object is of.
macro_rules! for_kind {
    ($object:expr, $d:ident => $call:expr) => {
        match &$object.definition {
            Definition::Namespace($d) => $call,
            Definition::Extension($d) => $call,
            Definition::Enum($d) => $call,
            Definition::Domain($d) => $call,
            Definition::Composite($d) => $call,
            Definition::Range($d) => $call,
            Definition::Function($d) => $call,
            Definition::Aggregate($d) => $call,
            Definition::Sequence($d) => $call,
            Definition::Table($d) => $call,
            Definition::Index($d) => $call,
            Definition::Constraint($d) => $call,
            Definition::DefaultAcl($d) => $call,
            Definition::LargeObject($d) => $call,
            Definition::View($d) => $call,
            Definition::MaterializedView($d) => $call,
            Definition::Rule($d) => $call,
            Definition::Trigger($d) => $call,
            Definition::Policy($d) => $call,
            Definition::ForeignDataWrapper($d) => $call,
            Definition::ForeignServer($d) => $call,
            Definition::UserMapping($d) => $call,
            Definition::EventTrigger($d) => $call,
            Definition::Publication($d) => $call,
            Definition::PublicationMember($d) => $call,
            Definition::Subscription($d) => $call,
            Definition::BaseType($d) => $call,
            Definition::Operator($d) => $call,
            Definition::OperatorClass($d) => $call,
            Definition::OperatorFamily($d) => $call,
            Definition::AddedMembers($d) => $call,
            Definition::Cast($d) => $call,
            Definition::Transform($d) => $call,
            Definition::Conversion($d) => $call,
            Definition::Collation($d) => $call,
            Definition::Language($d) => $call,
            Definition::AccessMethod($d) => $call,
            Definition::TextSearchParser($d) => $call,
            Definition::TextSearchTemplate($d) => $call,
            Definition::TextSearchDictionary($d) => $call,
            Definition::TextSearchConfiguration($d) => $call,
            Definition::Statistics($d) => $call,
            Definition::ChangedPrivileges($d) => $call,
            Definition::ChangedComments($d) => $call,
            Definition::ExtensionTies($d) => $call,
            Definition::SecurityLabels($d) => $call,
        }
    };
}

impl Object {
    /// How `COMMENT ON` and `ALTER … OWNER TO` name it: `TABLE s.t`, `FUNCTION s.f(integer)`, `TRIGGER x ON s.t`.
    pub fn reference(&self) -> String {
        for_kind!(self, d => d.reference(self))
    }

    /// The statements that make it, without owner, comments and privileges.
    pub fn create_statements(&self, options: &RenderOptions) -> Vec<String> {
        for_kind!(self, d => d.create(self, options))
    }

    /// The statements that drop it, if it is there.
    pub fn drop_statements(&self) -> Vec<String> {
        for_kind!(self, d => d.drop(self))
    }

    /// `ALTER … OWNER TO`, where creating it does not give it the right owner.
    pub fn owner_statement(&self, options: &RenderOptions) -> Option<String> {
        if options.no_owner {
            return None;
        }
        match &self.definition {
            Definition::Namespace(namespace) => return namespace.owner(self, options),
            // An extension belongs to whoever makes it, an identity column's sequence to its table's owner.
            Definition::Extension(_) | Definition::DefaultAcl(_) | Definition::ChangedPrivileges(_) => {
                return None;
            }
            Definition::Sequence(sequence) if sequence.identity.is_some() || sequence.of_extension => {
                return None;
            }
            _ => {}
        }
        let owner = self.owner.as_deref()?;
        (options.current_user.as_deref() != Some(owner))
            .then(|| format!("ALTER {} OWNER TO {}", self.reference(), quote_ident(owner)))
    }

    /// `COMMENT ON` for it and its columns.
    pub fn comment_statements(&self) -> Vec<String> {
        if matches!(&self.definition, Definition::Operator(operator) if operator.is_shell()) {
            return Vec::new();
        }
        if matches!(self.definition, Definition::Namespace(_)) && is_public(self) {
            let text = self.comments.first().map(|c| c.text.as_str());
            return Namespace::public_comment(text)
                .map(|text| format!("COMMENT ON SCHEMA public IS {}", quote_literal(&text)))
                .into_iter()
                .collect();
        }
        self.comments.iter().map(|c| self.comment_statement(c)).collect()
    }

    /// `COMMENT ON` for one comment.
    pub fn comment_statement(&self, comment: &Comment) -> String {
        let place = match &comment.on {
            CommentOn::Itself => self.reference(),
            CommentOn::Column(column) => {
                format!("COLUMN {}.{}", self.qualified_name(), quote_ident(column))
            }
            CommentOn::Constraint(constraint) => {
                format!("CONSTRAINT {} ON {}", quote_ident(constraint), self.qualified_name())
            }
            CommentOn::Index => format!("INDEX {}", self.qualified_name()),
        };
        format!("COMMENT ON {place} IS {}", quote_literal(&comment.text))
    }

    /// `GRANT` and `REVOKE` that lead from what it has when created to what it had on the source.
    pub fn acl_statements(&self, options: &RenderOptions) -> Vec<String> {
        if options.no_privileges {
            return Vec::new();
        }
        if let Definition::DefaultAcl(default) = &self.definition {
            return default.grants(self);
        }
        let Some(acl) = &self.acl else { return Vec::new() };
        let mut out = Vec::new();
        for part in &acl.parts {
            let (kind, phrase) = match part.on {
                AclOn::Itself | AclOn::Column(_) => self.acl_phrase(),
                AclOn::RowType => (AclKind::Type, format!("TYPE {}", self.qualified_name())),
            };
            let column = match &part.on {
                AclOn::Column(column) => Some(column.as_str()),
                _ => None,
            };
            let target = AclTarget {
                kind: if column.is_some() { AclKind::Column } else { kind },
                phrase: &phrase,
                column,
                owner: self.owner.as_deref(),
                prefix: "",
            };
            if kind == AclKind::Schema && is_public(self) {
                out.extend(Namespace::public_acl(&target, &part.items));
            } else {
                out.extend(target.statements(&part.base, &part.items));
            }
        }
        out
    }

    /// What follows `GRANT … ON`.
    fn acl_phrase(&self) -> (AclKind, String) {
        let name = self.qualified_name();
        match &self.definition {
            Definition::Namespace(_) => (AclKind::Schema, self.reference()),
            Definition::Function(_) => (AclKind::Function, self.reference()),
            Definition::Aggregate(aggregate) => (AclKind::Function, aggregate.acl_phrase(self)),
            Definition::Sequence(_) => (AclKind::Sequence, format!("SEQUENCE {name}")),
            Definition::LargeObject(_) => (AclKind::LargeObject, self.reference()),
            Definition::ChangedPrivileges(changed) => (changed.kind, changed.phrase.clone()),
            Definition::ForeignDataWrapper(_) => (AclKind::Foreign, self.reference()),
            Definition::ForeignServer(_) => (AclKind::Foreign, format!("FOREIGN SERVER {name}")),
            Definition::Language(_) => (AclKind::Language, self.reference()),
            Definition::BaseType(_)
            | Definition::Enum(_)
            | Definition::Domain(_)
            | Definition::Composite(_)
            | Definition::Range(_) => (AclKind::Type, format!("TYPE {name}")),
            _ => (AclKind::Table, format!("TABLE {name}")),
        }
    }
}
