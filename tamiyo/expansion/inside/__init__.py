"""What runs inside the sandbox beside a candidate: torch and the standard library alone, no judgement."""
