"""`python -m chatapp` is the same as `chatapp`."""

from chatapp.cli import main

main()
