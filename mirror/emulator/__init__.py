"""An emulated GitHub: REST, uploads, downloads, in memory or on disk, with faults to inject.

It stands apart: it shares nothing with the program that it tests, so that a mistake in one cannot
hide the same mistake in the other.
"""

from __future__ import annotations

from mirror.emulator.content import Content, Generated
from mirror.emulator.faults import KINDS, Fault
from mirror.emulator.model import Asset, PushRule, Release, Repository, Token
from mirror.emulator.naming import normalise
from mirror.emulator.requestlog import RequestRecord
from mirror.emulator.routes import ROUTES
from mirror.emulator.routing import Answer
from mirror.emulator.seed import Seed, SeedError, apply_seed, load_seed, parse_seed
from mirror.emulator.serve import ServeOptions, serve
from mirror.emulator.server import Emulator
from mirror.emulator.state import AssetSpec, GitHubState

__all__ = [
    "KINDS",
    "ROUTES",
    "Answer",
    "Asset",
    "AssetSpec",
    "Content",
    "Emulator",
    "Fault",
    "Generated",
    "GitHubState",
    "PushRule",
    "Release",
    "Repository",
    "RequestRecord",
    "Seed",
    "SeedError",
    "ServeOptions",
    "Token",
    "apply_seed",
    "load_seed",
    "normalise",
    "parse_seed",
    "serve",
]
