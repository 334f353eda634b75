//! Values as the target reads them: COPY's text format, arrays of parameters.
//!
//! Pure. Invariant: whatever bytes a value has, the target's input function gets exactly them; NULL stays NULL.

use bytes::{BufMut as _, BytesMut};

use crate::pg::extended::TooLong;

/// `text`'s OID (`pg_type.dat`).
pub(super) const TEXT: u32 = 25;

/// Appends a value in COPY's text format (`COPY`, "Text Format"). The bytes are in an encoding whose multi-byte characters hold no
/// ASCII byte, as all server encodings are.
pub(super) fn copy_value(out: &mut BytesMut, value: Option<&[u8]>) {
    let Some(value) = value else {
        out.put_slice(b"\\N");
        return;
    };
    let special = |b| matches!(b, b'\\' | b'\n' | b'\r' | b'\t');
    if has_none(value, special) {
        out.put_slice(value);
        return;
    }
    let mut rest = value;
    while let Some(at) = rest.iter().position(|b| special(*b)) {
        out.put_slice(&rest[..at]);
        out.put_u8(b'\\');
        out.put_u8(match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// Appends the beginning of a one-dimensional array of `count` elements of this type in binary format (`array_recv` in `arrayfuncs.c`).
pub(super) fn array_header(out: &mut BytesMut, element_oid: u32, count: usize) -> Result<(), TooLong> {
    out.put_i32(1);
    out.put_i32(0); // whether there are NULLs: the server looks for itself
    out.put_u32(element_oid);
    out.put_i32(i32::try_from(count).map_err(|_| TooLong)?);
    out.put_i32(1);
    Ok(())
}

/// Appends a value and its length: an array's next element in binary format, or a field of a row of COPY's.
pub(super) fn counted(out: &mut BytesMut, value: Option<&[u8]>) -> Result<(), TooLong> {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).map_err(|_| TooLong)?);
            out.put_slice(value);
        }
    }
    Ok(())
}

/// Appends an element of an array in text format, quoted (`array_in`).
pub(super) fn literal_element(out: &mut BytesMut, value: Option<&[u8]>) {
    let Some(value) = value else {
        out.put_slice(b"NULL");
        return;
    };
    out.put_u8(b'"');
    let special = |b| matches!(b, b'"' | b'\\');
    if has_none(value, special) {
        out.put_slice(value);
    } else {
        for byte in value {
            if special(*byte) {
                out.put_u8(b'\\');
            }
            out.put_u8(*byte);
        }
    }
    out.put_u8(b'"');
}

/// Most values have none of such bytes. All are looked at, whatever is found: so the compiler does it many at a time.
fn has_none(bytes: &[u8], such: impl Fn(u8) -> bool) -> bool {
    !bytes.iter().fold(false, |any, b| any | such(*b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// COPY's own reading of a field.
    fn uncopied(field: &[u8]) -> Option<Vec<u8>> {
        if field == b"\\N" {
            return None;
        }
        let mut out = Vec::new();
        let mut bytes = field.iter();
        while let Some(b) = bytes.next() {
            out.push(match b {
                b'\\' => match bytes.next().unwrap() {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                },
                other => *other,
            });
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn copy_gives_back_what_it_got(value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40))) {
            let mut out = BytesMut::new();
            copy_value(&mut out, value.as_deref());
            prop_assert!(!out.iter().any(|b| matches!(b, b'\n' | b'\t' | b'\r')));
            prop_assert_eq!(uncopied(&out), value);
        }
    }

    #[test]
    fn special_values() {
        let shown = |value: Option<&[u8]>| {
            let mut out = BytesMut::new();
            copy_value(&mut out, value);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(shown(None), "\\N");
        assert_eq!(shown(Some(b"\\N")), "\\\\N");
        assert_eq!(shown(Some(b"\\.")), "\\\\.");
        assert_eq!(shown(Some(b"")), "");
        let mut out = BytesMut::new();
        for value in [Some(&b"a\"\\b"[..]), None, Some(b"NULL"), Some(b"")] {
            literal_element(&mut out, value);
            out.put_u8(b';');
        }
        assert_eq!(&out[..], br#""a\"\\b";NULL;"NULL";"";"#);
        let mut out = BytesMut::new();
        array_header(&mut out, TEXT, 2).unwrap();
        for value in [Some(&b"x"[..]), None] {
            counted(&mut out, value).unwrap();
        }
        assert_eq!(&out[..20], b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01");
        assert_eq!(&out[20..], b"\0\0\0\x01x\xff\xff\xff\xff");
    }
}
