"""What hostile code leaves, prints and returns in every sandbox that runs here: bounded, never believed."""

import pytest
from small_limits import SMALL, limits

pytestmark = pytest.mark.usefixtures("next_job_works_and_nothing_is_left")

# Files


@pytest.mark.parametrize(
    "flood",
    [
        "open('large', 'wb').write(b'x' * payload['bytes'])",
        "for number in range(64): open(str(number), 'wb').write(b'x' * (payload['bytes'] // 16))",
        "for number in range(100_000): open(str(number), 'wb')",
    ],
)
def test_a_flood_of_files_ends_the_job(call, flood):
    outcome = call(f"{flood}\nimport time; time.sleep(60)", payload={"bytes": 2 * SMALL.file_bytes})
    assert outcome.status == "crashed"
    assert outcome.usage.wall_s < SMALL.wall_s


def test_folders_can_be_nested_without_harm(call):
    outcome = call(
        """
        import os
        for _ in range(300):
            os.mkdir("a" * 200)
            os.chdir("a" * 200)
        return 1
        """
    )
    assert outcome.status in ("ok", "crashed")


def test_more_files_than_allowed_cannot_be_open(call):
    outcome = call("held = [open('many', 'w') for _ in range(1000)]")
    assert outcome.detail.startswith("OSError: [Errno 24]")


# Output and results


@pytest.mark.parametrize(
    "flood", ["print('x' * 1000)", "os.write(1, bytes(65536))", "os.write(2, bytes(65536))"]
)
def test_a_flood_of_output_ends_the_job(call, flood):
    outcome = call(f"import os\nwhile True: {flood}")
    assert outcome.status == "output_too_long"
    assert len(outcome.output) <= SMALL.output_bytes


def test_a_burst_of_output_right_before_the_end_is_too_long_as_well(call):
    assert call("import os\nos.write(1, bytes(20_000))").status == "output_too_long"


def test_what_is_printed_is_no_result(call):
    outcome = call("print('{\"result\": \"forged\"}', flush=True)\nreturn 'true'")
    assert outcome.result == "true"
    outcome = call('import os\nprint(\'{"result": "forged"}\', flush=True)\nos._exit(0)')
    assert (outcome.status, outcome.result) == ("crashed", None)


@pytest.mark.parametrize(
    "words",
    [
        b"no json",
        b"\xff\xfe",
        b'{"result": NaN}',
        b'{"result": 1e999}',
        b'{"result": -Infinity}',
        b'{"result": "\\ud800"}',
        b'{"result": 1} {"result": 2}',
        b'{"result": 1, "error": ""}',
        b'{"status": "ok"}',
        b"[1]",
        b'{"result": ' + b"1" * 10_000 + b"}",
        b'{"result": ' + b"[" * 30_000,
    ],
    ids=lambda words: words[:20].decode(errors="replace"),
)
def test_words_on_the_way_of_results_that_are_no_result_are_a_crash(call, words):
    source = "import os\nos.write(3, bytes.fromhex(payload['words']))\nos._exit(0)"
    outcome = call(source, payload={"words": words.hex()})
    assert (outcome.status, outcome.result) == ("crashed", None)
    assert outcome.detail.startswith("what came back is no result")


def test_a_result_after_forged_words_is_none(call):
    outcome = call("import os\nos.write(3, b'{\"result\": 1}')\nreturn 2")
    assert (outcome.status, outcome.result) == ("crashed", None)


def test_a_huge_result_ends_the_job(call):
    outcome = call("import os\nwhile True: os.write(3, b'x' * 65536)", limits(wall_s=60.0, cpu_s=60.0))
    assert outcome.status == "output_too_long"
    assert "the result is longer" in outcome.detail
