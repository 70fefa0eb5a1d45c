//! Whom a connection trusts: the system's certificates and those of `AWS_CA_BUNDLE`.
//!
//! `openssl req -x509` marks what it makes as an authority, and webpki refuses an authority's certificate
//! as a server's. Who names the very certificate of a server in the bundle trusts that server, as curl and
//! boto3 have it: such a certificate is taken where nothing else is wrong with it.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use super::settings::Settings;
use crate::Result;

/// TLS as rustls and ring have it.
///
/// # Errors
/// [`backup_core::Error`] where certificates cannot be read.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let broken = || backup_core::Error::engine("TLS", "start");
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(broken())?;
    let own = match settings.ca_bundle() {
        None => Vec::new(),
        Some(path) => certificates(path)?,
    };
    let config = match Verifier::new_with_extra_roots(own.iter().cloned(), provider) {
        Ok(system) => {
            let trust = Trust { system: Arc::new(system), own };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(trust))
        }
        // A machine without certificates can still speak to a service without TLS.
        Err(_) if settings.is_plain() => {
            builder.with_root_certificates(rustls::RootCertStore::empty())
        }
        Err(error) => return Err(broken()(error).into()),
    };
    Ok(config.with_no_client_auth())
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = std::fs::read(path).map_err(backup_core::Error::io("read AWS_CA_BUNDLE,", path))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        let detail = format!("must name a file of certificates in PEM form, and {path} is none");
        backup_core::Error::invalid("AWS_CA_BUNDLE", detail).into()
    })
}

/// Trusts whom the system trusts, and whoever shows one of these very certificates.
#[derive(Debug)]
struct Trust {
    system: Arc<dyn ServerCertVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let found = self.system.verify_server_cert(certificate, intermediates, name, ocsp, now);
        match found {
            // Its time was looked at before that was found, and its name is looked at here.
            Err(error) if is_authority(&error) && self.own.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            found => found,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.system.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.system.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}

/// Whether a certificate was refused as a server's because it is marked as an authority's.
fn is_authority(error: &TlsError) -> bool {
    matches!(webpki_error(error), Some(webpki::Error::CaUsedAsEndEntity))
}

fn webpki_error(error: &TlsError) -> Option<&webpki::Error> {
    let TlsError::InvalidCertificate(CertificateError::Other(other)) = error else { return None };
    other.0.downcast_ref()
}

/// What is wrong between two that speak TLS, or of which one does not.
pub(super) enum Trouble {
    /// What is wrong with the certificate, and what to do, as in "the certificate of HOST *is …*".
    Certificate(String),
    /// The other one does not speak TLS.
    NoTls,
}

/// The trouble with TLS among the causes of an error, if that is what it is.
pub(super) fn trouble(error: &(dyn StdError + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref::<TlsError>() {
            Some(error @ TlsError::InvalidCertificate(wrong)) => {
                return Some(Trouble::Certificate(advice(error, wrong)));
            }
            Some(TlsError::InvalidMessage(_)) => return Some(Trouble::NoTls),
            _ => {}
        }
        // An I/O error does not count what it wraps among its causes.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

fn advice(error: &TlsError, wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "has no extension subjectAltName, which alone names its hosts (its CN counts no more); make it \
             anew with `openssl req -x509 -addext subjectAltName=DNS:HOST`, or IP:ADDRESS"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().take(5).map(|name| shown(name)).collect();
            format!(
                "is for another host: {}; set AWS_ENDPOINT_URL to a name that it has, or make it anew",
                names.join(", ")
            )
        }
        CertificateError::NotValidForName => {
            "is for another host; set AWS_ENDPOINT_URL to a name that it has, or make it anew".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "is no longer valid; renew it, or set this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; set this machine's clock".to_owned()
        }
        _ if matches!(webpki_error(error), Some(webpki::Error::UnsupportedCertVersion)) => {
            "is of version 1, which cannot name its hosts; make one of version 3, as `openssl req -x509 \
             -addext subjectAltName=DNS:HOST` does"
                .to_owned()
        }
        _ => "is not trusted; if it is your own, name its authority's file, or its own, in AWS_CA_BUNDLE"
            .to_owned(),
    }
}

/// A name as rustls writes it: `DnsName("host")`, `IpAddress(127.0.0.1)`.
fn shown(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let plain = inner.unwrap_or(name).trim_matches('"');
    plain.chars().filter(|c| !c.is_control()).take(100).collect()
}
