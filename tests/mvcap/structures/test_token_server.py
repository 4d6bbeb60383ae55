"""Base of the servers of pages: only with the token, only for this host, and actions only where there are some."""

import http.client
import threading

import pytest

from mvcap.errors import InputError
from mvcap.structures.token_server import TokenHandler, TokenServer


class _Page(TokenHandler):
    takes_actions = True
    done: list[str] = []  # noqa: RUF012

    def send_path(self, path, body):
        if path != "facts.json":
            raise InputError("there is nothing here")
        self.send_json({"a": 1}, body)

    def take_action(self, path):
        if path != "start":
            raise InputError(f"no action {path!r}")
        self.done.append(path)


class _Reading(_Page):
    takes_actions = False


@pytest.fixture(params=[_Page, _Reading])
def server(request):
    made = TokenServer(request.param)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    made.page = request.param
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def ask(server, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_actions_and_reading_need_the_whole_address(server):
    _Page.done.clear()
    own = f"/{server.token}"
    assert ask(server, f"{own}/facts.json") == (200, '{"a": 1}')
    assert ask(server, f"{own}/other")[0] == 404
    for method in ("GET", "POST"):
        assert ask(server, "/start", method)[0] in (403, 405)
        assert ask(server, f"{own}/start", method, host="elsewhere.example")[0] in (403, 405)
    assert not _Page.done
    allowed = server.page.takes_actions
    assert ask(server, f"{own}/start", "POST")[0] == (200 if allowed else 405)
    assert ask(server, f"{own}/none", "POST")[0] == (404 if allowed else 405)
    assert _Page.done == (["start"] if allowed else [])


def test_a_port_in_use_is_one_line(server):
    with pytest.raises(InputError, match=r"cannot be served .* give another --port"):
        TokenServer(_Page, port=server.server_port)
