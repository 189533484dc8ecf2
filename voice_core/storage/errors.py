"""Errors of stores: the classes that are raised, and what an error of a store means (`diagnose`).

Each message names the operation, the key and the reason, says what to do, and contains no secrets.
"""

import errno
import re
from dataclasses import dataclass

from obstore.exceptions import (
    AlreadyExistsError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from voice_core.redaction import redact


class StoreError(OSError):
    """An object could not be read or written. The message names the operation, the key and the reason, no secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class ObjectNotFoundError(StoreError):
    """There is no object under this key."""


class AccessDeniedError(StoreError):
    """The store rejected the credentials, or they do not permit the operation."""


class ConflictError(StoreError):
    """A conditional put failed: the object exists already, or another process replaced it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`what` is wrong, and the `cure`: what a person can do about it."""

    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}"


DENIED = "access denied: the credentials are wrong, or do not permit this"
WANTS_TLS = r"HTTP request (was sent )?to (an )?HTTPS|InsecureTransport|SSL required"

# Patterns in the texts of obstore and object_store, S3 and Google Cloud Storage, Python's ssl and socket, and botocore.
# The first match counts. Names in braces depend on the kind of store.
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
        "the bucket is in another region",
        "set {region} to the bucket's region",
    ),
    (
        r"NoSuchBucket|bucket does not exist|no bucket named",
        "there is no such bucket",
        "check the URL, or create the bucket",
    ),
    (r"InvalidBucketName", "this is not a valid bucket name", "check the URL"),
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
        "the server's certificate is for another host name",
        "use the host name of the certificate in {endpoint}",
    ),
    (
        r"InvalidCertificate\(\s*(Expired|NotValidYet)|certificate (has expired|is not yet valid)",
        "the server's certificate has expired, or this machine's clock is wrong",
        "check the clock first, then renew the certificate",
    ),
    (
        r"No certificates found|NO_CERTIFICATE_OR_CRL_FOUND|no start line|InvalidPEM|BadEncoding",
        "the PEM file of the authority contains no certificate",
        "check {ca}",
    ),
    (
        r"InvalidMessage\(|wrong version number|WRONG_VERSION_NUMBER|record layer failure|RECORD_LAYER",
        "the server answers in plain http, not https",
        "begin {endpoint} with http://, or use the port for TLS",
    ),
    (
        WANTS_TLS,
        "the server expects https, and {endpoint} begins with http://",
        "begin {endpoint} with https://",
    ),
    (
        r"dns error|failed to lookup|Name or service not known|nodename nor servname|No address associated|"
        r"name resolution|getaddrinfo",
        "the host name cannot be resolved",
        "check {endpoint} for a typo, then this machine's DNS or VPN",
    ),
    (
        r"ConnectionRefused|Connection refused|tcp connect error.*refused",
        "no server listens at this address",
        "check host and port of {endpoint}, and whether the server is running",
    ),
    (
        r"NetworkUnreachable|HostUnreachable|No route to host|Network is unreachable",
        "this machine has no route to this address",
        "check this machine's network, VPN or firewall",
    ),
    (
        r"kind: Timeout|TimedOut|timed out|operation timed out|deadline has elapsed",
        "the server did not answer in time",
        "check address and port of {endpoint}, firewalls and proxies, and the server's load",
    ),
    (
        r"SlowDown|429 Too Many|TooManyRequests|503 Service|ServiceUnavailable",
        "the server is overloaded or asks for fewer requests",
        "try again later, or lower VOICE_REQUESTS_IN_FLIGHT",
    ),
    (
        r"QuotaExceeded|StorageFull|InsufficientStorage|507 Insufficient|No space left|ENOSPC",
        "the storage is full",
        "free some space and run the command again; no data is lost",
    ),
    (
        r"AccountProblem|AllAccessDisabled",
        "the account is disabled for this operation, often because of billing",
        "ask the owner of the account",
    ),
    (r"UnauthenticatedError|401 Unauthorized|Invalid Credentials", "the server rejected the credentials", "{give}"),
    (
        r"AccessDenied|PermissionDenied|403 Forbidden|lacked the necessary privileges|access denied",
        DENIED,
        "check the credentials, or ask the bucket's owner for the permission",
    ),
    (r"request or response body error|short body|before message", "the response ended early", "try again"),
    (
        r"ConnectionReset|Connection reset|connection closed|IncompleteMessage|RemoteDisconnected|Remote end closed|"
        r"UnexpectedEof|EOF occurred",
        "the server closed the connection without a response",
        "if it expects https, begin {endpoint} with https://; otherwise check its log",
    ),
    (r"\b50[0-9] [A-Z]|InternalError", "the server reported an internal error", "check its log, or try again later"),
    (r"there is no such folder", "there is no such folder", "create it, or check the URL"),
    (r"Read-only file system", "the file system is read-only", "choose another folder"),
    (
        r"Permission denied|Operation not permitted",
        "this user does not have the permission",
        "check the owner and mode of the file or folder",
    ),
)  # fmt: skip

_S3 = {
    "key": "VOICE_S3__ACCESS_KEY_ID, AWS_ACCESS_KEY_ID or the profile",
    "secret": "VOICE_S3__SECRET_ACCESS_KEY, AWS_SECRET_ACCESS_KEY or the profile",
    "login": "`aws sso login`",
    "region": "VOICE_S3__REGION",
    "ca": "VOICE_S3__CA_BUNDLE",
    "endpoint": "VOICE_S3__ENDPOINT_URL",
    "give": "set VOICE_S3__PROFILE, or VOICE_S3__ACCESS_KEY_ID and VOICE_S3__SECRET_ACCESS_KEY, or the credentials of "
    "the aws command (AWS_ACCESS_KEY_ID, ~/.aws)",
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


# URLs, paths and buckets are removed first: names that people choose may contain any of the patterns.
_NAMES = re.compile(r"(?!https?://(169\.254|metadata))\b\w+://\S+|for path .*?: |(path|bucket): \"[^\"]*\"")


def diagnose(reason: str, url: str) -> Diagnosis | None:
    """What is wrong and what to do, from the whole text of an error; None if no pattern matches.

    >>> diagnose("Os { code: 111, kind: ConnectionRefused }", "s3://bucket").what
    'no server listens at this address'
    """
    names = _GCS if url.startswith("gs:") else _S3
    reason = _NAMES.sub(" ", reason)
    for pattern, what, cure in _PATTERNS:
        if re.search(pattern, reason, re.DOTALL):
            return Diagnosis(what.format(**names), cure.format(**names))
    return None


def diagnose_error(error: BaseException, url: str) -> Diagnosis | None:
    """As `diagnose`, from the error that this one was raised from, also where `raise … from None` hides it."""
    return diagnose(root_cause_message(error), url)


def root_cause_message(error: BaseException) -> str:
    """The type and text of the error that this one was raised from, also where `raise … from None` hides it."""
    while (deeper := error.__cause__ or (error.__context__ if error.__suppress_context__ else None)) is not None:
        error = deeper
    return f"{type(error).__name__}: {error}"


def to_store_error(error: Exception, what: str, url: str, key: str) -> StoreError:
    """Convert an error of obstore, of the file system, or of an invalid key."""
    where = f"{what} {url}/{key}"
    trouble = diagnose_error(error, url) if not url.startswith("file:") else None
    if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
        return ObjectNotFoundError(f"{where}: not found")
    if isinstance(error, AlreadyExistsError | PreconditionError | FileExistsError):
        return ConflictError(f"{where}: another process wrote it meanwhile")
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if denied or (trouble is not None and trouble.what == DENIED):
        return AccessDeniedError(f"{where}: {describe_error(trouble or 'access denied', error)}")
    if isinstance(error, InvalidPathError):
        return StoreError(f"{where}: this is not a valid key ({first_line(error)})")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StoreError(f"{where}: the disk is full; free some space and run the command again; no data is lost")
    return StoreError(f"{where}: {describe_error(trouble, error)}")


def describe_error(trouble: Diagnosis | str | None, error: Exception) -> str:
    """What is wrong and what to do, and in parentheses the store's own message."""
    return f"{trouble} ({first_line(error)})" if trouble else first_line(error)


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n", 1)[0]
