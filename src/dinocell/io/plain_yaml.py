"""Read YAML as plain values: mappings, lists, texts, numbers, booleans, nothing; dates stay texts."""

from typing import Any

import yaml

from dinocell.errors import ConfigError

MAX_VALUES = 100_000
"""Most values of a text, aliases counted as often as they occur: a few lines of them make billions."""

# Exceptions that the library raises for values that do not fit their tag, as `!!int x` or 2026-02-30.
_UNREADABLE = (
    yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip

_DATE = "tag:yaml.org,2002:timestamp"
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """The library's safe loader, but dates stay texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as the library declares it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str, where: str) -> Any:
    """Read a text of YAML.

    Parameters
    ----------
    text : str
    where : str
        Start of the error message.

    Raises
    ------
    ConfigError
        If it is not YAML, names a key twice, refers to itself, stands for more than `MAX_VALUES` values, or
        has a value that its tag does not fit or that holds a NUL.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count_values(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except _UNREADABLE as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
        if isinstance(error, RecursionError):
            reason = "it is nested too deeply"
        raise ConfigError(f"{where} is not YAML that can be read: {reason:.300}") from error


def _count_values(node: yaml.Node, counts: dict[yaml.Node, int]) -> int:
    """Count the values that a node stands for; raise ValueError for too many, or for unfit ones.

    `counts` has the numbers of the nodes seen so far, 0 while their own values are being counted::

        a: &a [x, y]          3 values
        b: &b [*a, *a]        1 + 3 + 3 = 7
        c: [*b, *b]           1 + 7 + 7 = 15: each line more doubles them
    """
    if node in counts:
        if not counts[node]:
            raise ValueError(f"a value refers to itself{node.start_mark}")
        return counts[node]
    counts[node] = 0
    if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
        raise ValueError(f"a value holds a NUL{node.start_mark}")
    if isinstance(node, yaml.ScalarNode) and not node.value.isascii():
        node.value.encode()  # a UnicodeError is a ValueError
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        inner = [value for pair in node.value for value in pair]
    else:
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
    total = 1 + sum(_count_values(value, counts) for value in inner)
    if total > MAX_VALUES:
        raise ValueError(f"it stands for more than {MAX_VALUES} values{node.start_mark}")
    counts[node] = total
    return total


def _check_keys(node: yaml.MappingNode) -> None:
    """Raise ValueError for a key that occurs twice."""
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if key.value in seen:
                raise ValueError(f"the key {key.value!r:.80} occurs twice{key.start_mark}")
            seen.add(key.value)
