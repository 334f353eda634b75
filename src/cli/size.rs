//! Sizes as people write them, and as PostgreSQL's settings do: `1GB`, `512 MB`, `64kB`.
//!
//! Invariant: units are powers of 1024 (PostgreSQL manual, "Setting Parameters"); a size that does not fit is refused.

/// A number of bytes; a bare number is bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    parse(text, 1)
}

/// As [`parse_bytes`], and not 0.
pub(crate) fn parse_some_bytes(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        0 => Err("must be more than 0".into()),
        bytes => Ok(bytes),
    }
}

/// A number of kilobytes, as `maintenance_work_mem` counts; a bare number is kilobytes.
pub(crate) fn parse_kilobytes(text: &str) -> Result<u64, String> {
    let kilobytes = parse(text, 1024)? / 1024;
    // The bounds of the server's own setting on a 64-bit machine (1 MB to 2 TB; 18 reads from 64 kB).
    if (1024..=2_147_483_647).contains(&kilobytes) {
        Ok(kilobytes)
    } else {
        Err("must be between 1MB and 2TB".into())
    }
}

/// Memory for changes on their way, bytes: less than 4 MB is not enough to work with.
pub(crate) fn parse_apply_memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        bytes if bytes >= 4 << 20 => Ok(bytes),
        _ => Err("must be at least 4MB".into()),
    }
}

fn parse(text: &str, bare: u64) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" => bare,
        "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1u64 << 40,
        _ => return Err("expected a number with an optional unit: B, kB, MB, GB or TB".into()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number with an optional unit: B, kB, MB, GB or TB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("0"), Ok(0));
        assert_eq!(parse_bytes("64kB"), Ok(65536));
        assert_eq!(parse_bytes(" 1 gb "), Ok(1 << 30));
        assert_eq!(parse_kilobytes("65536"), Ok(65536));
        assert_eq!(parse_apply_memory("64MB"), Ok(64 << 20));
        assert!(parse_apply_memory("3MB").is_err());
        assert_eq!(parse_kilobytes("1GB"), Ok(1 << 20));
        for bad in ["", "x", "1.5GB", "-1", "1XB", "99999999999TB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert!(parse_kilobytes("1").is_err());
        assert_eq!(parse_some_bytes("1kB"), Ok(1024));
        assert!(parse_some_bytes("0GB").is_err());
    }
}
