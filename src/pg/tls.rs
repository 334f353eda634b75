//! TLS as libpq does it: what is verified depends on `sslmode` and on whether a root certificate file is there.
//!
//! Invariant: with `verify-ca` and `verify-full` no byte of a login is sent before the certificate is verified
//! (`initialize_SSL` in `fe-secure-openssl.c`).

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;

use super::certificate;
use super::conninfo::{CertMode, RootCert, SslMode, TlsOptions};
use super::stream::Stream;

/// Why there is no TLS session, in words.
#[derive(Debug)]
pub(super) struct TlsFailure(pub(super) String);

/// Shakes hands over `tcp`, on which the server has agreed to TLS. `host` is the name to verify, `address` the
/// peer's.
pub(super) async fn handshake(
    tcp: TcpStream,
    mode: SslMode,
    options: &TlsOptions,
    host: &str,
    address: IpAddr,
) -> Result<Stream, TlsFailure> {
    let config = client_config(mode, options, host)?;
    let name = ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(address.into()));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, tcp).await.map_err(|e| TlsFailure(describe(&e, host)))?;
    let (_, session) = tls.get_ref();
    let end_point =
        session.peer_certificates().and_then(|c| c.first()).and_then(|c| certificate::end_point(c));
    Ok(Stream::Tls { tls: Box::new(tls), end_point })
}

/// The settings of one handshake.
fn client_config(mode: SslMode, options: &TlsOptions, host: &str) -> Result<ClientConfig, TlsFailure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut versions = Vec::new();
    if options.allow_1_3 {
        versions.push(&rustls::version::TLS13);
    }
    if options.allow_1_2 {
        versions.push(&rustls::version::TLS12);
    }
    let roots = roots(mode, &options.root)?;
    let verifier = Verifier {
        roots,
        host: (mode == SslMode::VerifyFull).then(|| host.to_owned()),
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|e| TlsFailure(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_certificate(options)? {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|e| match is_first_version(&e) {
                true => TlsFailure(format!("the client certificate {FIRST_VERSION}")),
                false => TlsFailure(format!("the client certificate and its key cannot be used: {e}")),
            })?
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = options.sni;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// The trusted authorities; `None`: nothing is verified.
fn roots(mode: SslMode, root: &RootCert) -> Result<Option<Roots>, TlsFailure> {
    let certificates = match root {
        RootCert::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                return Err(TlsFailure(
                    "the system has no trusted root certificates (sslrootcert=system)".into(),
                ));
            }
            found.certs
        }
        RootCert::File(path) if path.exists() => pem_certificates(path)?,
        RootCert::File(path) if mode >= SslMode::VerifyCa => {
            return Err(TlsFailure(format!(
                "root certificate file {} does not exist; provide it (sslrootcert), use the system's trusted roots with sslrootcert=system, or change sslmode to disable certificate verification",
                path.display()
            )));
        }
        RootCert::Nowhere if mode >= SslMode::VerifyCa => {
            return Err(TlsFailure("no root certificate file: give sslrootcert".into()));
        }
        RootCert::File(_) | RootCert::Nowhere => return Ok(None),
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(TlsFailure("the root certificate file holds no usable certificate".into()));
    }
    Ok(Some(Roots { store, certificates }))
}

fn pem_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    let fail = |e: rustls::pki_types::pem::Error| {
        TlsFailure(format!("could not read certificate file {}: {e}", path.display()))
    };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    if certificates.is_empty() {
        return Err(TlsFailure(format!("no certificate in file {}", path.display())));
    }
    Ok(certificates)
}

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's certificate and key, where there is one to send.
fn client_certificate(options: &TlsOptions) -> Result<Option<ClientCertificate>, TlsFailure> {
    let required = options.cert_mode == CertMode::Require;
    let path = options.cert.as_ref().filter(|p| options.cert_mode != CertMode::Disable && p.exists());
    let Some(path) = path else {
        return match required {
            true => {
                Err(TlsFailure("sslcertmode=require, but there is no client certificate (sslcert)".into()))
            }
            false => Ok(None),
        };
    };
    let key = options.key.as_ref().filter(|p| p.exists()).ok_or_else(|| {
        TlsFailure(format!(
            "certificate {} is present, but its private key file is not (sslkey)",
            path.display()
        ))
    })?;
    let shown = key.display();
    let meta = std::fs::metadata(key).map_err(|e| TlsFailure(format!("private key file {shown}: {e}")))?;
    if !meta.is_file() {
        return Err(TlsFailure(format!("private key file {shown} is not a regular file")));
    }
    let allowed = if meta.uid() == 0 { 0o640 } else { 0o600 };
    if meta.mode() & 0o777 & !allowed & 0o077 != 0 {
        return Err(TlsFailure(format!(
            "private key file {shown} has group or world access; file must have permissions u=rw (0600) or less if owned by the current user, or u=rw,g=r (0640) or less if owned by root"
        )));
    }
    let chain = pem_certificates(path)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| {
        TlsFailure(format!(
            "could not read private key file {shown}: {e} (an encrypted key is not supported)"
        ))
    })?;
    Ok(Some((chain, key)))
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// As in the file: a server's self-signed certificate may be listed itself.
    certificates: Vec<CertificateDer<'static>>,
}

/// Verifies what `sslmode` asks for.
#[derive(Debug)]
struct Verifier {
    roots: Option<Roots>,
    /// The host the certificate must name.
    host: Option<String>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify_chain(
        &self,
        roots: &Roots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // A self-signed certificate that is listed as trusted is trusted, whatever it says it may be used for.
        if roots.certificates.iter().any(|c| c == end_entity) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
            let valid = certificate::Facts::of(end_entity).is_some_and(|f| f.valid_at(now));
            return if valid { Ok(()) } else { Err(CertificateError::Expired.into()) };
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots.store,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }

    fn verify_host(&self, host: &str, end_entity: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let wrong = || rustls::Error::from(CertificateError::NotValidForName);
        let facts = certificate::Facts::of(end_entity).ok_or(CertificateError::BadEncoding)?;
        if facts.has_alternative_name() {
            let name = ServerName::try_from(host).map_err(|_| wrong())?;
            return verify_server_name(&ParsedCertificate::try_from(end_entity)?, &name);
        }
        // Without alternative names the common name counts, as for libpq.
        match facts.common_name() {
            Some(name) if certificate::name_covers(name, host) => Ok(()),
            _ => Err(wrong()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            self.verify_chain(roots, end_entity, intermediates, now)?;
        }
        if let Some(host) = &self.host {
            self.verify_host(host, end_entity)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `openssl x509 -req` makes such a one where no extensions are given, as in PostgreSQL's manual ("Creating Certificates").
const FIRST_VERSION: &str = "is of version 1 of X.509, which is not accepted here: issue it anew with an extension, which makes it version 3 \
                             (openssl x509 -req … -extfile with a line such as subjectAltName=DNS:the.host)";

/// Whether a certificate was refused for its version; the verifier says so in no type of its own.
fn is_first_version(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string().contains("UnsupportedCertVersion")
                || format!("{other:?}").contains("UnsupportedCertVersion")
        }
        _ => false,
    }
}

/// A failed handshake in words that say what to do.
fn describe(error: &std::io::Error, host: &str) -> String {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else { return format!("the TLS handshake failed: {error}") };
    match tls {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => "the server's certificate is not signed by a trusted authority: put the authority's certificate into the file that sslrootcert names".to_owned(),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "the server's certificate is not for host \"{host}\": connect by a name it lists, or use sslmode=verify-ca if the name does not matter"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server's certificate has expired: renew it".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "the server's certificate is not valid yet: check the clocks".to_owned(),
            _ if is_first_version(tls) => format!("the server's certificate {FIRST_VERSION}"),
            other => format!("the server's certificate could not be verified: {other}"),
        },
        rustls::Error::InvalidMessage(_) => "the TLS handshake failed: the other end does not speak TLS on this port".to_owned(),
        other => format!("the TLS handshake failed: {other}"),
    }
}
