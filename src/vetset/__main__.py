"""`python -m vetset`: the same as the command `vetset`. Nothing else is here."""

from vetset.cli import main

if __name__ == "__main__":  # workers are spawned, and import this module under another name
    main()
