"""Comparison of products: with each other, or with their record.

:func:`compare_paths` has both products and compares them value by value;
:func:`compare_trees` has one product and the record of the other. Both compare
the content that a digest covers, and return all differences, as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from casaprov.comparison.files import compare_files, same_bytes
from casaprov.comparison.fits import compare_fits
from casaprov.comparison.pictures import PixelReader, compare_pictures
from casaprov.comparison.tables import compare_tables, in_either
from casaprov.comparison.verdict import Comparison, Difference, Tolerance, Verdict, conclude
from casaprov.comparison.with_record import compare_trees
from casaprov.errors import DigestError, UsageError
from casaprov.files.kinds import is_fits, is_table, members_of
from casaprov.files.regular import open_regular, special_kind
from casaprov.formats.fits import FitsReader
from casaprov.formats.flag_versions import FLAG_VERSIONS, flag_versions
from casaprov.formats.tables import TableReader

__all__ = ["Comparison", "Difference", "Tolerance", "Verdict", "compare_paths", "compare_trees"]


def compare_paths(
    left: Path,
    right: Path,
    *,
    reader: TableReader | Callable[[], TableReader],
    fits: FitsReader | Callable[[], FitsReader] | None = None,
    pixels: PixelReader = lambda _path: None,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - frozen
) -> Comparison:
    """Compare two tables, FITS files, other files or directories, value by value.

    Parameters
    ----------
    left, right
        The product as it should be, and the one to judge.
    reader, fits
        Readers of tables and FITS files, or functions that return them and are
        called only if there is something to read.
    pixels
        Reads pictures.
    tolerance
        Tolerance between floating-point values.

    Returns
    -------
    Comparison
        ``identical`` only for single files with the same bytes.

    Raises
    ------
    casaprov.errors.UsageError
        If one of the paths does not exist or cannot be read.
    """
    for path in (left, right):
        if not path.exists():
            raise UsageError(f"There is nothing at {path} to compare.", hint="Check the name and the working folder.")
        if kind := special_kind(path):
            raise UsageError(f"{path} is {kind}.", hint="Only files and folders can be compared.")
    try:
        for path in (left, right):
            if path.is_file():
                with open_regular(path) as stream:
                    stream.read(1)  # so that an error names the path as it was given
        if left.is_file() and right.is_file() and same_bytes(left, right):
            return Comparison("identical")
        return conclude(_Comparer(reader, fits, pixels, tolerance).compare(left.resolve(), right.resolve(), ""))
    except DigestError as error:
        raise UsageError(f"{left} and {right} cannot be compared: {error.message}", hint=error.hint) from error
    except OSError as error:
        which = error.filename or f"{left} or {right}"
        raise UsageError(f"{which} cannot be read: {error.strerror or error}.") from error


class _Comparer:
    """Compares products, and the members of folders with them."""

    def __init__(
        self,
        reader: TableReader | Callable[[], TableReader],
        fits: FitsReader | Callable[[], FitsReader] | None,
        pixels: PixelReader,
        tolerance: Tolerance,
    ) -> None:
        self._reader = reader
        self._fits = fits
        self._pixels = pixels
        self._tolerance = tolerance

    def compare(self, left: Path, right: Path, prefix: str) -> Iterator[Difference]:
        """Yield all differences of two products; `prefix` is put before the names of their parts."""
        kinds = _kind(left), _kind(right)
        if kinds[0] != kinds[1]:
            yield Difference(prefix.rstrip("/") or "kind", f"This is a {kinds[1]} instead of a {kinds[0]}.")
        elif kinds[0] == "table":
            reader = self._reader() if callable(self._reader) else self._reader
            yield from compare_tables(left, right, reader=reader, tolerance=self._tolerance, prefix=prefix)
        elif kinds[0] == "directory":
            yield from self._compare_directories(left, right, prefix)
        elif kinds[0] == "link":
            if left.readlink().name != right.readlink().name:
                yield Difference(
                    prefix.rstrip("/"), f"The link leads to {right.readlink()} instead of {left.readlink()}."
                )
        elif kinds[0] == "FITS file" and not same_bytes(left, right):
            yield from compare_fits(left, right, reader=self._fits_reader(), tolerance=self._tolerance, prefix=prefix)
        elif left.name != FLAG_VERSIONS or flag_versions(left) != flag_versions(right):
            found = compare_pictures(left, right, self._pixels, prefix)
            yield from compare_files(left, right, prefix) if found is None else found

    def _compare_directories(self, left: Path, right: Path, prefix: str) -> Iterator[Difference]:
        olds, news = (
            {path.relative_to(folder).as_posix(): path for path in members_of(folder)} for folder in (left, right)
        )
        for name in in_either(olds, news):
            if name in olds and name in news:
                yield from self.compare(olds[name], news[name], f"{prefix}{name}/")
            else:
                yield Difference(f"{prefix}{name}", f"{name} is {'new' if name in news else 'missing'}.")

    def _fits_reader(self) -> FitsReader:
        if self._fits is None:
            raise UsageError("FITS files cannot be compared without a FITS reader.")
        return self._fits() if callable(self._fits) else self._fits


def _kind(path: Path) -> str:
    """Name the kind of a product; a link is not followed to a folder, as in a digest."""
    if path.is_symlink() and (path.is_dir() or not path.exists()):
        return "link"
    if is_table(path):
        return "table"
    if path.is_dir():
        return "directory"
    return "FITS file" if is_fits(path) else "file"
