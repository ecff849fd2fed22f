"""The numbers of a request: how they are named, and what is learned from a refusal."""

import pytest

from chatapp.answers.options import Options


def test_only_what_is_set_is_sent() -> None:
    options = Options("max_tokens")
    assert options.fields("m", None, None) == {}
    assert options.fields("m", 0, 5) == {"temperature": 0, "max_tokens": 5}


def test_what_a_model_refuses_is_left_out_for_it_alone() -> None:
    options = Options("max_output_tokens")
    sent = options.fields("m", 0.5, 5)
    assert options.learn("m", sent, "Unsupported value: 'temperature' does not support 0.5 with this model.")
    assert options.fields("m", 0.5, 5) == {"max_output_tokens": 5}
    assert options.fields("other", 0.5, 5) == sent


def test_the_length_has_another_name_before_it_is_left_out() -> None:
    options = Options("max_tokens")
    words = "'{}' is not supported with this model. Use '{}' instead."
    assert options.learn("m", options.fields("m", None, 5), words.format("max_tokens", "another name"))
    assert options.fields("m", None, 5) == {"max_completion_tokens": 5}
    assert options.learn("m", options.fields("m", None, 5), "Unknown field: max_completion_tokens")
    assert options.fields("m", None, 5) == {}
    assert not options.learn("m", {}, words.format("max_tokens", "max_completion_tokens"))


@pytest.mark.parametrize(
    "refusal",
    [
        "max_tokens is too large: 1000000. This model supports at most 16384 completion tokens.",
        "Unsupported message role",
        "",
    ],
)
def test_other_refusals_teach_nothing(refusal: str) -> None:
    options = Options("max_tokens")
    sent = options.fields("m", 0.5, 5)
    assert not options.learn("m", sent, refusal)
    assert options.fields("m", 0.5, 5) == sent
