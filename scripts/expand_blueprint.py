"""Makes a blueprint into an architecture that runs on its own: `tamiyo expand` with the same options."""

import sys

from tamiyo.cli import main

if __name__ == "__main__":
    sys.exit(main(["expand", *sys.argv[1:]]))
