//! Catalogs → model: reads a database's schema into [`crate::schema::Schema`] under one snapshot.
//!
//! One reader per object kind, each a fixed number of queries whatever the number of objects; all readers of
//! one session are pipelined. Modelled on pg_dump's `getSchemaData` (`src/bin/pg_dump/common.c`). Invariant: the
//! session is inside a `REPEATABLE READ READ ONLY` transaction, so that all readers see the same catalogs.
//!
//! Readers read every user object, members of extensions included; what takes part is decided once, for all
//! kinds, by the pure `select`.

mod access_method;
mod acl;
mod added_members;
mod aggregate;
mod attached;
mod base_type;
mod cast;
mod catalogs;
mod changed_comments;
mod collation;
mod column;
mod column_type;
mod comment;
mod composite;
mod constraint;
mod conversion;
mod damaged;
mod database;
mod default_acl;
mod depend;
mod domain;
mod enum_type;
mod error;
mod event_trigger;
mod extension;
mod foreign_data_wrapper;
mod foreign_server;
mod function;
mod index;
mod language;
mod large_object;
mod lock;
mod matview;
mod member;
mod namespace;
mod operator;
mod operator_class;
mod operator_family;
mod policy;
mod range;
mod role;
mod rule;
mod select;
mod sequence;
mod statistics;
mod subscription;
mod table;
mod transform;
mod trigger;
mod ts_configuration;
mod ts_dictionary;
mod ts_parser;
mod ts_template;
mod unsupported;
mod user_mapping;
mod user_publication;
mod view;

use std::pin::Pin;

use catalogs::Catalogs;
pub use error::DumpError;
use futures_util::future::try_join_all;
pub use role::read_roles;

use crate::config::Filter;
use crate::pg::Session;
use crate::schema::{Object, Schema, cycle_mark, unsupported_properties};

/// Locks what `filter` selects and reads it. The session must be inside a `REPEATABLE READ READ ONLY`
/// transaction, which keeps the locks until it ends.
///
/// # Errors
/// [`DumpError::Lock`] when a table cannot be locked; [`DumpError::Sql`] when a catalog query fails.
pub async fn read(session: &Session, filter: &Filter) -> Result<Schema, DumpError> {
    let c = Catalogs { session, version: session.version() };
    lock::lock_tables(&c, filter).await?;
    look(session, filter).await
}

/// Reads what `filter` selects without locking anything, and without needing the right to read a single table: for who
/// only looks. The session must be inside a transaction as for [`read`].
///
/// # Errors
/// [`DumpError::Sql`] when a catalog query fails; a table that is dropped at this very moment can be the cause.
pub async fn look(session: &Session, filter: &Filter) -> Result<Schema, DumpError> {
    let c = Catalogs { session, version: session.version() };
    let (
        objects,
        (depends, aliases),
        not_in_c,
        unsupported,
        members,
        comments,
        privileges,
        extension_data,
        attached,
        added,
        said,
        damaged,
        database,
    ) = tokio::try_join!(
        read_objects(&c),
        depend::read(&c),
        function::not_in_c(&c),
        unsupported::read(&c, filter),
        member::read(&c),
        comment::read(&c),
        acl::read(&c),
        extension::read_data(&c, filter),
        attached::read(&c),
        added_members::read(&c),
        changed_comments::read(&c),
        damaged::read(&c),
        database::read(&c),
    )?;
    let schema = Schema {
        server_version: c.version,
        objects,
        depends,
        aliases,
        not_in_c,
        database,
        unsupported,
        damaged,
        extension_data,
        left_out: Vec::new(),
        sorted_otherwise: false,
        bridged: Vec::new(),
    };
    let mut schema = select::select(schema, &members, comments, privileges, filter);
    added_members::attach(&mut schema, added, filter);
    changed_comments::attach(&mut schema, said);
    attached::attach(&mut schema, attached, filter);
    let properties = unsupported_properties(&schema.objects);
    schema.unsupported.extend(properties);
    cycle_mark::mend(&mut schema);
    Ok(schema)
}

/// Runs the reader of every kind, all at once.
async fn read_objects(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    type Reading<'r> = Pin<Box<dyn Future<Output = Result<Vec<Object>, DumpError>> + Send + 'r>>;
    let readers: Vec<Reading<'_>> = vec![
        Box::pin(namespace::read(c)),
        Box::pin(extension::read(c)),
        Box::pin(enum_type::read(c)),
        Box::pin(domain::read(c)),
        Box::pin(composite::read(c)),
        Box::pin(range::read(c)),
        Box::pin(function::read(c)),
        Box::pin(aggregate::read(c)),
        Box::pin(default_acl::read(c)),
        Box::pin(sequence::read(c)),
        Box::pin(table::read(c)),
        Box::pin(index::read(c)),
        Box::pin(constraint::read(c)),
        Box::pin(large_object::read(c)),
        Box::pin(view::read(c)),
        Box::pin(matview::read(c)),
        Box::pin(rule::read(c)),
        Box::pin(trigger::read(c)),
        Box::pin(policy::read(c)),
        Box::pin(foreign_data_wrapper::read(c)),
        Box::pin(foreign_server::read(c)),
        Box::pin(user_mapping::read(c)),
        Box::pin(event_trigger::read(c)),
        Box::pin(user_publication::read(c)),
        Box::pin(user_publication::read_members(c)),
        Box::pin(subscription::read(c)),
        Box::pin(base_type::read(c)),
        Box::pin(operator::read(c)),
        Box::pin(operator_class::read(c)),
        Box::pin(operator_family::read(c)),
        Box::pin(cast::read(c)),
        Box::pin(transform::read(c)),
        Box::pin(conversion::read(c)),
        Box::pin(collation::read(c)),
        Box::pin(language::read(c)),
        Box::pin(access_method::read(c)),
        Box::pin(ts_parser::read(c)),
        Box::pin(ts_template::read(c)),
        Box::pin(ts_dictionary::read(c)),
        Box::pin(ts_configuration::read(c)),
        Box::pin(statistics::read(c)),
    ];
    Ok(try_join_all(readers).await?.into_iter().flatten().collect())
}
