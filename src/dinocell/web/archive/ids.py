"""Ids and times of what is kept."""

import secrets
from datetime import UTC, datetime


def new_id() -> str:
    """Return an id that nothing else has, and that nobody guesses."""
    return secrets.token_hex(8)


def now() -> str:
    """Return the time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()
