"""The array types that the public signatures name, and the types of JSON, checked.

What comes from a file or from a user's game is data: :func:`parse` reads JSON text within limits,
and :func:`check` compares it with a type.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from reprlib import Repr
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
ByteArray: TypeAlias = npt.NDArray[np.uint8]
IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Players: TypeAlias = tuple[int, ...]
"""A set of players: their indices, ascending."""
Json: TypeAlias = dict[str, Any]
"""What ``json.dumps`` takes: the form of settings, diagnoses and provenance."""


@dataclass(frozen=True)
class Least:
    """In ``Annotated[int, Least(1)]``: the smallest number that is allowed."""

    number: float


Count: TypeAlias = Annotated[int, Least(0)]
"""A whole number from 0 on."""
Positive: TypeAlias = Annotated[int, Least(1)]
"""A whole number from 1 on."""

MOST_BYTES = 32 << 20
"""The most bytes of a JSON text."""
MOST_PARTS = 4_000_000
"""About the most values in a JSON text: parsed, each takes up to a hundred bytes of memory."""
MOST_LEVELS = 64
"""The most levels of lists and objects within each other in a JSON text."""
_MOST_DIGITS = 300
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 2
_SHORT.maxlist = _SHORT.maxdict = 3


def shown(value: object) -> str:
    """A value in an error message: short, on one line, without control characters."""
    return _SHORT.repr(value)


def has_surrogate(text: str) -> bool:
    """Whether a text has a lone surrogate: half a character, which no file can hold."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def parse(text: bytes) -> Any:
    """Read JSON within limits.

    Raises:
        ValueError: the text is too large, is not JSON in UTF-8, or has NaN, an infinity, a number
            of too many digits, a lone surrogate, a key twice in one object, or too many levels. The
            message is about the text: "it has NaN, ...".
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text):,} bytes; at most {MOST_BYTES:,} are expected")
    n_parts = text.count(b",") + text.count(b"[") + text.count(b"{")
    if n_parts > MOST_PARTS:
        raise ValueError(f"it has {n_parts:,} values; at most {MOST_PARTS:,} are expected")
    try:
        value = json.loads(
            text.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError(f"it has more than {MOST_LEVELS} levels; fewer are expected") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8 ({error.reason} at {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error}); a JSON document is expected") from error
    _check_parts(value)
    return value


def _no_constant(word: str) -> Any:
    raise ValueError(f"it has {word}; only finite numbers are expected")


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"it has {shown(digits)}; only finite numbers are expected")
    return number


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(
            f"it has a number of {len(digits)} digits; at most {_MOST_DIGITS} are expected"
        )
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"it has {shown(twice)} twice in one object; once is expected")
    return members


def _check_parts(value: Any) -> None:
    """Refuse too many levels, and lone surrogates in texts."""
    parts, levels = [value], 0
    while parts:
        levels += 1
        if levels > MOST_LEVELS + 1:
            raise ValueError(f"it has more than {MOST_LEVELS} levels; fewer are expected")
        inner: list[Any] = []
        for part in parts:
            if isinstance(part, dict):
                inner += part.keys()
                inner += part.values()
            elif isinstance(part, list):
                inner += part
            elif isinstance(part, str) and has_surrogate(part):
                raise ValueError(
                    f"the text {shown(part)} has a lone surrogate (half a character); "
                    "text that UTF-8 can hold is expected"
                )
        parts = inner


def check(value: Any, kind: Any, where: str) -> None:
    """Compare a value of parsed JSON with a type.

    Args:
        value: the value.
        kind: ``bool``, ``int``, ``float`` (whole numbers too), ``str``, ``None``, ``Any``,
            ``list[...]``, ``tuple[...]``, ``dict[str, ...]``, a union, a ``Literal``,
            ``Annotated[int, Least(...)]``, a dataclass, or a TypedDict, which may have more keys.
        where: what the value is, for the message.

    Raises:
        ValueError: the value has another type. The message says where, what came and what is
            expected.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin is Annotated:
        check(value, arguments[0], where)
        for least in arguments[1:]:
            if value < least.number:
                raise _other(value, f"at least {least.number}", where)
    elif origin in (Union, types.UnionType):
        _check_union(value, arguments, where)
    elif origin is Literal:
        if value not in arguments:
            raise _other(value, f"one of {', '.join(map(repr, arguments))}", where)
    elif origin in (list, tuple):
        _check_list(value, origin, arguments, where)
    elif origin is dict or is_typeddict(kind) or is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise _other(value, "an object", where)
        if origin is dict:
            for key, member in value.items():
                check(member, arguments[1], f"{where}.{shown(key)[1:-1]}")
        else:
            _check_members(value, kind, where)
    else:
        fits = (
            isinstance(value, int | float) if kind is float else isinstance(value, kind or object)
        )
        if kind in (None, type(None)):
            fits = value is None
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise _other(value, _WORDS[type(None) if kind is None else kind], where)


def _other(value: object, expected: str, where: str) -> ValueError:
    return ValueError(f"{where} is {shown(value)}; {expected} is expected")


def _check_union(value: Any, kinds: tuple[Any, ...], where: str) -> None:
    """Accept what one of the types accepts; else the error of the only one that is not null."""
    others = [kind for kind in kinds if kind is not type(None)]
    if value is None and len(others) < len(kinds):
        return
    if len(others) == 1:
        check(value, others[0], where)
    elif not any(_fits(value, kind) for kind in others):
        words = " or ".join(map(_words, kinds))
        raise _other(value, words, where)


def _words(kind: Any) -> str:
    """What one of several types is called."""
    if get_origin(kind) is not Annotated:
        return _WORDS.get(kind, "a list")
    inner, *limits = get_args(kind)
    return " ".join([_words(inner), *(f"from {limit.number:g} on" for limit in limits)])


def _fits(value: Any, kind: Any) -> bool:
    try:
        check(value, kind, "")
    except ValueError:
        return False
    return True


def _check_list(value: Any, origin: Any, kinds: tuple[Any, ...], where: str) -> None:
    if not isinstance(value, list | tuple):
        raise _other(value, "a list", where)
    if origin is tuple and kinds[-1] is not ...:
        if len(value) != len(kinds):
            raise _other(value, f"a list of {len(kinds)}", where)
        entry_kinds: tuple[Any, ...] = kinds
    else:
        entry_kinds = (kinds[0],) * len(value)
    for number, (entry, kind) in enumerate(zip(value, entry_kinds, strict=True)):
        check(entry, kind, f"{where}[{number}]")


def _check_members(value: Mapping[str, Any], kind: Any, where: str) -> None:
    """Check an object against a dataclass, which has no other keys, or a TypedDict."""
    hints = _hints(kind)
    if is_dataclass(kind):
        optional = {
            member.name
            for member in fields(kind)
            if member.default is not MISSING or member.default_factory is not MISSING
        }
        for key in value:
            if key not in hints:
                raise ValueError(f"{where} has {shown(key)}; only {', '.join(hints)} are expected")
    else:
        total = getattr(kind, "__total__", True)
        optional = {
            name for name, hint in hints.items() if not total or get_origin(hint) is NotRequired
        }
    for name, hint in hints.items():
        if name in value:
            inner = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
            check(value[name], inner, f"{where}.{name}")
        elif name not in optional:
            raise ValueError(f"{where} has no {name!r}, which is expected")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def whole(name: str, value: object, least: int | None = None) -> int:
    """Check that an argument is a whole number, and return it.

    Args:
        name: the argument.
        value: what came. ``True`` and ``2.0`` are no whole numbers.
        least: the smallest that is allowed.

    Raises:
        ValueError: it is something else, or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r} is not a whole number; give one, such as 2")
    if least is not None and value < least:
        raise ValueError(f"{name}={value} is below {least}; give a whole number from {least} on")
    return int(value)


def plain(value: Any, unknown: Callable[[Any], Any] = str) -> Any:
    """Make JSON of settings and diagnoses: NaN and infinities become ``None``, numbers plain.

    Args:
        value: numbers, also NumPy's, text, ``None``, and lists and mappings of these.
        unknown: what to make of anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", str(value))
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), unknown)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(member, unknown) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, unknown) for entry in value]
    return plain(str(unknown(value)), unknown)


HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that a terminal acts on, or that cannot be seen."""


def visible(text: str) -> str:
    r"""A text in which characters that cannot be seen, or reorder their neighbours, are named.

    These are the control characters (C0 and C1, which begin escape sequences), bidirectional
    controls, separators and halves of characters. Line breaks, tabs and the joiners of emoji and of
    scripts stay as they are.

    Example:
        >>> visible("a\x1b[31mb")
        'a⟨U+001B⟩[31mb'
    """
    return HIDDEN.sub(lambda match: f"\u27e8U+{ord(match[0]):04X}\u27e9", text)
