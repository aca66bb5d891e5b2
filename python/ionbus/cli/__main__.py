"""`python -m ionbus.cli`, where the `ionbus` program is not on the path."""

from ionbus.cli import main

if __name__ == "__main__":
    main(prog_name="ionbus")
