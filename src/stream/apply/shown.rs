//! The row of a change as a person reads it, for errors.
//!
//! Pure. Invariant: whatever the bytes are, there is a text, and it is short.

use super::target_relation::TargetRelation;
use crate::stream::binary::FIRST_UNPINNED;
use crate::stream::change::{Change, ChangeKind};
use crate::stream::tuple::Datum;

/// Characters of a value that are shown, and columns of a row.
const LENGTH: usize = 100;
const COLUMNS: usize = 8;

/// Its identity, or all of a row that has none; long values cut.
pub(super) fn key_of(target: &TargetRelation, change: &Change) -> String {
    let tuple = match &change.kind {
        ChangeKind::Insert { new } | ChangeKind::Update { old: None, new } => new,
        ChangeKind::Update { old: Some(old), .. } | ChangeKind::Delete { old } => old,
    };
    let all: Vec<usize> = (0..target.relation.columns.len()).collect();
    let columns = if target.key.is_empty() { &all } else { &target.key };
    let values: Vec<Datum<'_>> = tuple.iter().collect();
    let mut shown = Vec::new();
    for i in columns.iter().take(COLUMNS) {
        let (Some(column), Some(value)) = (target.relation.columns.get(*i), values.get(*i)) else { continue };
        let value = match value {
            Datum::Null => "NULL".to_owned(),
            Datum::Unchanged => "(unchanged)".to_owned(),
            Datum::Text(bytes) => cut(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LENGTH)])),
            Datum::Binary(bytes) => cut(&binary(column.type_oid, bytes)),
        };
        shown.push(format!("{}={value}", column.name));
    }
    if columns.len() > COLUMNS {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// What a value in binary format says: those of the types that keys mostly have, of others the bytes as bytea writes them.
fn binary(type_oid: u32, bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(4 * LENGTH)];
    let number = || Some(i64::from_be_bytes(*bytes.first_chunk()?).to_string());
    let known = match (type_oid, bytes.len()) {
        (16, 1) => Some(if bytes == [0] { "f" } else { "t" }.to_owned()),
        (20, 8) => number(),
        (21, 2) => bytes.first_chunk().map(|b| i16::from_be_bytes(*b).to_string()),
        (23, 4) => bytes.first_chunk().map(|b| i32::from_be_bytes(*b).to_string()),
        (26, 4) => bytes.first_chunk().map(|b| u32::from_be_bytes(*b).to_string()),
        (19 | 25 | 114 | 1042 | 1043, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
        (2950, 16) => Some(uuid(bytes)),
        // An enum's label, by an OID of the source's own.
        (oid, _) if oid >= FIRST_UNPINNED => std::str::from_utf8(bytes).ok().map(str::to_owned),
        _ => None,
    };
    known.unwrap_or_else(|| format!("\\x{}", hex(bytes)))
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = hex(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_binary_format() {
        assert_eq!(binary(20, &(-5i64).to_be_bytes()), "-5");
        assert_eq!(binary(21, &7i16.to_be_bytes()), "7");
        assert_eq!(binary(23, &i32::MAX.to_be_bytes()), "2147483647");
        assert_eq!(binary(16, &[1]), "t");
        assert_eq!(binary(25, "ü".as_bytes()), "ü");
        assert_eq!(binary(2950, &[0xab; 16]), "abababab-abab-abab-abab-abababababab");
        assert_eq!(binary(1082, &[0, 0, 1, 2]), "\\x00000102");
        assert_eq!(binary(20, &[1]), "\\x01");
        assert_eq!(binary(16_400, b"happy"), "happy");
        assert_eq!(cut(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
    }
}
