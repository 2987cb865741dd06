"""Telling people: notices by Apprise, and the heartbeat that a dead man would miss."""

from mirror.notify.apprise_sender import INSTALL, Address, AppriseSender, is_installed
from mirror.notify.heartbeat import Heartbeat
from mirror.notify.notifications import Notifications, wildcards

__all__ = [
    "INSTALL",
    "Address",
    "AppriseSender",
    "Heartbeat",
    "Notifications",
    "is_installed",
    "wildcards",
]
