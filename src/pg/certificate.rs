//! The few facts about an X.509 certificate that webpki does not tell: the hash for channel binding, the common
//! name, the dates.
//!
//! Invariant: reads any bytes without panicking; knows nothing about trust, which webpki decides.

use std::time::{Duration, SystemTime};

use ring::digest;

/// One DER element: tag, contents, and the whole with its header.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    body: &'a [u8],
    rest: &'a [u8],
}

/// The first element of `der`.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, after) = der.split_first()?;
    let (&first, mut after) = after.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) || after.len() < count {
            return None;
        }
        length = after[..count].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        after = &after[count..];
    }
    (after.len() >= length).then(|| Element { tag, body: &after[..length], rest: &after[length..] })
}

fn children(mut body: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let e = element(body)?;
        body = e.rest;
        Some(e)
    })
}

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// The `tls-server-end-point` channel binding of RFC 5929: the certificate's hash by its own signature's hash
/// function, SHA-256 in place of MD5 and SHA-1. `None` where the signature has no such function (Ed25519, PSS).
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let whole = element(certificate).filter(|e| e.tag == SEQUENCE)?;
    let algorithm = children(whole.body).nth(1).filter(|e| e.tag == SEQUENCE)?;
    let oid = element(algorithm.body).filter(|e| e.tag == OID)?;
    // 1.2.840.113549.1.1.x (RSA) and 1.2.840.10045.4.… (ECDSA)
    let function = match oid.body {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4 | 5 | 11] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13] => &digest::SHA512,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(function, certificate).as_ref().to_vec())
}

/// The parts of a certificate's body that are asked for here.
pub(super) struct Facts<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    /// Reads a certificate.
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let whole = element(certificate).filter(|e| e.tag == SEQUENCE)?;
        let body = element(whole.body).filter(|e| e.tag == SEQUENCE)?;
        // An explicit version comes first in versions 2 and 3, then serial, signature, issuer, validity, subject.
        let mut parts = children(body.body).filter(|e| e.tag != 0xa0);
        let validity = parts.nth(3)?.body;
        let subject = parts.next()?.body;
        let extensions = parts.find(|e| e.tag == 0xa3).map(|e| e.body);
        Some(Facts { validity, subject, extensions })
    }

    /// The last common name of the subject.
    pub(super) fn common_name(&self) -> Option<&'a str> {
        let attribute = |set: Element<'a>| {
            let pair = element(set.body)?;
            let oid = element(pair.body).filter(|e| e.tag == OID && e.body == [0x55, 4, 3])?;
            std::str::from_utf8(element(oid.rest)?.body).ok()
        };
        children(self.subject).filter_map(attribute).last()
    }

    /// Whether it has a subject alternative name of a host or an address; then the common name does not count.
    pub(super) fn has_alternative_name(&self) -> bool {
        let Some(list) = self.extensions.and_then(element) else { return false };
        let names = children(list.body).find_map(|extension| {
            let oid = element(extension.body).filter(|e| e.body == [0x55, 0x1d, 0x11])?;
            let octets = children(oid.rest).find(|e| e.tag == 4)?;
            element(octets.body)
        });
        names.is_some_and(|n| children(n.body).any(|e| matches!(e.tag, 0x82 | 0x87)))
    }

    /// Whether `now` lies between its dates.
    pub(super) fn valid_at(&self, now: SystemTime) -> bool {
        let mut dates = children(self.validity).map(|e| time(e.tag, e.body));
        let (Some(Some(from)), Some(Some(to))) = (dates.next(), dates.next()) else { return false };
        from <= now && now <= to
    }
}

/// `YYMMDDhhmmssZ` (tag 0x17) or `YYYYMMDDhhmmssZ` (tag 0x18).
fn time(tag: u8, body: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => (text.get(..2)?, text.get(2..)?),
        0x18 => (text.get(..4)?, text.get(4..)?),
        _ => return None,
    };
    let mut year: u64 = year.parse().ok()?;
    if tag == 0x17 {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let field = |i: usize| rest.get(2 * i..2 * i + 2)?.parse::<u64>().ok();
    let (month, day) = (field(0)?, field(1)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || rest.len() != 10 {
        return None;
    }
    // Days since 1970-01-01, counting years from March so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + field(2)? * 3600 + field(3)? * 60 + field(4)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Whether a certificate's name covers `host`, as libpq has it (`wildcard_certificate_match`): the same without
/// regard to case, or one leading `*.` standing for one label.
pub(super) fn name_covers(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = pattern.strip_prefix('*').filter(|s| s.starts_with('.') && s.len() > 1) else {
        return false;
    };
    // The wildcard never spans a dot, and an address is never matched by one.
    host.parse::<std::net::IpAddr>().is_err()
        && host.find('.').is_some_and(|dot| dot > 0 && host[dot..].eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str], common: &str) -> Vec<u8> {
        let mut params =
            rcgen::CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "o");
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        params.not_before = rcgen::date_time_ymd(2020, 2, 29);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn facts_of_a_certificate() {
        let der = made(&["a.example"], "db");
        let facts = Facts::of(&der).unwrap();
        assert_eq!(facts.common_name(), Some("db"));
        assert!(facts.has_alternative_name());
        assert!(!Facts::of(&made(&[], "db")).unwrap().has_alternative_name());
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        assert!(!facts.valid_at(at(1_582_934_399)));
        assert!(facts.valid_at(at(1_582_934_400)), "2020-02-29 00:00:00");
        assert!(facts.valid_at(at(2_840_140_800)), "2060-01-01 00:00:00");
        assert!(!facts.valid_at(at(2_840_140_801)));
        assert_eq!(end_point(&der).map(|h| h.len()), Some(32));
    }

    #[test]
    fn garbage_is_no_certificate() {
        for garbage in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", &[0x30, 2, 0x30, 5]] {
            assert!(Facts::of(garbage).is_none());
            assert!(end_point(garbage).is_none());
        }
        let der = made(&["x"], "y");
        for cut in 0..der.len() {
            let _ = Facts::of(&der[..cut]).map(|f| (f.common_name(), f.has_alternative_name()));
            let _ = end_point(&der[..cut]);
        }
    }

    #[test]
    fn wildcards_cover_one_label() {
        assert!(name_covers("*.Example.com", "db.example.com"));
        assert!(name_covers("db", "DB"));
        for (pattern, host) in [
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", ".example.com"),
            ("*", "db"),
            ("*.0.0.1", "127.0.0.1"),
        ] {
            assert!(!name_covers(pattern, host), "{pattern} {host}");
        }
    }
}
