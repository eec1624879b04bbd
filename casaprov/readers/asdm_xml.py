"""The reader of the XML tables of an ASDM, which uses the standard library's expat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from casaprov.errors import DigestError
from casaprov.files.regular import open_regular

__all__ = ["asdm_rows", "is_asdm"]

_MOST_BYTES = 256 * 2**20


def is_asdm(path: Path) -> bool:
    """Return True if a folder is an ASDM."""
    return (path / "ASDM.xml").is_file() and (path / "ExecBlock.xml").is_file()


def asdm_rows(folder: Path, table: str) -> list[Mapping[str, str]]:
    """Return the rows of a table, as texts by element; none if the table is not there or is binary.

    Raises
    ------
    DigestError
        If it is too large, or no XML.
    """
    path = folder / f"{table}.xml"
    if not path.is_file():
        return []
    if path.stat().st_size > _MOST_BYTES:
        raise DigestError(f"{path} is too large for a table of an ASDM.")
    rows: list[Mapping[str, str]] = []
    try:
        with open_regular(path) as stream:
            # expat refuses entities that grow beyond measure, and loads none from elsewhere.
            for _, element in ET.iterparse(stream):  # noqa: S314
                if element.tag == "row":
                    rows.append({child.tag: _text(child) for child in element})
                    element.clear()
    except (ET.ParseError, ValueError) as error:
        raise DigestError(f"{path} is no XML: {error}.") from error
    return rows


def _text(element: ET.Element) -> str:
    """Return the text of an element, and the attributes of a reference in it."""
    references = [f'{key}="{value}"' for child in element for key, value in child.attrib.items()]
    return " ".join(((element.text or "").strip(), *references)).strip()
