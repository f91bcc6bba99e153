"""``python -m lsqsim`` is ``lsqsim``."""

from lsqsim.cli import main

if __name__ == "__main__":
    main(prog_name="lsqsim")
