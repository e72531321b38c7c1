"""One line of the doctor's table."""

from dataclasses import dataclass

OK, WARN, BLOCKS = "ok", "warn", "blocks"


@dataclass(frozen=True)
class Finding:
    """what: what was looked at; state: `ok`, `warn` (it works, with less) or `blocks`; fix: what mends it."""

    what: str
    found: str
    state: str = OK
    fix: str = ""
