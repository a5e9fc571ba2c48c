"""The command line of a run: reads settings, starts or resumes, says how it ended; builds nothing itself."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from blueprints import TamiyoError

USAGE = """\
usage: python scripts/train_architect.py [SETTING=VALUE ...] [--device DEVICE] [--config]

  profile=default|evidence          a file of settings from configs/profile/
  strategy=reinforce|random|evolution
  seed=N  run.dir=DIR  budget.generations=N  architect.batch_size=N
  curriculum.suite=classic|predictive|graft|xor  curriculum.tasks=[NAME,...]  curriculum.user_tasks=FILE.py
  architect.decoding=grammar|free  device=cpu|cuda  tracking.wandb=offline|online|disabled
  run.resume=DIR                    go on with an earlier run
  --device DEVICE                   the same as device=DEVICE
  --config                          print every setting, resolved, and stop

Every setting is documented in tamiyo/config.py. The environment gives settings too:
TAMIYO_ARCHITECT__BATCH_SIZE=64 stands for architect.batch_size=64; the command line wins."""


def main(arguments: Sequence[str]) -> int:
    """Run or resume a search; return 0, 1 after an error (one line on stderr), or 130 when interrupted."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0
    try:
        return _run(_as_settings(arguments))
    except TamiyoError as error:
        print(f"train_architect: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train_architect: stopped; run.resume goes on after the last generation", file=sys.stderr)
        return 130


def _as_settings(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--device X` and `--device=X` written as the setting `device=X`."""
    settings: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--device":
            settings.append(f"device={next(rest, '')}")
        else:
            settings.append(argument.removeprefix("--") if argument.startswith("--device=") else argument)
    return settings


def _run(settings: list[str]) -> int:
    from tamiyo.config import config_yaml, load_config

    show = "--config" in settings
    settings = [setting for setting in settings if setting != "--config"]
    config = load_config(settings, os.environ)
    if show:
        print(config_yaml(config), end="")
        return 0

    from tamiyo.runs import RunFolder
    from tamiyo.training import describe_end, new_run_folder, resumed_config, train

    if config.run.resume:
        folder = RunFolder.open(Path(config.run.resume))
        config = resumed_config(folder, load_config(settings, os.environ, base=folder.config()))
    else:
        folder = new_run_folder(config)
        config = folder.config()
    try:
        summary = train(config, folder)
    except TamiyoError:
        if not config.run.resume:
            folder.discard_if_nothing_ran()
        raise
    print(describe_end(folder, summary))
    return 0
