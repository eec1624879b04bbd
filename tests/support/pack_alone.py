"""Packs a reduction in a process of its own: ``pack_alone.py PICKLE OUT MAX_FILE_BYTES``.

Prints by how many kilobytes the process grew, or why there is no crate.
"""

from __future__ import annotations

import pickle
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from casaprov.crate import pack
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.errors import CrateError
from sample_records import Measured, Reduction


def main(pickled: str, out: str, max_file_bytes: str) -> None:
    reduction: Reduction = pickle.loads(Path(pickled).read_bytes())
    document = reduction.document
    recorded = {reduction.folder / e.path: Measured(e.content_digest) for e in document.entities if e.content_digest}
    items = choose_payload(
        document, reduction.folders, PayloadPolicy(), measure=lambda path, tier="full": recorded[path]
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_file_bytes), resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        pack(document, notebook=reduction.notebook, journal=reduction.journal, items=items, out=Path(out))
    except CrateError as error:
        print(error)  # noqa: T201
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
