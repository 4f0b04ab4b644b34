"""`python -m neuroflip`: the command line, where its script is not on the path."""

from neuroflip.cli import main

if __name__ == "__main__":
    main()
