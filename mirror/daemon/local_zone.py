"""The machine's local time zone, however it is configured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """Local time by the rules of the C library (``TZ``, ``/etc/localtime``), across DST changes.

    The name that :class:`zoneinfo.ZoneInfo` needs is not always known, and ``astimezone()`` gives
    the offset of one moment only.

    Source: https://peps.python.org/pep-0495/ (``fold``)
    """

    def utcoffset(self, when: datetime | None, /) -> timedelta | None:
        """The offset at a moment of local time; ``fold`` says which one of two."""
        return when.replace(tzinfo=None).astimezone().utcoffset() if when else None

    def dst(self, when: datetime | None, /) -> timedelta | None:  # noqa: ARG002 - as it is called
        """Not used."""
        return None

    def tzname(self, when: datetime | None, /) -> str | None:
        """The abbreviation (``CEST``)."""
        return when.replace(tzinfo=None).astimezone().tzname() if when else None

    def fromutc(self, when: datetime, /) -> datetime:
        """Convert a time in UTC whose ``tzinfo`` is this zone."""
        local = when.replace(tzinfo=UTC).astimezone()
        found = local.replace(tzinfo=self, fold=0)
        return found if found.utcoffset() == local.utcoffset() else found.replace(fold=1)
