//! The server's version, from what it says about itself at login.

/// `server_version` ("15.4 (Debian 15.4-1)", "18beta2", "9.6.24") as `server_version_num` (150004, 180000, 90624).
pub(super) fn version_number(text: &str) -> Option<u32> {
    let numeric = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    let mut parts = numeric.split('.').map(|p| p.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().flatten().unwrap_or(0);
    let patch = parts.next().flatten().unwrap_or(0);
    let number = if major >= 10 { [major, 0, minor] } else { [major, minor, patch] };
    number.iter().try_fold(0u32, |n, part| n.checked_mul(100)?.checked_add(*part))
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions() {
        for (text, number) in [
            ("15.4 (Debian 15.4-1.pgdg120+1)", 150_004),
            ("18beta2", 180_000),
            ("10.23", 100_023),
            ("9.6.24", 90_624),
            ("17devel", 170_000),
        ] {
            assert_eq!(version_number(text), Some(number), "{text}");
        }
        assert_eq!(version_number("unknown"), None);
        assert_eq!(version_number("99999999999"), None);
    }
}
