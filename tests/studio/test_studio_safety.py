"""Who may ask the studio, what it takes, and that nothing a client says becomes a path."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path

import pytest
from serving import ARIRANG, Served

pytest.importorskip("starlette", reason="the extra [studio] is not installed")

from moksori.studio import guard, words
from moksori.studio.store import JOBS, SONGS, Store, shown_name


def test_every_key_has_a_text_in_every_language_with_the_same_places() -> None:
    english, korean = (words.all_words()[language] for language in ("en", "ko"))
    assert english.keys() == korean.keys()
    for key, text in english.items():
        places = [sorted(part.split("}")[0] for part in printed.split("{")[1:]) for printed in (text, korean[key])]
        assert places[0] == places[1], key
        assert text and korean[key]


def test_every_key_that_a_page_asks_for_is_there() -> None:
    room = Path(words.__file__).parent
    sources = [*room.glob("templates/*.html"), *room.glob("static/*.js"), *room.glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    asked = set(re.findall(r"""\b(?:t|say|StudioError|button)\(["']([a-z_.]+)["'][,)]""", text))
    assert len(asked) > 60
    assert asked <= words.all_words()["en"].keys()


class TestStrangers:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::1"])
    def test_a_foreign_host_is_refused(self, studio: Served, host: str) -> None:
        assert studio.ask("GET", "/", headers={"Host": host}).status == 403

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
    def test_this_machine_by_any_of_its_names_is_not(self, studio: Served, host: str) -> None:
        assert studio.ask("GET", "/", headers={"Host": f"{host}:{studio.port}"}).status == 200

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
    def test_a_foreign_origin_is_refused(self, studio: Served, origin: str) -> None:
        for method, path in (("POST", "/api/songs"), ("GET", "/api/songs"), ("DELETE", "/api/songs/" + "0" * 16)):
            assert studio.ask(method, path, headers={"Origin": origin}).status == 403

    def test_the_studios_own_origin_is_taken(self, studio: Served) -> None:
        own = {"Origin": f"http://127.0.0.1:{studio.port}", "Sec-Fetch-Site": "same-origin"}
        assert studio.ask("GET", "/api/songs", headers=own).status == 200

    def test_another_page_may_link_here_but_embed_nothing(self, studio: Served) -> None:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert studio.ask("GET", "/", headers={**elsewhere, "Sec-Fetch-Mode": "navigate"}).status == 200
        assert studio.ask("GET", "/api/songs", headers={**elsewhere, "Sec-Fetch-Mode": "no-cors"}).status == 403
        assert studio.ask("POST", "/api/jobs", headers={**elsewhere, "Sec-Fetch-Mode": "navigate"}).status == 403

    def test_every_answer_is_fenced_and_no_script_stands_in_a_page(self, studio: Served) -> None:
        for path in ("/", "/static/studio.css", "/api/songs", "/nowhere"):
            answer = studio.ask("GET", path)
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self';" in policy and "unsafe" not in policy and "http" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        page = studio.ask("GET", "/").body.decode()
        assert page.count("<script") == page.count('<script type="module" src="/static/') + page.count(
            '<script type="application/json"'
        )
        assert " on" not in "".join(part.split(">")[0] for part in page.split("<button")[1:])

    def test_by_default_only_this_machine_is_served(self, studio: Served) -> None:
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in others - {"127.0.0.1", "127.0.1.1"}:
            with pytest.raises(OSError), socket.create_connection((address, studio.port), timeout=2):
                pass


class TestOnANetwork:
    def test_it_asks_for_its_token_and_a_cookie_keeps_it(self, tmp_path: Path) -> None:
        served = Served(tmp_path / "Moksori", "--host", "0.0.0.0")
        try:
            token = served.address.split("token=")[1]
            assert served.ask("GET", "/api/songs").status == 401
            assert served.ask("GET", "/?token=wrong").status == 401
            opened = served.ask("GET", f"/?token={token}")
            assert opened.status == 303 and opened.headers["location"] == "/"
            cookie = opened.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            kept = {"Cookie": cookie.split(";")[0]}
            assert served.ask("GET", "/api/songs", headers=kept).status == 200
            assert served.ask("GET", "/", headers={**kept, "Host": "evil.example"}).status == 403
            assert served.ask("GET", "/", headers={**kept, "Host": "192.168.0.7:7860"}).status == 200
        finally:
            served.stop()

    def test_loopback_is_told_from_a_network(self) -> None:
        assert guard.is_loopback("127.0.0.2") and guard.is_loopback("::1")
        assert not guard.is_loopback("::") and not guard.is_loopback("example.org")


class TestUploads:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("song.exe", b"MZ", "not a sound file by its name"),
            ("song.wav", b"", "empty"),
            ("no-suffix", b"RIFF", "not a sound file by its name"),
        ],
    )
    def test_what_is_no_song_is_refused_at_once(self, studio: Served, name: str, content: bytes, said: str) -> None:
        before = sorted(path.name for path in (studio.folder / "songs").iterdir())
        answer = studio.ask("POST", "/api/songs", headers={"X-Name": name}, raw=content)
        assert answer.status == 400 and said in answer.json["error"]
        assert sorted(path.name for path in (studio.folder / "songs").iterdir()) == before

    def test_text_named_wav_is_refused_under_its_own_name(self, studio: Served, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("these are no samples", encoding="utf-8")
        song = studio.bring(tmp_path / "x", name="노래 <b>.wav")
        assert song["state"] == "failed" and song["error"].startswith("노래 <b>.wav: ")
        assert str(studio.folder) not in song["error"]

    def test_a_song_that_says_it_is_too_large_is_refused_before_it_is_sent(self, studio: Served) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=10)
        connection.putrequest("POST", "/api/songs")
        for key, value in (("X-Name", "song.wav"), ("Content-Length", str(3 << 30))):
            connection.putheader(key, value)
        connection.endheaders(b"RIFF")
        answer = connection.getresponse()
        assert answer.status == 413 and "2 GB" in json.loads(answer.read())["error"]
        connection.close()

    @pytest.mark.parametrize(
        "name", ["../../evil.wav", "/etc/passwd.wav", "..\\..\\evil.wav", "a\x00b.wav", "%2e%2e%2fx.wav"]
    )
    def test_no_name_becomes_a_path(self, studio: Served, tmp_path: Path, name: str) -> None:
        (tmp_path / "x").write_bytes(b"RIFF....")
        song = studio.bring(tmp_path / "x", name=name)
        (folder,) = [path for path in (studio.folder / "songs").iterdir() if path.name == song["id"]]
        assert {path.name for path in folder.iterdir()} <= {"song.json", "source.wav"}
        assert "/" not in song["name"] and "\\" not in song["name"]

    @pytest.mark.parametrize("number", ["..", "%2e%2e", "..%2fsongs", "0" * 15, "A" * 16, "x"])
    def test_no_path_is_reached_by_a_number(self, studio: Served, number: str) -> None:
        for path in (f"/api/songs/{number}/sound", f"/api/jobs/{number}/download", f"/static/{number}/app.py"):
            assert studio.ask("GET", path).status == 404

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"{", "no JSON"),
            (b"[]", "not a JSON object"),
            (b'{"shares": {"kumi": "1"}}', "expected float"),
            (b'{"shares": {"kumi": 1}, "path": "/etc"}', "unknown key path"),
            (b"{}", "nobody is to sing"),
            (b'{"shares": {"kumi": 1}, "song": "../.."}', "not here any more"),
            (b" " * (2 << 20), "too long"),
        ],
    )
    def test_a_wrong_request_is_refused_in_words(self, studio: Served, body: bytes, said: str) -> None:
        answer = studio.ask("POST", "/api/jobs", raw=body)
        assert answer.status in (400, 404) and said in answer.json["error"]


def test_names_are_shown_short_and_without_what_a_terminal_obeys() -> None:
    assert shown_name("a\x1b[31m\u202eb.wav") == "a[31mb.wav"
    assert len(shown_name("x" * 300 + ".flac")) <= 120 and shown_name("x" * 300 + ".flac").endswith(".flac")


def test_a_record_that_was_damaged_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept, broken = store.new(SONGS, {"name": "a"}), store.new(SONGS, {"name": "b"})
    (tmp_path / "songs" / broken["id"] / "song.json").write_text('{"id": "', encoding="utf-8")
    assert [record["id"] for record in store.all(SONGS)] == [kept["id"]]
    assert store.get(SONGS, broken["id"]) is None and store.get(JOBS, kept["id"]) is None


def test_a_folder_is_one_studios(studio: Served, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="another studio is open in this folder"):
        Served(studio.folder)


def test_a_port_that_is_taken_is_told(studio: Served, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"port {studio.port} cannot be had"):
        Served(tmp_path / "Moksori", port=studio.port)


def test_the_song_is_there(studio: Served) -> None:
    assert studio.bring(ARIRANG)["state"] == "ready"
