"""Lets `python -m zerohero` do what the command `zerohero` does."""

from zerohero.cli import main

if __name__ == "__main__":
    main()
