"""Sandboxes for generated code, three behind one contract; none protects against a broken kernel."""
