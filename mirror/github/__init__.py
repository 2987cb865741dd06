"""GitHub's REST API, for hosts of every kind: github.com, GHE.com, GitHub Enterprise Server."""

from mirror.github.auth import AppAuth, Auth, TokenAuth
from mirror.github.client import GitHubClient
from mirror.github.endpoints.assets import AssetSink, AssetSource
from mirror.github.endpoints.releases import ReleaseStore
from mirror.github.protocol.rate_limit import RateLimit
from mirror.github.protocol.urls import RefusedAddress, accepted_upload_origins, api_url
from mirror.github.rate_limiter import RateLimiter
from mirror.github.request_retry import Answer
from mirror.github.streams import StorageError, Stream
from mirror.github.transport import RequestSeen

__all__ = [
    "Answer",
    "AppAuth",
    "AssetSink",
    "AssetSource",
    "Auth",
    "GitHubClient",
    "RateLimit",
    "RateLimiter",
    "RefusedAddress",
    "ReleaseStore",
    "RequestSeen",
    "StorageError",
    "Stream",
    "TokenAuth",
    "accepted_upload_origins",
    "api_url",
]
