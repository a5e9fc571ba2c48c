"""Trains an Architect, or runs a rival strategy; settings as `key=value`, see tamiyo/config.py."""

import sys

from tamiyo.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
