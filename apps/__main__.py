"""The command `simcore`, and `python -m simcore.apps`.

Apart from the command line itself so that Ctrl-C is met while that is still being imported.
"""

import sys


def main() -> None:
    try:
        from simcore.apps import cli

        cli.main()
    except KeyboardInterrupt:
        print("simcore: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
