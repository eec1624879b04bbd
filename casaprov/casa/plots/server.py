"""The child process of a kernel that keeps the programs behind plotms and imview.

The programs and their X server are children of this process. It ends with the kernel, whether that is shut down or
killed; the programs end with it, and their files are removed.
"""

from __future__ import annotations

from casaprov.casa.plots.programs import PlotPrograms
from casaprov.processes.worker import serve

__all__ = ["main"]


def main() -> None:
    """Serve until the parent closes the pipe."""
    programs = PlotPrograms()
    serve({"ready": programs.ready, "stop": programs.stop, "close": programs.close}, at_end=programs.close)


if __name__ == "__main__":
    main()
