"""`python -m simcore.apps` is `simcore`."""

from simcore.apps.cli import main

main()
