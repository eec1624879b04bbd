"""The command line: each command parses its arguments, calls one function, and shows the result.

To read: ``commands`` and ``kernel`` declare the commands; ``console`` holds what they share; ``render`` draws
values as tables; ``terminal`` makes foreign text harmless.
"""


def main() -> int:
    """Run the command line; return its exit code.

    The module that holds the commands is loaded here, not with the package.
    """
    from casaprov.cli.commands import main as run

    return run()
