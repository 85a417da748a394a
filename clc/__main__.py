"""`python -m clc` is `clc`."""

from clc.cli import program

if __name__ == "__main__":
    program()
