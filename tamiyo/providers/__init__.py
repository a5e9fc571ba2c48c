"""Language models behind one contract: hosted, on one's own server, in this process, recorded."""
