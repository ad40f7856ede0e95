"""EDN, the notation of Jepsen's histories: a reader that streams, and a writer.

Values become JSON values: keywords, symbols and characters are strings (without their colon), lists, vectors and sets are
arrays (those of sets sorted, so that equal sets are equal arrays), the tags of tagged values are dropped. Nothing is
evaluated. See https://github.com/edn-format/edn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any, TextIO

from harness.formats.lines import DEEPEST, LONGEST_LINE, BadLine

_TOKEN = re.compile(
    r"""(?:[\s,]|;[^\n]*\n)*
    (?: (?P<atom> [^\s,;"()\[\]{}\\\#^][^\s,;"()\[\]{}]* )
      | (?P<close> [\])}] )
      | (?P<open> \#?\{ | [\[(] )
      | (?P<string> "[^"\\]*(?:\\.[^"\\]*)*" )
      | (?P<constant> \#\#\w+ )
      | (?P<discard> \#_ | \^ )
      | (?P<tag> \#[A-Za-z:][^\s,;"()\[\]{}]* )
      | (?P<character> \\(?:u[0-9A-Fa-f]{4}|[A-Za-z]+|.) )
    )""",
    re.VERBOSE | re.DOTALL,
)
_FLAT_MAP = re.compile(
    r"""[\s,]* (?: \#[A-Za-z:][^\s,;"()\[\]{}]* )?
    \{ ( [^{}()"\\;\#^]* (?: "[^"\\]*" [^{}()"\\;\#^]* )* ) \}""",
    re.VERBOSE,
)
"""Nearly every event of nearly every history: a map of atoms, plain strings and vectors of such."""
_WORD = re.compile(r"""[^\s,\[\]"]+ | [\[\]] | "[^"]*" """, re.VERBOSE)
_BLANK = re.compile(r"(?:[\s,]|;[^\n]*(?:\n|\Z))*")
_INTEGER = re.compile(r"[+-]?\d+N?")
_FLOAT = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?M?")
_NAMES = {"nil": None, "true": True, "false": False}
_CHARACTERS = {"newline": "\n", "space": " ", "tab": "\t", "return": "\r", "formfeed": "\f", "backspace": "\b"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CLOSES = {"]": "[", ")": "("}
_BRACKETS = ("{", "[", "(", "#{")
_ENTERED = {"entered [": "[", "entered (": "("}
"""The brackets around all events of a file, whose contents are handed out one by one."""
_CHUNK = 1 << 18
_REMEMBERED = 10_000
_LONG_NUMBER = 1000
_DEEPEST_FLAT = 20

_Frame = tuple[str, list[Any]]
"""An opened bracket, or a prefix that waits for one value (`tag`, `discard`), and the values so far."""


def read_items(file: TextIO) -> Iterator[tuple[int, Any]]:
    """The values of a file with the line in which each ends; those of a vector or list at the top one by one.

    Raises `BadLine` where the text is no EDN.
    """
    return _Reader(file).items()


def loads(text: str) -> Any:
    """One value. Raises `BadLine` if the text is not exactly one."""
    if text.isdecimal() and len(text) < _LONG_NUMBER:
        return int(text)  # by far the most frequent one
    values = [value for _, value in _Reader(StringIO(text), enter=False).items()]
    if len(values) != 1:
        raise BadLine(1, f"{text[:60]!r} is not one EDN value")
    return values[0]


class _Reader:
    def __init__(self, file: TextIO, enter: bool = True) -> None:
        self._file = file
        self._enter = enter
        self._text = ""
        self._at = 0
        self._line = 1
        self._counted = 0
        """Up to here, line breaks are in `_line`."""
        self._over = False
        self._stack: list[_Frame] = []
        self._atoms: dict[str, Any] = {}
        self._names_of: dict[tuple[str, ...], list[str] | None] = {}

    def items(self) -> Iterator[tuple[int, Any]]:
        atoms, stack = self._atoms, self._stack
        while True:
            if not stack or (len(stack) == 1 and stack[0][0] in _ENTERED):
                flat = _FLAT_MAP.match(self._text, self._at)
                event = None if flat is None else self._flat(flat[1])
                if flat is not None and event is not None:
                    self._at = flat.end()
                    yield self._where(), event
                    continue
            match = self._next()
            if match is None:
                break
            kind = match.lastgroup
            text = match[match.lastgroup or 0]
            if kind == "atom":
                value = atoms[text] if text in atoms else self._atom(text)
            elif kind == "open":
                self._opened(text)
                continue
            elif kind == "tag" or kind == "discard":
                stack.append((kind, []))
                continue
            elif kind == "close":
                opened, value = self._closed(text)
                if opened in _ENTERED:
                    continue
            else:
                value = self._value(kind, text)
            if self._complete(value):
                yield self._where(), value
        if stack:
            raise self._bad("the file ends in the middle of a value")

    def _flat(self, inside: str) -> dict[str, Any] | None:
        """What is between the braces of a flat map; None if something about it needs a closer look."""
        if '"' in inside or inside.count("[") > 1 or len(inside) >= _LONG_NUMBER:
            words = self._nested(_WORD.findall(inside))
            if words is None or len(words) % 2:
                return None
            names, values = self._texts(words[::2]), words[1::2]
            return None if names is None else dict(zip(names, values, strict=True))
        return self._plain(inside)

    def _plain(self, inside: str) -> dict[str, Any] | None:
        """The same without strings, and with one vector at most: half of the time goes into these few lines."""
        vector: list[Any] | None = None
        place = 0
        if "[" in inside or "]" in inside:
            words = inside.replace("[", " [ ").replace("]", " ] ").replace(",", " ").split()
            if words.count("[") != 1 or words.count("]") != 1:
                return None
            place, end = words.index("["), words.index("]")
            if place > end:
                return None
            vector = [self._word(word) for word in words[place + 1 : end]]
            words[place : end + 1] = ["nil"]
        else:
            words = inside.replace(",", " ").split()
        told = tuple(words[::2])  # the same ones in event after event
        names = self._names_of[told] if told in self._names_of else self._names(told)
        if names is None or len(words) % 2 or (vector is not None and place % 2 == 0):
            return None
        atoms = self._atoms
        values = [
            int(word) if word.isdecimal() else atoms[word] if word in atoms else self._atom(word)
            for word in words[1::2]
        ]
        if vector is not None:
            values[place // 2] = vector
        return dict(zip(names, values, strict=True))

    def _names(self, words: tuple[str, ...]) -> list[str] | None:
        names = self._texts([self._word(word) for word in words])
        if len(self._names_of) < _REMEMBERED:
            self._names_of[words] = names
        return names

    def _texts(self, names: list[Any]) -> list[str] | None:
        return names if all(type(name) is str for name in names) else None

    def _nested(self, words: list[str]) -> list[Any] | None:
        """The values, those between brackets as arrays; None if the brackets don't fit."""
        values: list[Any] = []
        around: list[list[Any]] = []
        for word in words:
            if word == "[":
                around.append(values)
                values = []
            elif word == "]":
                if not around:
                    return None
                around[-1].append(values)
                values = around.pop()
            else:
                values.append(word[1:-1] if word[0] == '"' else self._word(word))
            if len(around) > _DEEPEST_FLAT:
                return None
        return None if around else values

    def _word(self, text: str) -> Any:
        if text.isdecimal() and len(text) < _LONG_NUMBER:
            return int(text)
        return self._atoms[text] if text in self._atoms else self._atom(text)

    def _opened(self, bracket: str) -> None:
        if len(self._stack) >= DEEPEST:
            raise self._bad(f"more than {DEEPEST} brackets are open")
        entered = self._enter and not self._stack and bracket in _ENTERED.values()
        self._stack.append((f"entered {bracket}" if entered else bracket, []))

    def _next(self) -> re.Match[str] | None:
        """The next token; None at the end. A token that touches the end of the text may go on in the next chunk."""
        while True:
            match = _TOKEN.match(self._text, self._at)
            if match is not None and (match.end() < len(self._text) or self._over):
                self._at = match.end()
                return match
            if self._over:
                blank = _BLANK.match(self._text, self._at)
                if blank is not None and blank.end() == len(self._text):
                    return None
                self._at = blank.end() if blank is not None else self._at
                raise self._bad(f"not EDN: {self._text[self._at : self._at + 40]!r}")
            self._more()

    def _more(self) -> None:
        if len(self._text) - self._at > LONGEST_LINE:
            raise self._bad(f"one word or string is longer than {LONGEST_LINE // 2**20} MB: this is no history")
        line = self._where()
        # As much again as is waiting, so that a long string is not looked through too often.
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._over = not chunk
        self._text = self._text[self._at :] + chunk
        self._at, self._counted, self._line = 0, 0, line

    def _where(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _bad(self, what: str) -> BadLine:
        return BadLine(self._where(), what)

    def _complete(self, value: Any) -> bool:
        """Hand a value to whatever waits for it; True if nothing does."""
        stack = self._stack
        while stack:
            kind, values = stack[-1]
            if kind in _BRACKETS:
                values.append(value)
                return False
            if kind in _ENTERED:
                return True
            stack.pop()
            if kind == "discard":
                return False
        return True

    def _closed(self, text: str) -> tuple[str, Any]:
        opened, values = self._stack.pop() if self._stack else ("", [])
        bracket = _ENTERED.get(opened, opened)
        if bracket != _CLOSES.get(text) and not (text == "}" and bracket in ("{", "#{")):
            raise self._bad(f"{text!r} closes nothing")
        if bracket == "#{":
            return opened, sorted(values, key=lambda value: (type(value).__name__, repr(value)))
        if bracket == "{":
            if len(values) % 2:
                raise self._bad("a map lacks the value of its last key")
            return opened, {_name(key): value for key, value in zip(values[::2], values[1::2], strict=True)}
        return opened, values

    def _value(self, kind: str | None, text: str) -> Any:
        if kind == "string":
            return _ESCAPE.sub(_unescaped, text[1:-1]) if "\\" in text else text[1:-1]
        if kind == "constant":
            return text[2:]
        name = text[1:]
        return chr(int(name[1:], 16)) if len(name) == 5 and name[0] == "u" else _CHARACTERS.get(name, name)

    def _atom(self, text: str) -> Any:
        try:
            value = _parsed(text)
        except ValueError as error:  # a number of thousands of digits
            raise self._bad(f"the number {text[:20]}... is too long") from error
        if len(self._atoms) < _REMEMBERED:
            self._atoms[text] = value
        return value


def _parsed(text: str) -> Any:
    if text[0] == ":":
        return text[1:]
    if text in _NAMES:
        return _NAMES[text]
    if _INTEGER.fullmatch(text):
        return int(text.rstrip("N"))
    if _FLOAT.fullmatch(text):
        return float(text.rstrip("M"))
    return text


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _ESCAPES.get(escape, escape)


def _name(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key, sort_keys=True)


def dumps(value: Any) -> str:
    """A JSON value as EDN. Strings stay strings; arrays become vectors."""
    if value is None:
        return "nil"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(dumps, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{dumps(name)} {dumps(part)}' for name, part in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
