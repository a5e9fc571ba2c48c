"""What a caller of the Crucible can get wrong; leaves a candidate's own failures to statuses."""

from blueprints.errors import TamiyoError


class CrucibleError(TamiyoError):
    """A request that the Crucible cannot serve: what came, what was expected, how to mend it."""
