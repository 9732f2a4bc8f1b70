"""YAML of settings: plain values alone, and nothing that would silently be taken for something else.

PyYAML keeps the last value of a key given twice, reads 010 as 8 and 1:30 as 90, and makes billions of values
of a few lines whose aliases stand for each other.
"""

from __future__ import annotations

import math
from typing import Any

_MOST_LEVELS = 20
"""Of brackets inside each other; a plan has three."""

_MOST_VALUES = 10_000
"""With aliases written out; a whole plan has some hundred."""


def loads(text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError: it is no YAML, nests too deep, has a key twice in one mapping, a number that is no decimal
            one, or aliases that stand for too much.
    """
    import yaml

    try:
        return yaml.load(text, _loader())  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ValueError(f"{error.problem}{f' in line {mark.line + 1}' if mark else ''}") from error
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except Exception as error:  # PyYAML lets errors of all kinds out, such as a KeyError of "!!bool maybe"
        raise ValueError(" ".join(str(error).split())) from error


def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        def fetch_flow_collection_start(self, token: type) -> None:
            if self.flow_level >= _MOST_LEVELS:  # the time that PyYAML takes grows with the square of it
                raise yaml.scanner.ScannerError(None, None, "brackets nest too deep", self.get_mark())
            super().fetch_flow_collection_start(token)

        def get_single_node(self) -> Any:
            node = super().get_single_node()
            values = 0 if node is None else _values_in(node, {})
            if values > _MOST_VALUES:
                problem = (
                    "an alias stands within itself"
                    if math.isinf(values)
                    else f"with its aliases written out it has more than {_MOST_VALUES} values"
                )
                raise yaml.composer.ComposerError(None, None, problem)
            return node

        def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
            # before "<<" puts the keys of another mapping beside its own, which may be the same
            node = super().compose_mapping_node(anchor)
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"'{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
            return node

        def construct_decimal(self, node: yaml.ScalarNode) -> int:
            digits = node.value.lstrip("+-")
            if ":" in digits or (digits[0] == "0" and len(digits) > 1 and digits[1] not in "xXbB"):
                problem = f"'{node.value}' is no decimal number; write it without leading 0 or colon"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            return self.construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_decimal)
    return Loader


def _values_in(node: Any, known: dict[int, float]) -> float:
    """Values that a node stands for with its aliases written out; infinity where one stands within itself.

    Args:
        node: scalar, sequence or mapping.
        known: of nodes that were counted before, by identity.
    """
    if isinstance(node, tuple):  # a key and its value
        return sum(_values_in(part, known) for part in node)
    if id(node) not in known:
        known[id(node)] = math.inf  # until its parts are counted
        parts = node.value if isinstance(node.value, list) else ()
        known[id(node)] = 1 + sum(_values_in(part, known) for part in parts)
    return known[id(node)]
