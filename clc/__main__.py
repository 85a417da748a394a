"""`python -m clc` is `clc`."""

from clc.cli import main

if __name__ == "__main__":
    main()
