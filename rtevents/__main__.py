"""python -m rtevents."""

from rtevents.cli import main

if __name__ == "__main__":
    main()
