"""The layers of settings and what is refused; every file of settings composes and builds."""

from pathlib import Path

import pytest

from architect.strategies import STRATEGIES
from blueprints import TamiyoError
from crucible.effort import FULL, RUNGS, STOP
from crucible.engines.native.library import find_library
from tamiyo.config import CONFIGS, Config, ConfigError, config_yaml, load_config, read_config


def test_command_line_beats_environment_beats_file_beats_default(tmp_path):
    default, file = Config().architect.batch_size, load_config(["profile=evidence"], {})
    assert file.architect.batch_size == 256 != default
    others = {"HOME": "/", "TAMIYO_LIBRARY": "x", "TAMIYO_PASSPHRASE": "x", "TAMIYO_TEST_BROWSER": "1"}
    environ = {"TAMIYO_ARCHITECT__BATCH_SIZE": "32", "TAMIYO_SEED": "9", **others}
    both = load_config(["profile=evidence"], environ)
    assert (both.architect.batch_size, both.seed) == (32, 9)
    all_three = load_config(["profile=evidence", "architect.batch_size=64"], environ)
    assert (all_three.architect.batch_size, all_three.seed) == (64, 9)
    assert all_three.curriculum.tasks == ("temporal",)


def test_the_environment_can_choose_a_profile_and_the_command_line_another():
    environ = {"TAMIYO_PROFILE": "evidence"}
    assert load_config([], environ).curriculum.tasks == ("temporal",)
    default = load_config(["profile=default"], environ).curriculum
    assert default.tasks == ()
    assert [stage.name for stage in default.build().stages] == ["xor", "temporal"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("profile/*.yaml")), ids=lambda path: path.stem)
def test_every_profile_composes_and_builds(path: Path):
    load_config([f"profile={path.stem}"], {})


def test_unknown_settings_are_refused_in_every_layer(tmp_path):
    for overrides, environ in ((["a.b=1"], {}), ([], {"TAMIYO_A__B": "1"}), (["+a=1"], {})):
        with pytest.raises(ConfigError, match="a"):
            load_config(overrides, environ)
    with pytest.raises(ConfigError, match=r"'seeds'.*; it is set by TAMIYO_SEEDS in the environment$"):
        load_config(["seed=1"], {"TAMIYO_SEEDS": "2", "TAMIYO_SEED": "3"})
    with pytest.raises(ConfigError, match=r"'seeds'(?!.*environment)"):
        load_config(["seeds=1"], {"TAMIYO_SEED": "3"})
    path = tmp_path / "config.yaml"
    path.write_text("architect:\n  batchsize: 3\n")
    with pytest.raises(ConfigError, match=r"unknown setting architect\.batchsize; expected batch_size"):
        read_config(path)


def test_types_are_checked_to_the_last_field(tmp_path):
    path = tmp_path / "config.yaml"
    for text, words in (
        ("seed: true", "seed is True; expected a value of type int"),
        ("run: 3", "run. is 3; expected a section"),
        ("reward: {bounds: {parameters: [1, 2, 3]}}", "has 3 items; expected 2"),
        ("curriculum: {tasks: xor}", "is 'xor'; expected a list"),
        ("crucible: {engine: fast}", "expected one of auto, batched, native, persistent, reference"),
        ("crucible: {width: 20}", "expected a positive multiple of 16"),
        ("crucible: {max_seconds: 0}", "expected more than 0"),
        ("crucible: {effort: {rungs: 1}}", "crucible.effort.rungs is 1; expected a list"),
        (
            "crucible: {effort: {rungs: [{step: 1}]}}",
            "unknown setting crucible.effort.rungs[0].step; expected kept, steps",
        ),
        ("crucible: {effort: {rungs: [{kept: 0.5}]}}", "crucible.effort.rungs[0].steps is missing"),
        ("{", "cannot be read as a configuration"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_config(path)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        "seed=3000000",
        "seed=-1",
        "crucible.max_seeds=1001",
        "crucible.reseed_share=1.1",
        "crucible.num_seeds=9",
        "device=cuda:99",
    ],
)
def test_seeds_and_devices_out_of_range_are_refused(setting):
    with pytest.raises(TamiyoError, match=setting.split("=")[0]):
        load_config([setting], {})


@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_less_effort_is_refused_where_the_engine_cannot_save_work(engine: str):
    assert load_config([f"crucible.engine={engine}"], {}).crucible.effort == FULL
    with pytest.raises(TamiyoError, match=f"engine '{engine}' always does the full work"):
        load_config([f"crucible.engine={engine}", "crucible.effort.stop_at=1"], {})
    with pytest.raises(TamiyoError, match=r"stop_at = 2\.0; expected a number from 0 to 1"):
        load_config(["crucible.effort.stop_at=2"], {})


@pytest.mark.skipif(find_library() is None, reason="the package was built without a C++ compiler")
@pytest.mark.parametrize("engine", ["native", "auto"])
def test_less_effort_is_accepted_where_the_engine_can_save_work(engine: str, tmp_path):
    config = load_config([f"crucible.engine={engine}", "crucible.effort.stop_at=1"], {})
    assert config.crucible.effort == STOP
    rungs = "crucible.effort.rungs=[{steps: 0.36, kept: 0.5}, {steps: 0.5, kept: 0.25}]"
    config = load_config([f"crucible.engine={engine}", rungs], {})
    assert config.crucible.effort == RUNGS
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config))
    assert read_config(path) == config


def test_a_configuration_survives_its_file(tmp_path):
    config = load_config(["seed=5", "reward.bounds.parameters=[10,1000]", "strategy=evolution"], {})
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config))
    assert read_config(path) == config
    assert load_config([], {}, base=config) == config


def test_a_configuration_of_before_there_were_suites_means_what_it_meant(tmp_path):
    path = tmp_path / "config.yaml"
    rules = "min_generations: 3, promotion_rate: 0.2, window: 2"
    for tasks in (["xor", "temporal"], ["temporal"]):
        path.write_text(f"curriculum: {{tasks: [{', '.join(tasks)}], {rules}}}\n")
        plan = read_config(path).curriculum.build()
        assert [stage.name for stage in plan.stages] == tasks
        assert set(plan.weights.values()) == {1.0}
        assert 0 < plan.demotion_rate < plan.promotion_rate == 0.2


def test_every_strategy_can_be_chosen():
    assert {load_config([f"strategy={name}"], {}).strategy for name in STRATEGIES} == set(STRATEGIES)
