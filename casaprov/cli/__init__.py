"""The command line.

To read: ``commands`` declares the commands; ``console`` says how a command ends; ``render`` draws values as
tables; ``terminal`` makes text harmless.
"""


def main() -> int:
    """Run the command line; return its exit code.

    The module that holds the commands is loaded here, not with the package.
    """
    from casaprov.cli.commands import main as run

    return run()
