"""The providers' tests' servers under a name of their own: tests of pages have a module `servers` too."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_PATH = Path(__file__).parents[1] / "providers" / "chat_servers.py"
_SPEC = spec_from_file_location("servers_of_providers", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

Behaviour, Connection = _MODULE.Behaviour, _MODULE.Connection
drips, hangs, head, openai_body = _MODULE.drips, _MODULE.hangs, _MODULE.head, _MODULE.openai_body
says, sends, serving = _MODULE.says, _MODULE.sends, _MODULE.serving
