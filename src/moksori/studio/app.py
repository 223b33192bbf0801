"""The ASGI application: routes of pages, of a JSON API, and of server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import moksori
from moksori import documents, settings
from moksori.errors import UserError
from moksori.studio import schemas
from moksori.studio.client import WorkerClient
from moksori.studio.enrolments import Enrolments
from moksori.studio.events import Events
from moksori.studio.jobs import Jobs
from moksori.studio.songs import Songs
from moksori.studio.store import SONGS, TRACKED, Record, Store
from moksori.studio.trainings import Trainings
from moksori.studio.uploads import JSON_BYTES
from moksori.studio.voices import REPORT, Voices
from moksori.studio.words import LANGUAGES, StudioError, all_words, language_for

_HERE = Path(__file__).parent
_LANGUAGE = "moksori_language"  # cookie
_HEARTBEAT_SECONDS = 15.0
_YEAR_SECONDS = 365 * 24 * 3600
_TYPES = {".flac": "audio/flac", ".opus": "audio/ogg", ".oga": "audio/ogg", ".m4a": "audio/mp4"}

PAGES = {"/": "convert", "/voices": "voices", "/train": "train", "/learn": "learn"}
_REPORT_POLICY = "sandbox allow-scripts; frame-ancestors 'self'"  # a report brings its own, and may touch nothing

Handler = Callable[[Request], Awaitable[Response]]


class Studio:
    """All parts of a studio, and what is asked of them over HTTP."""

    def __init__(self, store: Store) -> None:
        self.store, self.events, self.worker = store, Events(), WorkerClient()
        self.songs = Songs(store, self.worker, self.events.publish)
        self.voices = Voices(store, self.worker, self.events.publish)
        self.enrolments = Enrolments(store, self.worker, self.voices, self.events.publish)
        self.trainings = Trainings(store, self.worker, self.voices.path, self.events.publish)
        self.jobs = Jobs(store, self.worker, self.songs, self.voices.path, self.events.publish)
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def app(self) -> Starlette:
        """The ASGI application, not guarded yet."""
        return Starlette(routes=self._routes(), lifespan=self._life, exception_handlers={UserError: _error_response})

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        warm = asyncio.create_task(self.worker.start())
        self.songs.resume()
        self.jobs.start()
        self.voices.tidy()
        self.enrolments.resume()
        self.trainings.start_watching()
        yield
        await self.trainings.stop_watching()
        await self.enrolments.stop()
        await self.jobs.stop()
        await asyncio.gather(warm, return_exceptions=True)
        await self.worker.stop()

    def _routes(self) -> list[Route | Mount]:
        def route(path: str, handler: Handler, *methods: str) -> Route:
            return Route(path, handler, methods=list(methods or ("GET",)))

        return [
            *(route(path, self._page) for path in PAGES),
            route("/events", self._events),
            route("/api/songs", self._songs),
            route("/api/songs", self._add_song, "POST"),
            route("/api/songs/{song}", self._remove_song, "DELETE"),
            route("/api/songs/{song}/sound", self._song_sound),
            route("/api/songs/{song}/outline", self._song_outline),
            route("/api/songs/{song}/melody", self._melody),
            route("/api/songs/{song}/melody", self._take_melody, "PUT"),
            route("/api/songs/{song}/melody", self._forget_melody, "DELETE"),
            route("/api/songs/{song}/notes", self._notes),
            route("/api/songs/{song}/melody/repair", self._repair_melody, "POST"),
            route("/api/songs/{song}/plan", self._plan, "POST"),
            route("/api/songs/{song}/preview", self._preview, "POST"),
            route("/api/songs/{song}/preview/{part}", self._preview_sound),
            route("/api/jobs", self._jobs),
            route("/api/jobs", self._add_job, "POST"),
            route("/api/jobs/{job}", self._remove_job, "DELETE"),
            route("/api/jobs/{job}/cancel", self._cancel, "POST"),
            route("/api/jobs/{job}/retry", self._retry, "POST"),
            route("/api/jobs/{job}/sound", self._job_sound),
            route("/api/jobs/{job}/download", self._download),
            route("/api/jobs/{job}/outline", self._job_outline),
            route("/api/jobs/{job}/melody", self._job_melody),
            route("/api/voices", self._voices),
            route("/api/voices", self._add_voice, "POST"),
            route("/api/voices/{voice}", self._remove_voice, "DELETE"),
            route("/api/voices/{voice}/singers", self._change_singers, "POST"),
            route("/api/voices/{voice}/export", self._export),
            route("/api/voices/{voice}/report", self._report),
            route("/api/enrolments", self._enrolments),
            route("/api/enrolments", self._add_enrolment, "POST"),
            route("/api/enrolments/{enrolment}", self._remove_enrolment, "DELETE"),
            route("/api/enrolments/{enrolment}/takes", self._add_enrolment_take, "POST"),
            route("/api/enrolments/{enrolment}/start", self._start_enrolment, "POST"),
            route("/api/enrolments/{enrolment}/cancel", self._cancel_enrolment, "POST"),
            route("/api/trainings", self._trainings),
            route("/api/trainings", self._add_training, "POST"),
            route("/api/trainings/{training}", self._training),
            route("/api/trainings/{training}", self._remove_training, "DELETE"),
            route("/api/trainings/{training}/takes", self._add_take, "POST"),
            route("/api/trainings/{training}/takes/{take}", self._remove_take, "DELETE"),
            route("/api/trainings/{training}/check", self._check, "POST"),
            route("/api/trainings/{training}/start", self._start_training, "POST"),
            route("/api/trainings/{training}/pause", self._pause, "POST"),
            route("/api/trainings/{training}/samples/{sample}", self._sample),
            route("/api/learn/shares", self._shares, "POST"),
            route("/api/learn/leaks", self._leaks, "POST"),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    async def _page(self, request: Request) -> Response:
        """A page in the reader's language; `?language=ko` changes it."""
        asked = request.query_params.get("language")
        if asked in LANGUAGES:
            answer: Response = RedirectResponse(request.url.path, 303)
            answer.set_cookie(_LANGUAGE, str(asked), max_age=_YEAR_SECONDS, samesite="strict")
            return answer
        language = language_for(request.cookies.get(_LANGUAGE), request.headers.get("accept-language", ""))
        words, name = all_words()[language], PAGES[request.url.path]
        content = self._templates.get_template(f"{name}.html").render(
            t=lambda key, **values: words[key].format(**values),
            words=words,
            language=language,
            languages=LANGUAGES,
            nonce=request.scope["nonce"],
            page=name,
            pages=PAGES,
            recipes=schemas.RECIPES,
            version=moksori.__version__,
        )
        return HTMLResponse(content)

    async def _events(self, request: Request) -> Response:
        """What changes, as server-sent events; a heartbeat tells a page that the studio is still there."""

        async def stream() -> AsyncIterator[str]:
            with self.events.subscribe() as queue:
                yield "retry: 1000\n\nevent: hello\ndata: {}\n\n"
                while True:
                    try:
                        change = await asyncio.wait_for(queue.get(), _HEARTBEAT_SECONDS)
                        yield f"data: {change}\n\n"
                    except TimeoutError:
                        yield ": still here\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    # Songs

    async def _songs(self, request: Request) -> Response:
        return JSONResponse(self.store.all(SONGS))

    async def _add_song(self, request: Request) -> Response:
        return JSONResponse(await self.songs.add(request, _name(request)), 201)

    def _song(self, request: Request) -> Record:
        return self.songs.ready(request.path_params["song"])

    async def _remove_song(self, request: Request) -> Response:
        song = self.songs.get(request.path_params["song"])
        jobs = self.jobs.of_song(song["id"])
        if any(job["state"] == "running" for job in jobs):
            raise StudioError("error.running", 409)
        for job in jobs:
            self.jobs.remove(job["id"])
        self.songs.remove(song)
        return JSONResponse({})

    async def _song_sound(self, request: Request) -> Response:
        return _file(self.songs.listen(self._song(request)))

    async def _song_outline(self, request: Request) -> Response:
        return _file(self.songs.outline(self._song(request)), "application/json")

    async def _melody(self, request: Request) -> Response:
        """The melody as a file; `?tracked` for what the tracker found, whatever was edited."""
        song = self._song(request)
        is_tracked = "tracked" in request.query_params
        path = self.songs.folder(song) / TRACKED if is_tracked else self.songs.melody(song)
        name = f"{Path(song['name']).stem}.f0.csv" if "download" in request.query_params else None
        return _file(path, "text/csv; charset=utf-8", name)

    async def _take_melody(self, request: Request) -> Response:
        return JSONResponse(await self.songs.take_melody(self._song(request), request))

    async def _repair_melody(self, request: Request) -> Response:
        return JSONResponse(await self.songs.repair_melody(self._song(request)))

    async def _notes(self, request: Request) -> Response:
        return JSONResponse(await self.worker.call("notes", melody=str(self.songs.melody(self._song(request)))))

    async def _forget_melody(self, request: Request) -> Response:
        return JSONResponse(self.songs.forget_melody(self._song(request)))

    async def _plan(self, request: Request) -> Response:
        return JSONResponse(await self._planned(self._song(request), await _conversion(request)))

    async def _planned(self, song: Record, body: schemas.ConversionRequest) -> dict[str, Any]:
        return await self.worker.call(
            "plan",
            melody=str(self.songs.melody(song)),
            voice=self.voices.path(body.voice),
            shares=body.shares,
            transpose=body.transpose,
        )

    async def _preview(self, request: Request) -> Response:
        """Ten seconds, from where it is loudest or from `?from=`."""
        song, body = self._song(request), await _conversion(request)
        planned = await self._planned(song, body)
        edited = self.songs.edited(song)
        answer = await self.worker.call(
            "preview",
            source=str(self.songs.source(song)),
            folder=str(self.songs.folder(song)),
            start_seconds=_start(request, song),
            voice=self.voices.path(body.voice),
            shares=body.shares,
            semitones=planned["semitones"] if planned["is_pitch_conditioned"] else None,
            melody=str(edited) if edited is not None and planned["is_pitch_conditioned"] else None,
        )
        return JSONResponse({**answer, "semitones": planned["semitones"]})

    async def _preview_sound(self, request: Request) -> Response:
        part = request.path_params["part"]
        if part not in ("source", "result"):
            raise StudioError("error.no_result", 404)
        return _file(self.songs.folder(self._song(request)) / f"preview.{part}.flac")

    # Jobs

    async def _jobs(self, request: Request) -> Response:
        return JSONResponse(self.jobs.all())

    async def _add_job(self, request: Request) -> Response:
        body = await _conversion(request)
        song = self.songs.ready(body.song)
        await self._planned(song, body)  # an unknown singer is refused before it waits in a queue
        return JSONResponse(self.jobs.add(body), 201)

    async def _remove_job(self, request: Request) -> Response:
        self.jobs.remove(request.path_params["job"])
        return JSONResponse({})

    async def _cancel(self, request: Request) -> Response:
        return JSONResponse(await self.jobs.cancel(request.path_params["job"]))

    async def _retry(self, request: Request) -> Response:
        return JSONResponse(self.jobs.retry(request.path_params["job"]))

    async def _job_sound(self, request: Request) -> Response:
        return _file(self.jobs.listen(self.jobs.done(request.path_params["job"])))

    async def _download(self, request: Request) -> Response:
        job = self.jobs.done(request.path_params["job"])
        return _file(self.jobs.result(job), name=job["name"])

    async def _job_outline(self, request: Request) -> Response:
        return _file(self.jobs.folder(self.jobs.done(request.path_params["job"])) / "outline.json", "application/json")

    async def _job_melody(self, request: Request) -> Response:
        return _file(self.jobs.folder(self.jobs.done(request.path_params["job"])) / TRACKED, "text/csv")

    # Voices

    async def _voices(self, request: Request) -> Response:
        return JSONResponse(await self.voices.all())

    async def _add_voice(self, request: Request) -> Response:
        return JSONResponse(await self.voices.add(request, _name(request)), 201)

    async def _remove_voice(self, request: Request) -> Response:
        self.voices.remove(request.path_params["voice"])
        return JSONResponse({})

    async def _export(self, request: Request) -> Response:
        path, name = self.voices.file(request.path_params["voice"])
        return _file(path, name=name)

    async def _report(self, request: Request) -> Response:
        """The report of a voice that was trained here, in a frame that can reach nothing of the studio."""
        training = self.trainings.get(request.path_params["voice"])
        answer = _file(self.trainings.folder(training["id"]) / REPORT, "text/html")
        answer.headers["content-security-policy"] = _REPORT_POLICY
        return answer

    async def _change_singers(self, request: Request) -> Response:
        body = schemas.parse(schemas.SingersRequest, await _json(request))
        return JSONResponse(await self.voices.change_singers(request.path_params["voice"], body), 201)

    # Enrolments

    async def _enrolments(self, request: Request) -> Response:
        return JSONResponse(self.enrolments.all())

    async def _add_enrolment(self, request: Request) -> Response:
        body = schemas.parse(schemas.EnrolmentRequest, await _json(request))
        return JSONResponse(await self.enrolments.add(body), 201)

    async def _add_enrolment_take(self, request: Request) -> Response:
        return JSONResponse(await self.enrolments.add_take(_enrolment(request), request, _name(request)), 201)

    async def _start_enrolment(self, request: Request) -> Response:
        return JSONResponse(self.enrolments.start(_enrolment(request)))

    async def _cancel_enrolment(self, request: Request) -> Response:
        return JSONResponse(await self.enrolments.cancel(_enrolment(request)))

    async def _remove_enrolment(self, request: Request) -> Response:
        self.enrolments.remove(_enrolment(request))
        return JSONResponse({})

    # Trainings

    async def _trainings(self, request: Request) -> Response:
        return JSONResponse(self.trainings.all())

    async def _add_training(self, request: Request) -> Response:
        body = await _json(request)
        name = body.get("name") if isinstance(body, dict) else None
        return JSONResponse(self.trainings.add(name if isinstance(name, str) else ""), 201)

    async def _training(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.trainings.details, request.path_params["training"]))

    async def _remove_training(self, request: Request) -> Response:
        self.trainings.remove(request.path_params["training"])
        return JSONResponse({})

    async def _add_take(self, request: Request) -> Response:
        singer = unquote(request.headers.get("x-singer", ""), errors="replace")
        number = request.path_params["training"]
        return JSONResponse(await self.trainings.add_take(number, request, _name(request), singer), 201)

    async def _remove_take(self, request: Request) -> Response:
        return JSONResponse(self.trainings.remove_take(request.path_params["training"], request.path_params["take"]))

    async def _check(self, request: Request) -> Response:
        return JSONResponse(self.trainings.check(request.path_params["training"]))

    async def _start_training(self, request: Request) -> Response:
        body = schemas.parse(schemas.TrainingRequest, await _json(request))
        return JSONResponse(self.trainings.start(request.path_params["training"], body))

    async def _pause(self, request: Request) -> Response:
        return JSONResponse(self.trainings.pause(request.path_params["training"]))

    async def _sample(self, request: Request) -> Response:
        return _file(self.trainings.sample(request.path_params["training"], request.path_params["sample"]))

    # Understanding

    async def _shares(self, request: Request) -> Response:
        body = schemas.parse(schemas.MixupRequest, await _json(request))
        return JSONResponse(await self.worker.call("shares", **settings.plain(body)))

    async def _leaks(self, request: Request) -> Response:
        """What a probe reads; its progress is published on the way."""
        body = schemas.parse(schemas.LeaksRequest, await _json(request))
        data, voice = self.trainings.data(body.training), self.voices.path(body.voice)

        def on_share(share: float) -> None:
            self.events.publish("leaks", {"training": body.training, "voice": body.voice, "share": share})

        return JSONResponse(await self.worker.call("leaks", "data", on_share, voice=voice, data=str(data)))


def _enrolment(request: Request) -> str:
    number: str = request.path_params["enrolment"]
    return number


def _name(request: Request) -> str:
    """The name that a file has where it comes from, percent-encoded in a header."""
    return unquote(request.headers.get("x-name", ""), errors="replace")


async def _json(request: Request) -> Any:
    """What a request says, JSON.

    Raises:
        UserError: too long, or no JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise UserError("the request is too long")
    try:
        return documents.from_json(body)
    except ValueError as error:
        raise UserError("the request is no JSON") from error


async def _conversion(request: Request) -> schemas.ConversionRequest:
    return schemas.parse(schemas.ConversionRequest, await _json(request))


def _start(request: Request, song: Record) -> float:
    try:
        start = float(request.query_params["from"])
    except (KeyError, ValueError):
        return float(song["loudest_start_seconds"])
    return min(max(start, 0.0), max(0.0, song["seconds"] - 1.0)) if start == start else 0.0


def _file(path: Path, media_type: str | None = None, name: str | None = None) -> Response:
    """A file of ours, in ranges if the browser asks for them; with a name, to be saved."""
    if not path.is_file():
        raise StudioError("error.no_result", 404)
    kind = media_type or _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, filename=name)


async def _error_response(request: Request, error: Exception) -> Response:
    """An error in words, and its key if the page has words of its own for it."""
    if isinstance(error, StudioError):
        return JSONResponse({"error": str(error), "key": error.key, "values": error.values}, error.status)
    return JSONResponse({"error": str(error), "key": None, "values": {}}, 400)
