"""Telling people: notices by Apprise, and the heartbeat that a dead man would miss."""

from mirror.notify.heartbeat import Heartbeat
from mirror.notify.notifications import Notifications, wildcards
from mirror.notify.ways import INSTALL, Way, Ways, is_installed

__all__ = ["INSTALL", "Heartbeat", "Notifications", "Way", "Ways", "is_installed", "wildcards"]
