"""YAML with line numbers: what PyYAML reads, and where each value stood, so that errors can point at a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from harness.errors import BadInput

Place = tuple[str | int, ...]
"""The way to a value: keys and indexes from the top, such as `("cells", 0, "faults")`."""


class Document:
    """A parsed YAML file: `data`, and the line of every value in it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines: dict[Place, int] = {(): 1}
        try:
            self.data: Any = self._parse(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise BadInput(f"{where}: not valid YAML: {error.problem or error.context}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise BadInput(f"{path}:{line}: not valid YAML: {error.reason} (U+{error.character:04X})") from error
        except yaml.YAMLError as error:
            raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
        except RecursionError as error:
            raise BadInput(f"{path}: not valid YAML for a campaign: it is nested too deeply") from error

    def _parse(self, text: str) -> Any:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else self._read(node, (), loader)
        finally:
            loader.dispose()

    def _read(self, node: yaml.Node, place: Place, loader: yaml.SafeLoader) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            loader.flatten_mapping(node)
            mapping: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = loader.construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    raise BadInput(f"{self.path}:{key_node.start_mark.line + 1}: a key must be a plain word")
                if key in mapping:
                    raise BadInput(f"{self.path}:{key_node.start_mark.line + 1}: {key!r} is given twice: keep one")
                mapping[key] = self._read(value_node, (*place, key), loader)
                self._lines[(*place, key)] = key_node.start_mark.line + 1
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*place, index), loader) for index, item in enumerate(node.value)]
        try:
            return loader.construct_object(node, deep=True)
        except ValueError as error:  # a date with a 13th month, a number of 5,000 digits
            raise self.error(f"this value can't be read: {str(error).partition(';')[0]}", place) from error

    def line(self, place: Iterable[str | int]) -> int:
        """The line of the value at `place`, or of the nearest one around it that is in the file."""
        way = tuple(place)
        while way not in self._lines:
            way = way[:-1]
        return self._lines[way]

    def error(self, sentence: str, place: Iterable[str | int] = ()) -> BadInput:
        """An error to raise: `campaigns/x.yaml:7: sentence`."""
        return BadInput(f"{self.path}:{self.line(place)}: {sentence}")


def read_document(path: Path) -> Document:
    """Read a YAML file; raises `BadInput` with one sentence if that can't be done."""
    try:
        return Document(path, path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise BadInput(f"{path}: is a folder, not a YAML file") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not text in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise BadInput(f"{path}: can't be read: {error.strerror}") from error
