//! Reading an answer that is no success: what it means, and what of it is repeated.

use std::time::Duration;

use super::error::{Answer, S3Error};

/// The longest code or message that is repeated, in characters.
const LONGEST: usize = 300;

/// What of an answer tells why.
pub(super) struct Raw<'a> {
    pub(super) status: u16,
    /// Nothing where the request was a `HEAD`.
    pub(super) body: &'a str,
    /// `x-amz-bucket-region`
    pub(super) region: Option<&'a str>,
    /// `Retry-After`
    pub(super) retry_after: Option<&'a str>,
}

/// What an answer means.
pub(super) enum Meaning {
    /// There is no such file. No other answer means that: not a bucket that is missing, nor a page of
    /// some other server that is not there.
    Absent,
    /// The condition of a create does not hold: the name is taken, or being taken.
    Taken,
    /// Anything else.
    Error(S3Error),
}

/// What an answer to a request means. `has_body` is whether answers to such a request have a body.
pub(super) fn meaning(raw: &Raw<'_>, has_body: bool, secrets: &[String]) -> Meaning {
    let code = element(raw.body, "Code");
    match (raw.status, code.as_str()) {
        (404, "NoSuchKey") => return Meaning::Absent,
        (404, "") if !has_body => return Meaning::Absent,
        (412, _) | (409, "ConditionalRequestConflict") => return Meaning::Taken,
        _ => {}
    }
    let region = raw.region.map_or_else(|| element(raw.body, "Region"), str::to_owned);
    let answer = Answer {
        status: raw.status,
        code: fit(&code, secrets),
        message: fit(&element(raw.body, "Message"), secrets),
    };
    Meaning::Error(match (raw.status, code.as_str()) {
        (429 | 503, _) | (_, "SlowDown" | "Throttling" | "ThrottlingException") => {
            S3Error::Throttled { after: raw.retry_after.and_then(seconds), answer }
        }
        (408 | 409 | 500 | 502 | 504, _) | (400, "RequestTimeout") => S3Error::Failed { answer },
        (400, "") if speaks_tls(raw.body) => S3Error::Refused { advice: TLS.to_owned(), answer },
        _ => S3Error::Refused { advice: advice(raw.status, &code, &fit(&region, secrets)), answer },
    })
}

const TLS: &str = "the service speaks TLS there; write https:// in AWS_ENDPOINT_URL";

/// Whether an answer without XML says that it would rather be asked in TLS. There is no code for it:
/// servers write "Client sent an HTTP request to an HTTPS server" and the like.
fn speaks_tls(body: &str) -> bool {
    body.to_ascii_uppercase().contains("HTTPS")
}

/// What a refusal means, and what to do about it.
fn advice(status: u16, code: &str, region: &str) -> String {
    let text = match (status, code) {
        (301 | 307 | 308, _)
        | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            return match region {
                "" => "the bucket is in another region; set AWS_REGION to its own".to_owned(),
                region => format!("the bucket is in another region; set AWS_REGION={region}"),
            };
        }
        (_, "NoSuchBucket") => {
            "there is no such bucket; make it first, or check its name, AWS_REGION and AWS_ENDPOINT_URL"
        }
        // The third is versitygw's word.
        (_, "InvalidAccessKeyId" | "NotSignedUp" | "XAdminUserNotFound") => {
            "the access key is not known there; check AWS_ACCESS_KEY_ID"
        }
        (_, "SignatureDoesNotMatch") => {
            "the secret key is not the one of the access key; check AWS_SECRET_ACCESS_KEY"
        }
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            "the session token is not valid any more; get new credentials and set AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        }
        (_, "RequestTimeTooSkewed" | "RequestExpired") => {
            "this machine's clock is too far from the service's; set the clock"
        }
        (401 | 403, _) => {
            "access is denied; the credentials need s3:ListBucket, s3:GetObject, s3:PutObject and \
             s3:DeleteObject there"
        }
        (404, "") => "this is no answer of an S3 service; check AWS_ENDPOINT_URL",
        (404, _) => {
            "the service does not find what it was asked for; check the bucket's name, \
             AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        }
        (405 | 501, _) => "the service does not do this; use another one",
        _ => "the service refused the request",
    };
    text.to_owned()
}

/// The text of the first element of that name; empty where there is none.
fn element(body: &str, name: &str) -> String {
    let text = || {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text)
    };
    decoded(text().unwrap_or_default())
}

/// A text of XML with its entities resolved. What is none stays as it is.
fn decoded(text: &str) -> String {
    /// The longest that XML has a name or number for: `&#x10FFFF;`.
    const LONGEST_ENTITY: usize = 10;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = after.split_once(';').filter(|(name, _)| name.len() < LONGEST_ENTITY);
        if let Some((sign, after)) = entity.and_then(|(name, after)| Some((sign(name)?, after))) {
            plain.push(sign);
            rest = after;
        } else {
            plain.push('&');
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

/// What an entity of this name stands for.
fn sign(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let number = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return number.ok().and_then(char::from_u32);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "amp" => '&',
        _ => return None,
    })
}

/// A text of the service's, not too long, on one line, without what must not be repeated.
fn fit(text: &str, secrets: &[String]) -> String {
    let text = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"));
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().chars().take(LONGEST).collect()
}

/// A number of seconds. The other form of `Retry-After`, a date, is left to the usual pauses: the
/// clocks need not agree.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(status: u16, body: &str) -> Raw<'_> {
        Raw { status, body, region: None, retry_after: None }
    }

    fn xml(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m &amp; n</Message></Error>"
        )
    }

    fn error_of(raw: &Raw<'_>) -> S3Error {
        match meaning(raw, true, &[]) {
            Meaning::Error(error) => error,
            Meaning::Absent => panic!("absent"),
            Meaning::Taken => panic!("taken"),
        }
    }

    #[test]
    fn only_a_missing_key_is_absent() {
        assert!(matches!(meaning(&raw(404, &xml("NoSuchKey")), true, &[]), Meaning::Absent));
        assert!(matches!(meaning(&raw(404, ""), false, &[]), Meaning::Absent));
        for (status, body) in [
            (404, xml("NoSuchBucket")),
            (404, "<html>Not Found</html>".to_owned()),
            (404, String::new()),
            (403, xml("NoSuchKey")),
            (500, xml("NoSuchKey")),
            (403, String::new()),
        ] {
            let meaning = meaning(&raw(status, &body), true, &[]);
            assert!(matches!(meaning, Meaning::Error(_)), "{status} {body}");
        }
    }

    #[test]
    fn only_a_conflict_of_conditions_is_taken() {
        for (status, code, taken) in [
            (412, "PreconditionFailed", true),
            (412, "", true),
            (409, "ConditionalRequestConflict", true),
            (409, "OperationAborted", false),
            (403, "AccessDenied", false),
        ] {
            let found = matches!(meaning(&raw(status, &xml(code)), true, &[]), Meaning::Taken);
            assert_eq!(found, taken, "{status} {code}");
        }
    }

    #[test]
    fn throttled_failed_and_refused_are_told_apart() {
        for (status, code, kind) in [
            (503, "SlowDown", "throttled"),
            (503, "ServiceUnavailable", "throttled"),
            (503, "", "throttled"),
            (429, "TooManyRequests", "throttled"),
            (400, "SlowDown", "throttled"),
            (500, "InternalError", "failed"),
            (502, "", "failed"),
            (504, "", "failed"),
            (408, "", "failed"),
            (409, "OperationAborted", "failed"),
            (400, "RequestTimeout", "failed"),
            (400, "InvalidRequest", "refused"),
            (403, "AccessDenied", "refused"),
            (401, "", "refused"),
            (301, "PermanentRedirect", "refused"),
            (405, "MethodNotAllowed", "refused"),
            (501, "NotImplemented", "refused"),
        ] {
            let found = match error_of(&raw(status, &xml(code))) {
                S3Error::Throttled { .. } => "throttled",
                S3Error::Failed { .. } => "failed",
                S3Error::Refused { .. } => "refused",
                error => panic!("{error}"),
            };
            assert_eq!(found, kind, "{status} {code}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (status, code, words) in [
            (404, "NoSuchBucket", "no such bucket"),
            (403, "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"),
            (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
            (403, "RequestTimeTooSkewed", "set the clock"),
            (403, "AccessDenied", "s3:ListBucket"),
            (301, "PermanentRedirect", "set AWS_REGION to its own"),
            (404, "", "check AWS_ENDPOINT_URL"),
        ] {
            let error = error_of(&raw(status, &xml(code))).to_string();
            assert!(error.contains(words) && error.contains("m & n"), "{code}: {error}");
        }
    }

    #[test]
    fn the_region_of_a_bucket_is_named() {
        let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code>\
                         <Region>eu-west-1</Region></Error>";
        let error = error_of(&raw(400, malformed)).to_string();
        assert!(error.contains("set AWS_REGION=eu-west-1"), "{error}");
        let moved = Raw { region: Some("eu-north-1"), ..raw(301, "") };
        let error = error_of(&moved).to_string();
        assert!(error.contains("set AWS_REGION=eu-north-1"), "{error}");
    }

    /// Go's servers write a quotation mark as a number: it was repeated as `&#34;`.
    #[test]
    fn entities_are_resolved_once() {
        for (text, expected) in [
            ("&#34;a&#34;", "\"a\""),
            ("&#x22;&#39;&apos;&quot;", "\"''\""),
            ("&lt;b&gt; &amp;amp; c", "<b> &amp; c"),
            ("&nbsp; & &#xD800; &#x110000; &#; &", "&nbsp; & &#xD800; &#x110000; &#; &"),
            ("&#8230;", "…"),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }

    /// As versitygw answers: a 404 of valid XML is an answer of an S3 service.
    #[test]
    fn an_unknown_key_may_be_a_404() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>XAdminUserNotFound</Code>\
                    <Message>No user exists with the provided access key ID.</Message>\
                    <Resource></Resource><RequestId></RequestId></Error>";
        let error = error_of(&raw(404, body)).to_string();
        assert!(error.contains("check AWS_ACCESS_KEY_ID"), "{error}");
        assert!(error.contains("No user exists with the provided access key ID."), "{error}");
        let error = error_of(&raw(404, &xml("NoSuchUpload"))).to_string();
        assert!(error.contains("does not find what it was asked for"), "{error}");
    }

    #[test]
    fn a_service_that_wants_tls_is_told_from_one_that_refuses() {
        for body in [
            "Client sent an HTTP request to an HTTPS server.\n",
            "<html><body>The plain HTTP request was sent to HTTPS port</body></html>",
        ] {
            let error = error_of(&raw(400, body)).to_string();
            assert!(error.contains("write https:// in AWS_ENDPOINT_URL"), "{error}");
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_read() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None),
            ("-1", None),
        ] {
            let asked = Raw { retry_after: Some(text), ..raw(503, "") };
            let S3Error::Throttled { after, .. } = error_of(&asked) else { panic!("{text}") };
            assert_eq!(after, expected.map(Duration::from_secs), "{text}");
        }
    }

    /// AWS repeats the request that it could not check, and the token that is no good.
    #[test]
    fn what_a_service_repeats_of_the_request_is_not_repeated() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>m hunter2\n\u{1b}[31m</Message>\
                    <CanonicalRequest>x-amz-security-token:hunter2</CanonicalRequest>\
                    <Token-0>hunter2</Token-0></Error>";
        let secrets = ["hunter2".to_owned()];
        let Meaning::Error(error) = meaning(&raw(403, body), true, &secrets) else {
            panic!("no error")
        };
        let told = format!("{error} {error:?}");
        assert!(!told.contains("hunter2") && !told.contains('\u{1b}'), "{told}");
        let long = format!("<Error><Message>{}</Message></Error>", "x".repeat(100_000));
        assert!(error_of(&raw(400, &long)).to_string().len() < 1000);
    }
}
