"""Tables of a configuration, read with types: an error says where and what is expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from polystore.errors import ConfigError


class Table:
    """One table: what is taken from it is checked, and what nobody took is refused.

    Args:
        data: its contents; a ConfigError if that is no mapping.
        path: where it stands, such as ``collections.cities``; empty for the whole.
    """

    def __init__(self, data: object, path: str = "") -> None:
        self.path = path
        if not isinstance(data, Mapping):
            raise ConfigError(f"{path or 'the configuration'}: expected a table, {_got(data)}")
        self._left: dict[object, object] = dict(data)
        self._known: list[str] = []

    def at(self, name: object) -> str:
        """The path of one entry."""
        return f"{self.path}.{name}" if self.path else str(name)

    def text(self, name: str) -> str | None:
        """A text, or ``None`` where there is none."""
        value = self._take(name)
        if value is None or type(value) is str:
            return value
        raise ConfigError(f"{self.at(name)}: expected a text, {_got(value)}")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of at least one text. Raises ConfigError where there is none."""
        value = self._take(name)
        if value is None:
            raise ConfigError(f"{self.at(name)}: missing; expected a list of texts")
        if not isinstance(value, list | tuple) or not value:
            raise ConfigError(f"{self.at(name)}: expected a list of texts, {_got(value)}")
        for i, item in enumerate(value):
            if type(item) is not str:
                raise ConfigError(f"{self.at(name)}[{i}]: expected a text, {_got(item)}")
        return tuple(value)

    def count(self, name: str) -> int | None:
        """A whole number of at least 1, or ``None`` where there is none."""
        value = self._take(name)
        if value is None or (type(value) is int and value >= 1):
            return value
        raise ConfigError(f"{self.at(name)}: expected a whole number of at least 1, {_got(value)}")

    def seconds(self, name: str) -> float | None:
        """A number, or ``None`` where there is none."""
        value = self._take(name)
        if value is None or type(value) is float:
            return value
        if type(value) is int:
            return float(value)
        raise ConfigError(f"{self.at(name)}: expected a number of seconds, {_got(value)}")

    def number(self, name: str) -> float | None:
        """A number above 0, or ``None`` where there is none."""
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, int | float) and type(value) is not bool and 0 < value < math.inf:
            return value
        raise ConfigError(f"{self.at(name)}: expected a number above 0, {_got(value)}")

    def table(self, name: str) -> Table:
        """The table of this name; an empty one where there is none."""
        value = self._take(name)
        return Table({} if value is None else value, self.at(name))

    def has(self, name: str) -> bool:
        """Whether something of this name is left."""
        self._known.append(name)
        return name in self._left

    def has_table(self, name: str) -> bool:
        """Whether a table of this name is left."""
        return isinstance(self._left.get(name), Mapping)

    def mapping(self, name: str) -> Mapping[str, object]:
        """A table that somebody else will read."""
        value = self._take(name)
        if not isinstance(value, Mapping):
            raise ConfigError(f"{self.at(name)}: expected a table, {_got(value)}")
        return value

    def names(self) -> list[str]:
        """The names that nobody took yet. Raises ConfigError for one that is no text."""
        for name in self._left:
            if type(name) is not str:
                raise ConfigError(f"{self.at(name)}: expected a text as name, {_got(name)}")
        return [str(name) for name in self._left]

    def done(self, known: Iterable[str] = ()) -> None:
        """Refuse what nobody took.

        Args:
            known: names that were allowed besides those that somebody asked for.
        """
        for name in self.names():
            names = [*self._known, *known]
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected: {', '.join(names)}"
            raise ConfigError(f"{self.at(name)}: unknown; {hint}")

    def _take(self, name: str) -> object:
        self._known.append(name)
        return self._left.pop(name, None)


def _got(value: object) -> str:
    """What stands there instead; never its contents, which may be a secret in the wrong place."""
    if isinstance(value, Mapping):
        return "not a table"
    if isinstance(value, list | tuple):
        return "not a list" if value else "not an empty one"
    if type(value) is int:
        return f"not {value}"
    return f"not {type(value).__name__}"
