//! Each way of being set up wrongly has an error of its own: one line that says what to do, soon, and
//! without a secret in it.

use std::time::Duration;

use backup_core::progress::Context;
use remote::s3::Settings;
use remote::{Error, Repository, RepositoryLocation};
use testkit::proxy::Fault;
use testkit::s3::{BUCKET, SECRET, Service, variables};

use crate::ground::{Ground, host, store, told};

/// How long a refusal may take on a busy machine.
const SOON: Duration = Duration::from_secs(15);

const TOKEN: &str = "hunter2-session-token";

/// What is said to who opens and to who makes a repository there.
async fn refused(url: &str, variables: &[(&'static str, String)]) -> String {
    let settings = Settings::new(variables.iter().cloned());
    let location = RepositoryLocation::s3(url, settings).unwrap();
    let (host, context) = (host(), Context::default());
    let opened = tokio::time::timeout(SOON, Repository::open(&location, &host, &context));
    let opened = opened.await.expect("soon").unwrap_err();
    let made = tokio::time::timeout(SOON, Repository::init(&location, &host, &context));
    let made = made.await.expect("soon").unwrap_err();
    for error in [&opened, &made] {
        let told = told(error);
        assert!(!told.contains(SECRET) && !told.contains(TOKEN), "{told}");
        assert!(!matches!(error, Error::NoRepository { .. } | Error::Unfit { .. }), "{told}");
        assert!(error.to_string().lines().count() == 1, "{told}");
    }
    let (opened, made) = (told(&opened), told(&made));
    let line = |told: &str| told.lines().next().unwrap().to_owned();
    assert!(line(&opened).contains(url), "{opened}");
    format!("{}\n{}", line(&opened), line(&made))
}

fn with(url: &str, change: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut all = variables(url).to_vec();
    all.extend(change.iter().map(|(name, value)| (*name, (*value).to_owned())));
    all
}

fn assert_each_line(told: &str, words: &[&str]) {
    assert_eq!(told.lines().count(), 2, "{told}");
    for line in told.lines() {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} not in {line}");
    }
}

/// s3s-fs says of an object in a bucket that is not there that there is no such key: it was taken for an
/// empty bucket.
#[tokio::test]
async fn a_bucket_that_is_not_there() {
    for ground in Ground::all().chain(Ground::new(Service::S3sFs)) {
        let told = refused("s3://no-such-bucket/x", &with(&ground.proxy.url(), &[])).await;
        assert_each_line(&told, &["there is no such bucket; make it first", "NoSuchBucket"]);
    }
}

#[tokio::test]
async fn wrong_keys() {
    let Some(ground) = Ground::new(Service::SeaweedFs) else { return };
    let url = format!("s3://{BUCKET}/x");
    let wrong = [("AWS_SECRET_ACCESS_KEY", "another")];
    let told = refused(&url, &with(&ground.proxy.url(), &wrong)).await;
    assert_each_line(&told, &["check AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"]);
    let unknown = [("AWS_ACCESS_KEY_ID", "another")];
    let told = refused(&url, &with(&ground.proxy.url(), &unknown)).await;
    assert_each_line(&told, &["HTTP 403"]);
    let anonymous = [("AWS_SKIP_SIGNATURE", "true")];
    let told = refused(&url, &with(&ground.proxy.url(), &anonymous)).await;
    assert_each_line(&told, &["access is denied"]);
}

/// As AWS answers, which says how the request would have to be signed, and gives back the token.
#[tokio::test]
async fn what_aws_answers() {
    let Some(ground) = Ground::new(Service::Moto) else { return };
    let url = format!("s3://{BUCKET}/x");
    let answer = |status: u16, header: &str, body: &str| Fault::Answer {
        status,
        headers: vec!["Content-Type: application/xml".into(), header.into()],
        body: format!(
            "<?xml version=\"1.0\"?>\n<Error>{body}<RequestId>4442587FB7D0A2F9</RequestId></Error>"
        ),
    };
    let echo = format!(
        "<StringToSign>x</StringToSign><CanonicalRequest>GET\nx-amz-security-token:{TOKEN}\n{SECRET}</CanonicalRequest>"
    );
    for (fault, words) in [
        (
            answer(
                301,
                "x-amz-bucket-region: eu-west-1",
                "<Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the specified endpoint.</Message><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>",
            ),
            ["set AWS_REGION=eu-west-1", "PermanentRedirect"],
        ),
        (
            answer(
                400,
                "X-A: b",
                "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region>",
            ),
            ["set AWS_REGION=eu-central-1", "AuthorizationHeaderMalformed"],
        ),
        (
            answer(
                403,
                "X-A: b",
                &format!(
                    "<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match {SECRET}</Message>{echo}"
                ),
            ),
            ["check AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"],
        ),
        (
            answer(
                400,
                "X-A: b",
                &format!(
                    "<Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>{TOKEN}</Token-0>"
                ),
            ),
            ["the session token is not valid any more", "AWS_SESSION_TOKEN"],
        ),
        (
            answer(
                403,
                "X-A: b",
                "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message>",
            ),
            ["this machine's clock", "set the clock"],
        ),
        (
            answer(
                403,
                "X-A: b",
                "<Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist in our records.</Message>",
            ),
            ["check AWS_ACCESS_KEY_ID", "does not exist in our records"],
        ),
        (
            answer(403, "X-A: b", "<Code>AccessDenied</Code><Message>Access Denied</Message>"),
            ["access is denied", "s3:ListBucket"],
        ),
    ] {
        ground.proxy.set(move |_| fault.clone());
        let told = refused(&url, &with(&ground.proxy.url(), &[("AWS_SESSION_TOKEN", TOKEN)])).await;
        assert_each_line(&told, &words);
    }
    let page = "<html><body>It works!</body></html>";
    ground.proxy.set(move |_| Fault::Answer { status: 404, headers: vec![], body: page.into() });
    let told = refused(&url, &with(&ground.proxy.url(), &[])).await;
    assert_each_line(&told, &["no answer of an S3 service", "check AWS_ENDPOINT_URL"]);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let told = refused("s3://some-bucket/x", &with(&endpoint, &[])).await;
    assert_each_line(&told, &[&endpoint, "cannot be reached", "AWS_ENDPOINT_URL"]);
    let told = refused("s3://some-bucket/x", &with("http://no-such-host.invalid", &[])).await;
    assert_each_line(&told, &["http://no-such-host.invalid", "cannot be reached"]);
}

/// Nobody answers where an instance's role would come from; a listener that accepts and is silent
/// is the worst of them.
#[tokio::test]
async fn no_credentials() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    for set in [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_PROFILE", "work"),
        ("AWS_METADATA_ENDPOINT", silent.as_str()),
        ("AWS_METADATA_ENDPOINT", closed.as_str()),
    ] {
        let told = refused("s3://some-bucket/x", &[(set.0, set.1.to_owned())]).await;
        assert_each_line(&told, &["no credentials were found", "AWS_ACCESS_KEY_ID"]);
    }
}

/// What an instance's role gives is used. `SeaweedFS` refuses a session that it did not begin; s3s-fs checks the
/// signature alone.
#[tokio::test]
async fn an_instance_gives_a_role() {
    let Some(ground) = Ground::new(Service::S3sFs) else { return };
    let metadata = testkit::proxy::Proxy::new(ground.server.address()).unwrap();
    metadata.set(|call| {
        let body = match (call.method.as_str(), call.path.as_str()) {
            ("PUT", "/latest/api/token") => "a-token".to_owned(),
            ("GET", "/latest/meta-data/iam/security-credentials/") => "a-role".to_owned(),
            ("GET", "/latest/meta-data/iam/security-credentials/a-role") => format!(
                "{{\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"t\",\
                 \"Expiration\":\"2999-01-01T00:00:00Z\",\"Code\":\"Success\"}}",
                testkit::s3::KEY_ID
            ),
            _ => return Fault::error(404, ""),
        };
        Fault::Answer { status: 200, headers: Vec::new(), body }
    });
    let settings = Settings::new([
        ("AWS_ENDPOINT_URL", ground.proxy.url()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_METADATA_ENDPOINT", metadata.url()),
    ]);
    let url = format!("s3://{BUCKET}/role-{}", std::process::id());
    let location = RepositoryLocation::s3(&url, settings).unwrap();
    assert_eq!(store(&location).await.get("keepsum.json", 10).await.unwrap(), None);
    assert_eq!(metadata.calls(), 3);
}
