//! HTTP as S3 is spoken to here: one attempt a request, and every answer that is no success read once.
//!
//! `object_store` repeats requests, and answers too, as they come. Here its retries are off, since
//! [`Store`](crate::Store) has its own, and what it sees of a refusal is what [`S3Error`] keeps.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::answer::{Meaning, Raw, meaning};
use super::error::S3Error;
use super::settings::Settings;
use super::tls::{self, Trouble};
use crate::Result;
use crate::held::Held;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The most bytes that are read of an answer that is no success.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What signs a request to S3. Requests for credentials have none, or one of their own.
const SIGNED: &[u8] = b"AWS4-HMAC-SHA256 ";

/// Makes all connections of one store: to the service, and to whoever gives credentials.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    client: HttpClient,
    /// The same one, for bodies that `object_store` does not know.
    bare: reqwest::Client,
    /// Whether requests are not signed.
    anonymous: bool,
    secrets: Arc<[String]>,
}

impl Wire {
    /// # Errors
    /// [`backup_core::Error`] where certificates cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings)?)
            .user_agent(concat!("keepsum/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // To follow one would send a signed request to where it was not signed for.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .build()
            .map_err(backup_core::Error::engine("the HTTP client", "start"))?;
        Ok(Self {
            client: HttpClient::new(client.clone()),
            bare: client,
            anonymous: settings.is_anonymous(),
            secrets: settings.secrets().into(),
        })
    }

    /// Makes a request whose body waits at a gate. Its length and its hash were told and signed before.
    async fn execute_held(
        &self,
        request: HttpRequest,
        held: Held,
    ) -> Result<HttpResponse, HttpError> {
        let failed =
            |error: reqwest::Error| HttpError::new(HttpErrorKind::Unknown, error.without_url());
        let (parts, _) = request.into_parts();
        let url = parts.uri.to_string().parse();
        let url =
            url.map_err(|error: url::ParseError| HttpError::new(HttpErrorKind::Request, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap_stream(held.halves()));
        let answer = self.bare.execute(request).await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut whole = HttpResponse::new(answer.bytes().await.map_err(failed)?.into());
        (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
        Ok(whole)
    }

    fn is_for_service(&self, request: &HttpRequest) -> bool {
        let signature = request.headers().get("authorization");
        self.anonymous || signature.is_some_and(|value| value.as_bytes().starts_with(SIGNED))
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri();
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let endpoint = format!("{}://{host}", uri.scheme_str().unwrap_or_default());
        let lost_at = |error| lost(error, endpoint.clone());
        let (for_service, head) =
            (self.is_for_service(&request), request.method().as_str() == "HEAD");
        let answer = match request.extensions().get::<Held>().cloned() {
            None => self.client.execute(request).await,
            Some(body) => self.execute_held(request, body).await,
        };
        let answer = answer.map_err(lost_at)?;
        if answer.status().is_success() || !for_service {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let body = beginning(body.bytes_stream()).await.map_err(lost_at)?;
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let raw = Raw {
            status: parts.status.as_u16(),
            body: &String::from_utf8_lossy(&body),
            region: header("x-amz-bucket-region"),
            retry_after: header("retry-after"),
        };
        match meaning(&raw, !head, &self.secrets) {
            // What `object_store` has its own words for.
            Meaning::Absent | Meaning::Taken => {
                Ok(HttpResponse::from_parts(parts, Bytes::new().into()))
            }
            Meaning::Error(error) => Err(HttpError::new(HttpErrorKind::Unknown, error)),
        }
    }
}

/// As much of a body as is looked at. One that breaks off says nothing: without its code, an answer
/// would be taken for another one.
async fn beginning(
    mut body: impl futures_util::Stream<Item = Result<Bytes, HttpError>> + Unpin,
) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let room = MAX_ANSWER_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(bytes)
}

/// A request that got no answer.
fn lost(error: HttpError, endpoint: String) -> HttpError {
    let (kind, trouble, unreachable) = (error.kind(), tls::trouble(&error), is_connect(&error));
    let source: Arc<dyn StdError + Send + Sync> = Arc::new(error);
    let error = match trouble {
        Some(Trouble::Certificate(advice)) => S3Error::Untrusted { endpoint, advice, source },
        Some(Trouble::NoTls) => S3Error::NoTls { endpoint, source },
        None if unreachable => S3Error::Unreachable { endpoint, source },
        None => S3Error::Broken { endpoint, source },
    };
    HttpError::new(kind, error)
}

/// Whether there was no connection, a time-out of making it included.
fn is_connect(error: &HttpError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    cause.is_some_and(reqwest::Error::is_connect)
}
