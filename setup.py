"""The native engine as an optional extension; all else about the package stands in pyproject.toml.

Without a C++ compiler the installation succeeds all the same, and the batched engine serves.
"""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("crucible", "engines", "native", "src")

# Contraction to fused multiply-adds is wanted, other liberties with floating point are not: infinities and
# undefined values must arrive where they are looked for. Square roots need no errno.
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fvisibility=hidden", "-pthread"]

setup(
    ext_modules=[
        Extension(
            "crucible.engines.native._interpreter",
            sources=sorted(str(path) for path in SOURCES.glob("*.cpp")),
            depends=sorted(str(path) for path in SOURCES.glob("*") if path.suffix != ".cpp"),
            extra_compile_args=[*FLAGS, "-Wall", "-Wno-psabi"],
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
    ]
)
