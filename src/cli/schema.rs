//! `pg_migrator schema`: the source's schema as a script on stdout.
//!
//! Invariant: what is not in the script is said on stderr, object by object.

use std::io::{self, BufWriter, Write};

use super::display::{Level, Voice};
use super::invocation::SchemaScript;
use crate::error::ExitCode;
use crate::migration::model;
use crate::schema::script::{ScriptOptions, script};
use crate::schema::{RenderOptions, order};

/// Reads the schema and prints it.
pub(super) async fn run(asked: SchemaScript, voice: &Voice) -> ExitCode {
    let schema = match model::read(&asked.source, &asked.filter).await {
        Ok(schema) => schema,
        Err(error) => {
            voice.failed(&error.to_string(), error.exit_code());
            return error.exit_code();
        }
    };
    for object in &schema.unsupported {
        voice.say(
            Level::Warn,
            &format!(
                "{} {}: of a kind that this version does not carry; not in the script",
                object.kind, object.identity
            ),
        );
    }
    for left in &schema.left_out {
        voice.say(
            Level::Warn,
            &format!(
                "{}: not in the script, because it needs {}, which a filter leaves out",
                left.object, left.because_of
            ),
        );
    }
    let options = RenderOptions {
        no_owner: asked.no_owner,
        no_privileges: asked.no_privileges,
        no_tablespaces: asked.no_tablespaces,
        ..RenderOptions::default()
    };
    let order::Plan { steps, ignored } = order::plan_with_report(&schema, &options);
    for order::Ignored { object, message } in ignored {
        voice.say(Level::Warn, &format!("{object}: {message}"));
    }
    let options = ScriptOptions { sections: asked.sections };
    match write(script(&steps, &options), BufWriter::new(io::stdout().lock())) {
        // `pg_migrator schema | head` is a good end.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            voice.failed(&format!("the script cannot be written to stdout: {e}"), ExitCode::OperatorMustAct);
            ExitCode::OperatorMustAct
        }
        _ if schema.unsupported.iter().all(|u| u.pg_dump_neither) => ExitCode::Done,
        _ => ExitCode::OperatorMustAct,
    }
}

fn write(paragraphs: impl Iterator<Item = String>, mut out: impl Write) -> io::Result<()> {
    for paragraph in paragraphs {
        out.write_all(paragraph.as_bytes())?;
    }
    out.flush()
}
