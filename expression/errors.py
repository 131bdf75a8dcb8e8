"""How input that cannot be trusted is refused: in one line that says what to do."""

from collections.abc import Iterable

MAX_NAME_LENGTH = 60  # of a patient or a class: what a legend still holds


class DataError(ValueError):
    """Input that cannot be trusted: what, the rule, what was found, what to do; one line."""


def refusal(where: object, rule: str, found: object, advice: str) -> DataError:
    """Return an error whose one line says what, the rule, what was found, and what to do."""
    line = " ".join(f"{where}: {rule} - {found}; {advice}".split())
    return DataError("".join(c if c.isprintable() else "?" for c in line))


def shortlist(items: Iterable, limit: int = 5) -> str:
    """Return the first few items for a message, and how many more there are."""
    names = sorted(str(item)[:MAX_NAME_LENGTH] for item in items)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if names[limit:] else "")
