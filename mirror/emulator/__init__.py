"""An emulated GitHub: REST, uploads, downloads, in memory or on disk, with fault injection.

It shares nothing with the program that it tests, so that a mistake in one cannot hide the same
mistake in the other. Layers, from the top: `serve`, `server`, `routes`, `http`, `documents`,
`model`, `faults`; each imports only those below it.
"""

from __future__ import annotations

from mirror.emulator.faults.fault import KINDS, Fault
from mirror.emulator.http.answer import Answer
from mirror.emulator.model.accounts import Token
from mirror.emulator.model.asset_renaming import normalise
from mirror.emulator.model.content import Content, Generated
from mirror.emulator.model.release_records import Asset, Release
from mirror.emulator.model.repository import PushRule, Repository
from mirror.emulator.model.request_log import RequestRecord
from mirror.emulator.model.seed import Seed, SeedError, apply_seed, load_seed, parse_seed
from mirror.emulator.model.state import AssetSpec, GitHubState
from mirror.emulator.routes import ROUTES
from mirror.emulator.serve import serve
from mirror.emulator.server import Emulator

__all__ = [
    "KINDS", "ROUTES", "Answer", "Asset", "AssetSpec", "Content", "Emulator", "Fault", "Generated",
    "GitHubState", "PushRule", "Release", "Repository", "RequestRecord", "Seed", "SeedError",
    "Token", "apply_seed", "load_seed", "normalise", "parse_seed", "serve",
]  # fmt: skip
