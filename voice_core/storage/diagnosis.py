"""What an error of a store means to a person: what is wrong, and what to do about it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}"


DENIED = "access denied: the credentials are wrong, or do not allow this"
WANTS_TLS = r"HTTP request (was sent )?to (an )?HTTPS|InsecureTransport|SSL required"

# Signs of a trouble in the texts of obstore and object_store, of S3 and Google Cloud Storage, of Python's ssl, socket
# and botocore. The first that matches counts. Names in braces are filled in, by the kind of the store.
_PATTERNS: tuple[tuple[str, str, str], ...] = (
    (
        r"RequestTimeTooSkewed|invalid_grant.*reasonable timeframe",
        "this machine's clock differs too much from the server's",
        "set the clock (`timedatectl set-ntp true`)",
    ),
    (r"InvalidAccessKeyId", "the server does not know this access key", "check {key}"),
    (
        r"SignatureDoesNotMatch",
        "the secret key does not belong to the access key",
        "check {secret}",
    ),
    (
        r"ExpiredToken|TokenRefreshRequired|InvalidToken|Token has expired|invalid_grant|UnauthorizedSSOToken",
        "the credentials have expired",
        "sign in again ({login}) or renew them",
    ),
    (
        r"AuthorizationHeaderMalformed|PermanentRedirect|redirect without LOCATION|IllegalLocationConstraint",
        "the bucket lies in another region",
        "set {region} to the bucket's region",
    ),
    (
        r"NoSuchBucket|bucket does not exist|no bucket named",
        "there is no such bucket",
        "check the URL, or make the bucket",
    ),
    (r"InvalidBucketName", "this can be no bucket's name", "check the URL"),
    (
        r"169\.254\.169\.254|metadata\.google|NoCredentials|Unable to locate credentials|DefaultCredentialsError",
        "no credentials were found",
        "{give}",
    ),
    (
        r"config profile .* could not be found|ProfileNotFound",
        "there is no such profile in ~/.aws",
        "check VOICE_S3__PROFILE; `aws configure list-profiles` lists them",
    ),
    (
        r"Unable to (open|decode) service account|DecodeCredentials|OpenCredentials|Error reading pem",
        "Google's service account key cannot be read",
        "check VOICE_GCS__CREDENTIALS_FILE",
    ),
    (
        r"UnknownIssuer|self.signed certificate|unable to get (local )?issuer|CaUsedAsEndEntity|BadSignature|"
        r"certificate signature failure",
        "the server's certificate is signed by an authority that this machine does not know",
        "set {ca} to the PEM file of that authority",
    ),
    (
        r"NotValidForName|(Hostname|IP address) mismatch|certificate is not valid for",
        "the server's certificate is made out to another host name",
        "use the name that the certificate carries in {endpoint}",
    ),
    (
        r"InvalidCertificate\(\s*(Expired|NotValidYet)|certificate (has expired|is not yet valid)",
        "the server's certificate has expired, or this machine's clock is off",
        "look at the clock first, then renew the certificate",
    ),
    (
        r"No certificates found|NO_CERTIFICATE_OR_CRL_FOUND|no start line|InvalidPEM|BadEncoding",
        "the PEM file of the authority holds no certificate",
        "check {ca}",
    ),
    (
        r"InvalidMessage\(|wrong version number|WRONG_VERSION_NUMBER|record layer failure|RECORD_LAYER",
        "the server answers in plain http, not https",
        "begin {endpoint} with http:// or use the port that speaks TLS",
    ),
    (
        WANTS_TLS,
        "the server speaks https, and {endpoint} begins with http://",
        "begin {endpoint} with https://",
    ),
    (
        r"dns error|failed to lookup|Name or service not known|nodename nor servname|No address associated|"
        r"name resolution|getaddrinfo",
        "there is no host of this name, or it cannot be looked up from here",
        "check {endpoint} for a typing error, then this machine's DNS or VPN",
    ),
    (
        r"ConnectionRefused|Connection refused|tcp connect error.*refused",
        "nothing listens at this address",
        "check host and port of {endpoint}, and whether the server runs",
    ),
    (
        r"NetworkUnreachable|HostUnreachable|No route to host|Network is unreachable",
        "there is no way to this address from here",
        "check this machine's network, VPN or firewall",
    ),
    (
        r"kind: Timeout|TimedOut|timed out|operation timed out|deadline has elapsed",
        "the server did not answer in time",
        "check address and port of {endpoint}, a firewall or proxy between, and the server's load",
    ),
    (
        r"SlowDown|429 Too Many|TooManyRequests|503 Service|ServiceUnavailable",
        "the server is overloaded or asks for fewer requests",
        "try again later, or lower VOICE_REQUESTS_IN_FLIGHT",
    ),
    (
        r"QuotaExceeded|StorageFull|InsufficientStorage|507 Insufficient|No space left|ENOSPC",
        "the storage is full",
        "free some space and run again, nothing is lost",
    ),
    (
        r"AccountProblem|AllAccessDisabled",
        "the account is closed for this, often because of billing",
        "ask its owner",
    ),
    (r"UnauthenticatedError|401 Unauthorized|Invalid Credentials", "the credentials are not accepted", "{give}"),
    (
        r"AccessDenied|PermissionDenied|403 Forbidden|lacked the necessary privileges|access denied",
        DENIED,
        "check the credentials, or ask the bucket's owner for the permission",
    ),
    (r"request or response body error|short body|before message", "the answer broke off", "try again"),
    (
        r"ConnectionReset|Connection reset|connection closed|IncompleteMessage|RemoteDisconnected|Remote end closed|"
        r"UnexpectedEof|EOF occurred",
        "the server closed the connection without an answer",
        "if it speaks https, begin {endpoint} with https://; otherwise look at its log",
    ),
    (r"\b50[0-9] [A-Z]|InternalError", "the server failed", "look at its log, or try again later"),
    (r"there is no such folder", "there is no such folder", "make it, or check the URL"),
    (r"Read-only file system", "this file system can only be read", "choose another folder"),
    (r"Permission denied|Operation not permitted", "this user may not do this here", "check owner and mode of it"),
)  # fmt: skip

_S3 = {
    "key": "VOICE_S3__ACCESS_KEY_ID, AWS_ACCESS_KEY_ID or the profile",
    "secret": "VOICE_S3__SECRET_ACCESS_KEY, AWS_SECRET_ACCESS_KEY or the profile",
    "login": "`aws sso login`",
    "region": "VOICE_S3__REGION",
    "ca": "VOICE_S3__CA_BUNDLE",
    "endpoint": "VOICE_S3__ENDPOINT_URL",
    "give": "set VOICE_S3__PROFILE, or VOICE_S3__ACCESS_KEY_ID and VOICE_S3__SECRET_ACCESS_KEY, or what the aws "
    "command uses (AWS_ACCESS_KEY_ID, ~/.aws)",
}
_GCS = {
    "key": "the credentials",
    "secret": "the credentials",
    "login": "`gcloud auth application-default login`",
    "region": "the URL",
    "ca": "SSL_CERT_FILE",
    "endpoint": "VOICE_GCS__ENDPOINT_URL",
    "give": "run `gcloud auth application-default login`, or set VOICE_GCS__CREDENTIALS_FILE",
}


# What somebody named, such as keys and buckets, could hold any of these signs.
_NAMES = re.compile(r"(?!https?://(169\.254|metadata))\b\w+://\S+|for path .*?: |(path|bucket): \"[^\"]*\"")


def diagnose(reason: str, url: str) -> Diagnosis | None:
    """What is wrong and what to do, from the whole text of an error; None where the text says nothing known.

    >>> diagnose("Os { code: 111, kind: ConnectionRefused }", "s3://bucket").what
    'nothing listens at this address'
    """
    names = _GCS if url.startswith("gs:") else _S3
    reason = _NAMES.sub(" ", reason)
    for pattern, what, cure in _PATTERNS:
        if re.search(pattern, reason, re.DOTALL):
            return Diagnosis(what.format(**names), cure.format(**names))
    return None


def root_cause_message(error: BaseException) -> str:
    """The text of the error that this one was made from, also where `raise … from None` hides it."""
    while (deeper := error.__cause__ or (error.__context__ if error.__suppress_context__ else None)) is not None:
        error = deeper
    return f"{type(error).__name__}: {error}"
