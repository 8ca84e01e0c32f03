"""The HTTP API over a real connection, in this process and without Ray."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from small_servers import LIMITS, TOKEN, learner_of, picture
from torch import Tensor

import metaray as mr
from metaray.algorithms.errors import InputError
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.saved import load_saved
from metaray.platform.serve.app import Answer
from metaray.platform.serve.deployment import answers
from metaray.platform.serve.limits import ServeLimits
from metaray.platform.serve.server import check_place, model_in, url_of
from metaray.platform.serve.service import Service
from metaray.platform.serve.token_file import given_token, made_token


def test_a_task_is_registered_asked_and_deleted(client: mr.Client, service: Service) -> None:
    pictures = [picture(k) for k in range(5)]
    labels = ["b", "a", "b", "c", "a"]
    made = client.register("letters", pictures, labels)
    assert made["classes"] == {"a": 2, "b": 2, "c": 1}
    expected = service.learner.adapt(pictures, labels).predict_proba([picture(9), picture(8)])
    found = client.predict("letters", [picture(9), b"no picture", picture(8)])
    assert found[1]["prediction"] is None
    assert "not an image" in found[1]["error"]
    for row, one in zip(expected, (found[0], found[2]), strict=True):
        assert list(one["prediction"]["probabilities"].values()) == pytest.approx(row.tolist())
        assert one["prediction"]["label"] == "abc"[row.argmax()]
    assert client.tasks() == ["letters"]
    assert client.task("letters") == made
    client.delete("letters")
    assert client.tasks() == []
    assert client.model()["title"] == "a test"


def test_added_pictures_change_the_answers(client: mr.Client, service: Service) -> None:
    first, more = [picture(k) for k in range(2)], [picture(7)]
    before = client.register(None, first, ["a", "b"])
    name = before["name"]
    client.predict(name, [picture(3)])
    after = client.add(name, more, ["new"])
    assert after["classes"] == {"a": 1, "b": 1, "new": 1}
    assert after["version"] != before["version"]
    (found,) = client.predict(name, [picture(3)])
    expected = service.learner.adapt([*first, *more], ["a", "b", "new"]).predict_proba([picture(3)])
    assert list(found["prediction"]["probabilities"].values()) == pytest.approx(
        expected[0].tolist()
    )


def test_another_process_finds_the_tasks(client: mr.Client, service: Service) -> None:
    """As another replica, or the server after a restart."""
    client.register("letters", [picture(0), picture(1)], ["a", "b"])
    other = Service(learner_of("protonet"), service.store.folder.parent, LIMITS)
    assert other.store.names() == ["letters"]
    assert other.model("letters").classes == ("a", "b")
    client.add("letters", [picture(2)], ["c"])
    assert other.model("letters").classes == ("a", "b", "c")


def test_predictions_of_several_clients_are_made_together(service: Service) -> None:
    for name, seeds in (("one", (0, 1)), ("two", (2, 3))):
        service.register(name, [("", picture(k)) for k in seeds], ["a", "b"])
    x = service.inputs([("", picture(k)) for k in range(4, 8)])
    assert not any(isinstance(one, str) for one in x)
    asked: Any = list(zip(["one", "two", "gone", "one"], x, strict=True))
    together = answers(service, asked)
    alone = [answers(service, [one])[0] for one in asked]
    for a, b in zip(together, alone, strict=True):
        if isinstance(a, Exception):
            assert "there is no task gone" in str(a) == str(b)
        else:
            assert isinstance(b, Answer)
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "s"])
def test_no_request_without_the_token(url: str, token: str | None) -> None:
    for ask in (mr.Client(url, token).tasks, mr.Client(url, token).model):
        with pytest.raises(InputError, match=r"refuses \(401\): send the token"):
            ask()
    assert requests.get(f"{url}/healthz", timeout=10).json() == {"status": "ok"}
    assert requests.get(f"{url}/readyz", timeout=10).status_code == 200


def test_the_description_of_the_api_is_whole(url: str) -> None:
    described = requests.get(f"{url}/openapi.json", timeout=10).json()
    assert set(described["paths"]) == {
        "/healthz", "/readyz", "/model", "/tasks", "/tasks/{name}", "/tasks/{name}/pictures",
        "/tasks/{name}/predict",
    }  # fmt: skip
    responses = described["paths"]["/tasks"]["post"]["responses"]
    assert set(responses) == {"201", "401", "409", "413", "422"}
    page = requests.get(url, timeout=10).text
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("count", "labels", "name", "sentence"),
    [
        (2, ["a", "a"], "x", r"\(422\): the support pictures have one class"),
        (2, ["a"], "x", r"\(422\): each picture needs a label"),
        (2, ["a", " "], "x", r"\(422\): a label has 1 to 100"),
        (2, ["a", "b"], "../x", r"\(422\): the name of a task"),
        (2, ["a", "b"], "taken", r"\(409\): there is a task taken"),
        (7, list("abcabca"), "x", r"\(413\): 7 pictures are more than the 6"),
        (5, list("abcde"), "x", r"\(413\): 5 classes are more than the 4"),
    ],
)
def test_tasks_that_are_refused(
    client: mr.Client, count: int, labels: list[str], name: str, sentence: str
) -> None:
    client.register("taken", [picture(0), picture(1)], ["a", "b"])
    with pytest.raises(InputError, match=sentence):
        client.register(name, [picture(k) for k in range(count)], labels)
    assert client.tasks() == ["taken"]


def test_limits_of_tasks_and_support(client: mr.Client) -> None:
    for name in ("a", "b", "c"):
        client.register(name, [picture(0), picture(1)], ["a", "b"])
    with pytest.raises(InputError, match=r"\(409\): there are 3 tasks"):
        client.register("d", [picture(0), picture(1)], ["a", "b"])
    client.add("a", [picture(k) for k in range(6)], list("ababab"))
    with pytest.raises(InputError, match=r"\(413\): 9 support pictures"):
        client.add("a", [picture(9)], ["a"])
    assert client.task("a")["classes"] == {"a": 4, "b": 4}


def test_a_request_that_is_too_large_is_refused_before_it_is_read(url: str) -> None:
    with pytest.raises(InputError, match=r"\(413\): the request has more than the 1 MB"):
        mr.Client(url, TOKEN).predict("x", [bytes(2 * 2**20)])

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\n'
        for _ in range(64):
            yield bytes(2**16)

    headers = {"Authorization": f"Bearer {TOKEN}"}
    headers["Content-Type"] = "multipart/form-data; boundary=b"
    where = f"{url}/tasks/x/predict"
    answer = requests.post(where, data=endless(), headers=headers, timeout=20)
    assert answer.status_code == 413
    assert "more than the 1 MB" in answer.json()["detail"]


def test_a_bomb_and_an_unread_support_picture(
    client: mr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METARAY_MAX_MEGAPIXELS", "0.001")
    with pytest.raises(InputError, match=r"\(422\): .*pixels, more than"):
        client.register("x", [picture(0, 64), picture(1, 64)], ["a", "b"])
    with pytest.raises(InputError, match=r"\(422\): picture 1 is not an image"):
        client.register("x", [b"torn", picture(1)], ["a", "b"])
    assert client.tasks() == []


def test_unknown_tasks_and_what_cannot_be_rejected(client: mr.Client) -> None:
    for ask in (
        lambda: client.predict("none", [picture(0)]),
        lambda: client.task("none"),
        lambda: client.add("none", [picture(0)], ["a"]),
        lambda: client.delete("none"),
    ):
        with pytest.raises(InputError, match=r"\(404\): there is no task none"):
            ask()
    client.register("known", [picture(0), picture(1)], ["a", "b"])
    with pytest.raises(InputError, match="metaray evaluate"):
        client.predict("known", [picture(0)], reject=True)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(InputError, match="does not answer"):
        mr.Client("http://127.0.0.1:9", "x").tasks()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file or directory"),
        (b"short", "one word of 16 characters or more"),
        (b"two words of a sentence", "one word of 16 characters or more"),
        ("schlüssel-der-tür-im-haus".encode(), "other characters than ASCII"),
    ],
)
def test_tokens_that_are_none(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        given_token(tmp_path / "token", no_token=None)


def test_a_token_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    assert given_token(tmp_path / "token", no_token=None) == "0123456789abcdef"
    assert given_token(None, no_token=None) is None
    with pytest.raises(InputError, match="exclude each other"):
        given_token(tmp_path / "token", no_token=True)


def test_a_damaged_task_is_said(client: mr.Client, service: Service) -> None:
    client.register("letters", [picture(0), picture(1)], ["a", "b"])
    (service.store.folder / "letters.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="the task letters is damaged.*delete it"):
        client.task("letters")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (("127.0.0.1", 0, True), "--port 0"),
        (("0.0.0.0", 8000, False), "--no-token on 0.0.0.0"),
        (("192.0.2.1", 8000, True), "cannot listen on 192.0.2.1:8000"),
    ],
)
def test_places_that_cannot_be(place: tuple[str, int, bool], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_place(*place)


def test_the_folder_of_a_server(tmp_path: Path) -> None:
    place, learner = tmp_path / "state", learner_of("protonet")
    model = model_in(place, learner)
    token = made_token(place)
    (place / "token").chmod(0o644)
    assert made_token(place) == token
    assert stat.S_IMODE((place / "token").stat().st_mode) == 0o600
    assert model_in(place, learner_of("protonet")) == model
    with pytest.raises(InputError, match="holds the tasks of another model"):
        model_in(place, learner_of("protonet", seed=1))
    # tested again since: the same weights with another record
    tested = Learner(replace(learner.spec, title="tested again"), learner.state)
    again = load_saved(model_in(place, tested))
    assert isinstance(again, Learner)
    assert again.spec.title == "tested again"


def test_addresses() -> None:
    assert url_of("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url_of("::1", 80) == "http://[::1]:80"


def test_names_are_part_of_the_path_alone(client: mr.Client) -> None:
    for name in ("../model", "a b?x=1", "a/b"):
        with pytest.raises(InputError, match=r"refuses \((404|422)\)"):
            client.task(name)
    with pytest.raises(InputError, match="is no name of a task"):
        client.task("..")


def test_a_password_of_netrc_is_not_sent(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mr.Client(url, TOKEN).tasks() == []
    with pytest.raises(InputError, match="401"):
        mr.Client(url).tasks()


def test_a_task_that_fails_is_no_matter_of_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "bad"):
        service.register(name, [("", picture(0)), ("", picture(1))], ["a", "b"])
    right = Service.predict

    def predict(self: Service, name: str, x: Tensor) -> Any:
        if name == "bad":
            raise RuntimeError("out of memory")
        return right(self, name, x)

    monkeypatch.setattr(Service, "predict", predict)
    inputs = service.inputs([("", picture(2))] * 2)
    asked: Any = list(zip(("bad", "good"), inputs, strict=True))
    bad, good = answers(service, asked)
    assert "out of memory" in str(bad)
    assert isinstance(good, Answer)


def test_limits_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METARAY_SERVE_MAX_TASKS", "7")
    assert ServeLimits.from_environment().max_tasks == 7
    monkeypatch.setenv("METARAY_SERVE_MAX_TASKS", "-1")
    with pytest.raises(InputError, match=r"METARAY_SERVE_MAX_TASKS = '-1'.* set it to 1000"):
        ServeLimits.from_environment()
