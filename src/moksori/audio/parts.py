"""Parsing of damaged or joined files: where sound lies in the bytes, whatever the first header says.

A header is a claim about what follows it. Files that were joined end to end have several; a recorder that lost power
left one that claims nothing; a copy that broke off has one that claims too much. What is found here are the spans of
bytes that hold sound, each to be decoded by itself, and words about what the header claims and what is there.

    mp3     frames, one after the other; a frame of information (Xing, Info, VBRI), or another rate, begins a new span
    wav     chunks; behind the last one may stand another file, or the sound that the header leaves out
    flac    a marker and the block that follows it at once
    ogg     pages; the first page of a stream behind other pages begins a new span
    mp4     boxes; a second `ftyp` begins a new span
    others  by the length that they claim
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

Bytes = bytes | mmap.mmap

_BIT_RATES = {  # (is MPEG 1, layer) -> kbit/s by index
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # version bits -> Hz by index
_FLAC = b"fLaC\x00\x00\x00\x22"  # the marker, and the head of the block that has to follow
_FLAC_ALONE = b"fLaC\x80\x00\x00\x22"
_MOST_JUNK = 1 << 20  # bytes before a file that are looked through for its beginning
_FLAC_TAIL = 1 << 17  # bytes before the end of which the last frame of FLAC begins
_WINDOW = 1 << 24  # bytes that are looked through before their memory is given back
_WORTH_A_WORD = 4096  # bytes behind the end; tags are often appended, and padding

_LOOKS = (  # offset, first bytes, what a file with them looks like
    (8, b"AVI ", "avi, a video"), (8, b"WEBP", "a picture"),
    (0, b"FLV\1", "flv, a video"), (0, b"wvpk", "WavPack"), (0, b"TTA1", "True Audio"), (0, b"MAC ", "Monkey's Audio"),
    (0, b"RIFF", "wav"), (0, b"RIFX", "wav"), (0, b"RF64", "wav"), (0, b"BW64", "wav"), (0, b"FORM", "aiff"),
    (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (0, b".snd", "au"), (0, b"caff", "caf"), (0, b"riff", "w64"),
    (4, b"ftyp", "m4a or mp4"), (0, b"\x1aE\xdf\xa3", "webm or mkv"), (0, b"0&\xb2u", "wma"), (0, b"ID3", "mp3"),
    (0, b"PK\x03\x04", "a zip archive"), (0, b"\x1f\x8b", "a gzip archive"), (0, b"%PDF", "a PDF"),
    (0, b"\x89PNG", "a picture"), (0, b"\xff\xd8\xff", "a picture"), (0, b"GIF8", "a picture"),
    (0, b"MThd", "MIDI: notes, no sound"), (0, b"<!DOCTYPE", "a web page"), (0, b"<html", "a web page"),
)  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """Samples without a header of their own."""

    sample_rate: int  # Hz
    n_channels: int
    subtype: str  # in libsndfile's words
    endian: str


@dataclass(frozen=True)
class Span:
    """Bytes `[start, end)` of a file that are decoded by themselves."""

    start: int
    end: int
    raw: Raw | None = None
    patches: tuple[tuple[int, bytes], ...] = ()  # place within the span, and what its decoder is to read there


@dataclass(frozen=True)
class Layout:
    """Where sound lies in a file."""

    spans: tuple[Span, ...] = ()  # empty where one decoder takes the whole file
    remarks: tuple[str, ...] = ()


def looks_like(path: Path) -> str:
    """What the first bytes of a file look like: "wav", "a PDF"; "" for nothing known."""
    with open(path, "rb") as file:
        head = file.read(64)
    for offset, magic, what in _LOOKS:
        if head[offset : offset + len(magic)].lower() == magic.lower():
            return what
    if _is_adts(head):
        return "aac"
    return "mp3" if _frame(head, 0) is not None else ""


def layout(path: Path) -> Layout:
    """Find where the sound of a file lies.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return Layout()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _layout(data)


def _is_adts(head: bytes) -> bool:
    """Whether a frame of AAC without a container begins so; one of MPEG audio has a layer where this has zeros."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _layout(data: Bytes) -> Layout:
    head = bytes(data[:12])
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _of_wav(data)
    if bytes(data[(behind := _behind_tags(data, 0)) : behind + 4]) == b"fLaC":
        return _of_flac(data, behind)
    if head[:4] == b"OggS":
        return _of_ogg(data)
    if head[4:8] == b"ftyp":
        return _of_boxes(data)
    if head[:4] in (b"FORM", b".snd", b"caff", b"riff"):
        return _of_claim(data)
    if head[:4] == b"\x1aE\xdf\xa3" or head[:4] == b"0&\xb2u" or _is_adts(head):
        return Layout()  # their decoder goes on behind the end of the first
    if (start := _behind_junk(data)) > 0:
        return Layout((Span(start, len(data)),), (f"its sound begins behind {start} bytes of something else",))
    return _of_mp3(data)


def _spans(starts: list[int], end: int) -> tuple[Span, ...]:
    """One span up to the next; none where a decoder can take the whole file."""
    return tuple(Span(*pair) for pair in zip(starts, [*starts[1:], end], strict=True)) if len(starts) > 1 else ()


def _joined(n: int) -> tuple[str, ...]:
    return (f"{n} files joined end to end; all are heard",) if n > 1 else ()


def _behind_junk(data: Bytes) -> int:
    """Where a file of a known kind begins behind bytes that are nothing; 0 if there is none, or MPEG frames are."""
    if bytes(data[:3]) == b"ID3" or _frame(data, 0) is not None:
        return 0
    head = bytes(data[:_MOST_JUNK])
    zeros = len(head) - len(head.lstrip(b"\0"))
    if zeros and _frame(data, zeros) is not None:
        return 0
    places = [head.find(mark) for mark in (_FLAC, _FLAC_ALONE, b"OggS\0\2")]
    riff = head.find(b"RIFF")
    places += [riff] if riff >= 0 and head[riff + 8 : riff + 12] == b"WAVE" else []
    return min((place for place in places if place > 0), default=0)


def _up_to(data: Bytes, starts: list[int], end: int) -> Layout:
    """Spans from these starts to an end behind which stands a file of another kind, which is not heard."""
    spans = tuple(Span(*pair) for pair in itertools.pairwise([*starts, end]))
    return Layout(spans, (*_joined(len(starts)), _unheard(len(data) - end)))


def _begins_file(data: Bytes, place: int) -> bool:
    """Whether a sound file of a known kind begins here."""
    head = bytes(data[place : place + 12])
    return (
        _is_wav(data, place)
        or (head[:4] == b"FORM" and head[8:11] == b"AIF")
        or head.startswith((_FLAC, _FLAC_ALONE, b"OggS\0\2", b"caff\0\1", b"riff\x2e\x91", b"\x1aE\xdf\xa3"))
        or head[4:8] == b"ftyp"
    )


def _behind_tags(data: Bytes, place: int) -> int:
    """Behind the tags that programs put before a file, or behind it; the place itself where there are none."""
    while True:
        head = bytes(data[place : place + 32])
        if head[:3] == b"ID3" and len(head) >= 10 and not any(byte & 0x80 for byte in head[6:10]):
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            place = min(len(data), place + 10 + size + (10 if head[5] & 0x10 else 0))
        elif head[:3] == b"TAG" and head[3:4] != b"+":
            place = min(len(data), place + 128)
        elif head[:8] == b"APETAGEX" and len(head) == 32:  # its size counts what follows its head
            place = min(len(data), place + 32 + int.from_bytes(head[12:16], "little"))
        else:
            return place


def _of_flac(data: Bytes, start: int) -> Layout:
    """As many streams as there are marks; one that claims fewer samples than there are is read to the end.

    What stands behind the last frame of a stream, tags for one, is kept from the decoder, which would call it damage.
    """
    starts = sorted({start, *(place for mark in (_FLAC, _FLAC_ALONE) for place in _places(data, mark))})
    read, remarks = [], list(_joined(len(starts)))
    for first, behind in itertools.pairwise([*starts, len(data)]):
        span = Span(first, _flac_end(data, first, behind))
        n_left = behind - span.end
        if n_left >= _WORTH_A_WORD and _begins_file(data, _behind_tags(data, span.end)):
            remarks.append(_unheard(n_left))
        head = bytes(data[first + 21 : first + 26])
        claimed = int.from_bytes(head, "big") & 0xF_FFFF_FFFF if len(head) == 5 else 0
        there = _flac_samples(data, span)
        if claimed and there > claimed:
            remarks.append(f"its header claims {claimed} samples, {there} are there; all are heard")
            span = replace(span, patches=((21, bytes([head[0] & 0xF0, 0, 0, 0, 0])),))
        read.append(span)
    is_plain = read == [Span(0, len(data))]
    return Layout(() if is_plain else tuple(read), tuple(remarks))


def _flac_end(data: Bytes, start: int, end: int) -> int:
    """Where the frames of a stream of FLAC end: at the end, or where a tag, zeros or another file follow.

    A frame ends with a checksum over all of it, so that a sum that goes on over the checksum is 0 there.
    """
    tail_start = max(start, end - _FLAC_TAIL)
    tail = bytes(data[tail_start:end])
    for place in _last_flac_frames(tail, int.from_bytes(data[start + 8 : start + 10], "big")):
        found = 0
        for at in range(place, len(tail)):
            found = (found << 8 & 0xFFFF) ^ _CRC16[found >> 8 ^ tail[at]]
            if found == 0 and at > place + 8:
                stop = tail_start + at + 1
                if stop == end or _behind_tags(data, stop) > stop or _begins_file(data, stop):
                    return stop
                if not data[stop : min(end, stop + _WORTH_A_WORD)].strip(b"\0"):
                    return stop + 1  # if the checksum ends with a zero, its sum is 0 before it; one more hurts nobody
    return end


def _flac_samples(data: Bytes, span: Span) -> int:
    """Where the last frame of FLAC ends, in samples; 0 if none is found near the end."""
    start = max(span.start, span.end - _FLAC_TAIL)
    tail, usual = bytes(data[start : span.end]), int.from_bytes(data[span.start + 8 : span.start + 10], "big")
    for place in _last_flac_frames(tail, usual):
        return _flac_frame_end(tail[place : place + 16], usual)
    return 0


def _last_flac_frames(tail: bytes, usual: int) -> Iterator[int]:
    """Places where frames of FLAC begin, the last one first."""
    place = len(tail)
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        if tail[place + 1 : place + 2] in (b"\xf8", b"\xf9") and _flac_frame_end(tail[place : place + 16], usual):
            yield place


def _flac_frame_end(head: bytes, usual: int) -> int:
    """The sample behind a frame of FLAC that begins with these bytes; 0 if they are none."""
    if len(head) < 16:
        return 0
    first = head[4]  # of a number written as UTF-8 writes letters, in up to 7 bytes
    n_ones = 8 - (first ^ 0xFF).bit_length()
    if n_ones in (1, 8):
        return 0
    n_more, number = max(0, n_ones - 1), first & (0xFF >> (n_ones + 1))
    for byte in head[5 : 5 + n_more]:
        if byte & 0xC0 != 0x80:
            return 0
        number = number << 6 | byte & 0x3F
    at, size = 5 + n_more, head[2] >> 4
    n_samples = 192 if size == 1 else 576 << (size - 2) if 2 <= size <= 5 else 256 << (size - 8) if size >= 8 else 0
    if size in (6, 7):
        n_samples = int.from_bytes(head[at : at + size - 5], "big") + 1
        at += size - 5
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if not n_samples or at >= len(head) or _crc8(head[:at]) != head[at]:
        return 0
    return (number if head[1] & 1 else number * usual) + n_samples


def _crc16_table() -> list[int]:
    """The checksum of a whole frame of FLAC, by byte: polynomial x^16 + x^15 + x^2 + 1."""
    table = []
    for byte in range(256):
        found = byte << 8
        for _ in range(8):
            found = (found << 1 ^ (0x8005 if found & 0x8000 else 0)) & 0xFFFF
        table.append(found)
    return table


_CRC16 = _crc16_table()


def _crc8(content: bytes) -> int:
    """The checksum of a frame's head in FLAC: polynomial x^8 + x^2 + x + 1."""
    found = 0
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = (found << 1 ^ (0x07 if found & 0x80 else 0)) & 0xFF
    return found


def _places(data: Bytes, mark: bytes) -> Iterator[int]:
    for start in range(0, len(data), _WINDOW):
        stop = start + _WINDOW + len(mark) - 1  # a mark may lie across the border
        place = data.find(mark, start, stop)
        while place >= 0:
            yield place
            place = data.find(mark, place + 1, stop)
        _let_go(data, start + _WINDOW)


def _let_go(data: Bytes, end: int) -> None:
    """Give back the memory of what was looked at up to a place, so that a long file is never there as a whole."""
    if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        data.madvise(mmap.MADV_DONTNEED, 0, min(end, len(data)))


def _windows_passed(data: Bytes, before: int, place: int) -> int:
    """The window that a place lies in; where it is another one than before, what lies behind is let go."""
    if place // _WINDOW != before:
        _let_go(data, place // _WINDOW * _WINDOW)
    return place // _WINDOW


def _of_ogg(data: Bytes) -> Layout:
    """Pages: a first page (flag 2) behind a page that is none begins another stream."""
    starts, place, was_first, window = [0], 0, True, 0
    while place >= 0 and place + 27 <= len(data):
        window = _windows_passed(data, window, place)
        header = bytes(data[place : place + 27])
        is_first = bool(header[5] & 2)
        if is_first and not was_first:
            starts.append(place)
        was_first = is_first
        n_bytes = 27 + header[26] + sum(data[place + 27 : place + 27 + header[26]])
        next_place = place + n_bytes
        behind = _behind_tags(data, next_place)
        if bytes(data[behind : behind + 4]) != b"OggS" and _begins_file(data, behind):
            return _up_to(data, starts, next_place)
        place = next_place if data[next_place : next_place + 4] == b"OggS" else data.find(b"OggS", place + 4)
    return Layout(_spans(starts, len(data)), _joined(len(starts)))


def _of_boxes(data: Bytes) -> Layout:
    starts, place = [0], 0
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack(">Q", data[place + 8 : place + 16])
        if kind == b"ftyp" and place:
            starts.append(place)
        elif place and _begins_file(data, _behind_tags(data, place)):
            return _up_to(data, starts, place)
        if size < 8:
            break
        place += size
    return Layout(_spans(starts, len(data)), _joined(len(starts)))


def _of_claim(data: Bytes) -> Layout:
    """AIFF, AU, CAF and W64, each behind the end that the one before it claims."""
    starts, place = [0], 0
    if (patch := _of_no_claim(data)) is not None:
        note = f"its header claims no samples, {len(data) - patch[2]} bytes of sound follow; they are heard to the end"
        return Layout((Span(0, len(data), patches=(patch[:2],)),), (note,))
    while True:
        end = _claimed_end(data, place)
        if end is not None and end > len(data) + 1:  # a last byte of padding is often left out
            cut = (f"its header claims {end - place} bytes, {len(data) - place} are there; it was cut short",)
            return Layout(_spans(starts, len(data)), _joined(len(starts)) + cut)
        if end is None or end >= len(data):
            break
        if bytes(data[end : end + 4]) != bytes(data[place : place + 4]) or _claimed_end(data, end) is None:
            n_left = len(data) - end
            remarks = (_unheard(n_left),) if n_left >= _WORTH_A_WORD else ()
            return Layout(_spans(starts, end), _joined(len(starts)) + remarks)
        starts.append(end)
        place = end
    return Layout(_spans(starts, len(data)), _joined(len(starts)))


def _of_no_claim(data: Bytes) -> tuple[int, bytes, int] | None:
    """AU and CAF whose recorder never wrote how much there is: where a length belongs, the length, where sound is."""
    if bytes(data[:4]) == b".snd" and len(data) >= 24:
        offset, size = struct.unpack(">II", data[4:12])
        if size == 0 and 24 <= offset < len(data):
            return 8, struct.pack(">I", min(len(data) - offset, 0xFFFFFFFE)), offset
    if bytes(data[:4]) == b"caff":
        at = 8
        while at + 12 <= len(data):
            name, size = struct.unpack(">4sq", data[at : at + 12])
            if name == b"data":  # 4 bytes of a count of edits come before the sound
                is_stated = 4 < size <= len(data) - at - 12
                is_cut = size > len(data) - at - 12
                if is_stated or (is_cut and size != (1 << 63) - 1) or len(data) - at - 16 <= 0:
                    break
                return at + 4, struct.pack(">q", len(data) - at - 12), at + 16
            if size < 0:
                break
            at += 12 + size
    return None


def _claimed_end(data: Bytes, place: int) -> int | None:
    """Where a file of these kinds that begins here ends, by its own word; None if it gives none."""
    magic = bytes(data[place : place + 4])
    try:
        if magic == b"FORM":
            (size,) = struct.unpack(">I", data[place + 4 : place + 8])
            return place + 8 + int(size) + size % 2 if size else None
        if magic == b".snd":
            offset, size = struct.unpack(">II", data[place + 4 : place + 12])
            return place + int(offset) + int(size) if size not in (0, 0xFFFFFFFF) else None
        if magic == b"riff":
            (size,) = struct.unpack("<Q", data[place + 16 : place + 24])
            return place + int(size) if size else None
        if magic == b"caff":
            at = place + 8
            while at + 12 <= len(data) and bytes(data[at : at + 4]) != b"caff":
                (size,) = struct.unpack(">q", data[at + 4 : at + 12])
                if size < 0:
                    return None
                at += 12 + size
            return at
    except struct.error:
        return None
    return None


def _unheard(n_bytes: int) -> str:
    return f"holds {n_bytes} bytes behind the end that its header gives; they are not heard"


_PCM = {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}
_FLOATS = {32: "FLOAT", 64: "DOUBLE"}


def _of_wav(data: Bytes) -> Layout:
    spans: list[Span] = []
    remarks: list[str] = []
    place = 0
    while place < len(data):
        span, end, note = _one_wav(data, place)
        spans.append(span)
        remarks += [note] if note else []
        if (behind := _behind_tags(data, end)) < len(data) and _is_wav(data, behind):
            place = behind
            continue
        n_left = len(data) - end
        if n_left >= _WORTH_A_WORD and data[end : end + _WORTH_A_WORD].strip(b"\0"):
            remarks.append(_unheard(n_left))
        break
    is_whole = len(spans) == 1 and spans[0].raw is None and not spans[0].patches
    return Layout(() if is_whole else tuple(spans), (*_joined(len(spans)), *remarks))


def _is_wav(data: Bytes, place: int) -> bool:
    return bytes(data[place : place + 4]) in (b"RIFF", b"RIFX", b"RF64", b"BW64") and (
        bytes(data[place + 8 : place + 12]) == b"WAVE"
    )


def _one_wav(data: Bytes, place: int) -> tuple[Span, int, str]:
    """The span of the wav that begins here, where its last chunk ends, and a word if its header is wrong."""
    endian = ">" if bytes(data[place : place + 4]) == b"RIFX" else "<"
    at, long_size, raw, note = place + 12, 0, None, ""
    sound: tuple[int, int] | None = None
    has_format = False
    while at + 8 <= len(data) and not _begins_file(data, _behind_tags(data, at)):
        name, size = struct.unpack(f"{endian}4sI", data[at : at + 8])
        if not all(32 <= letter < 127 for letter in name):
            break
        body, end = at + 8, at + 8 + size + size % 2
        if name == b"ds64" and size >= 16 and body + 16 <= len(data):
            (long_size,) = struct.unpack("<Q", data[body + 8 : body + 16])
        elif name == b"fmt ":
            has_format = True
            raw = _format_of(bytes(data[body : min(body + size, len(data))]), endian)
        elif name == b"data":
            if size == 0xFFFFFFFF and long_size:
                size = long_size
                end = body + size + size % 2
            if size in (0, 0xFFFFFFFF) and raw is not None and len(data) - body > 8 and not _is_chunk(data, body):
                n_sound = len(data) - body
                note = f"its header claims no samples, {n_sound} bytes of sound follow; they are heard to the end"
                return Span(body, len(data), raw), len(data), note
            if size in (0, 0xFFFFFFFF) and has_format and len(data) - body > 8 and not _is_chunk(data, body):
                n_sound = len(data) - body  # of a coding that only its own decoder knows
                length = struct.pack(f"{endian}I", min(n_sound, 0xFFFFFFFE))
                note = f"its header claims no samples, {n_sound} bytes of sound follow; they are heard to the end"
                return Span(place, len(data), patches=((body - 4 - place, length),)), len(data), note
            if sound is not None:
                note = f"its sound stands in several pieces; the {size} bytes of a later one are not heard"
            sound = sound or (body, size)
            if body + size > len(data):
                return Span(place, len(data)), len(data), (
                    f"its header claims {size} bytes of sound, {len(data) - body} are there; it was cut short"
                )  # fmt: skip
        at = end
    at = min(at, len(data))
    return Span(place, at if sound else len(data)), at if sound else len(data), note


def _is_chunk(data: Bytes, place: int) -> bool:
    """Whether a known chunk begins here, so that the one before is truly empty."""
    return bytes(data[place : place + 4]) in (b"LIST", b"fact", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"PEAK")


def _format_of(body: bytes, endian: str) -> Raw | None:
    if len(body) < 16:
        return None
    kind, n_channels, rate, _, _, bits = struct.unpack(f"{endian}HHIIHH", body[:16])
    if kind == 0xFFFE and len(body) >= 26:
        (kind,) = struct.unpack(f"{endian}H", body[24:26])
    subtype = {1: _PCM.get(bits), 3: _FLOATS.get(bits), 6: "ALAW", 7: "ULAW"}.get(kind)
    if subtype is None or not n_channels or not rate:
        return None
    return Raw(rate, n_channels, subtype, "BIG" if endian == ">" else "LITTLE")


@dataclass(frozen=True)
class _Frame:
    """Head of a frame of MPEG audio."""

    n_bytes: int
    n_samples: int
    rate: int
    is_mono: bool
    information: int  # bytes from the frame's start to where a frame of information says so


def _frame(data: Bytes, place: int) -> _Frame | None:
    """The frame that begins here; None if there is none."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate_index == 3:
        return None
    rate, is_first = _RATES[version][rate_index], version == 3
    bits = 1000 * _BIT_RATES[is_first, layer][bit_rate]
    padding = head[2] >> 1 & 1
    n_samples = 384 if layer == 1 else 1152 if layer == 2 or is_first else 576
    n_bytes = (12 * bits // rate + padding) * 4 if layer == 1 else n_samples // 8 * bits // rate + padding
    is_mono = head[3] >> 6 == 3
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    return _Frame(n_bytes, n_samples, rate, is_mono, 4 + side)


def _of_mp3(data: Bytes) -> Layout:
    """Frames of MPEG audio; an empty layout where there are none."""
    starts: list[int] = []
    remarks: list[str] = []
    n_joined = 0
    claimed: int | None = None  # frames that are still to come in this span, by the word of its frame of information
    kind: tuple[int, bool] | None = None
    place = window = 0
    while place + 4 <= len(data):
        window = _windows_passed(data, window, place)
        frame = _frame(data, place)
        if frame is None:
            if starts and _begins_file(data, _behind_tags(data, place)):
                return _up_to(data, starts, place)
            place = _behind_what_is_no_frame(data, place)
            continue
        at = place + frame.information
        marker = bytes(data[at : at + 4])
        is_information = marker in (b"Xing", b"Info") or bytes(data[place + 36 : place + 40]) == b"VBRI"
        if is_information or kind != (frame.rate, frame.is_mono):
            if claimed:
                remarks.append(f"its header claims {claimed * frame.n_samples / frame.rate:.1f} s more than there is")
            if not (kind is not None and starts and place == starts[-1]):
                starts.append(place)
            n_joined += 1
            claimed = None
        elif claimed == 0:  # frames that the header does not know of
            starts.append(place)
            claimed = None
        kind = (frame.rate, frame.is_mono)
        if is_information:
            claimed = _claimed_frames(data, at, marker)
        elif claimed is not None:
            claimed -= 1
        place += frame.n_bytes
    if claimed and claimed > 1:
        assert kind is not None
        n_samples = 1152 if kind[0] >= 32000 else 576
        remarks.append(f"its header claims {claimed * n_samples / kind[0]:.1f} s more than there is; it was cut short")
    if not starts:
        return Layout()
    if len(starts) == 1:
        return Layout(
            (Span(starts[0], len(data)),) if starts[0] > 1 << 12 and data[:3] != b"ID3" else (), tuple(remarks)
        )
    return Layout(_spans(starts, len(data)), (*_joined(n_joined), *remarks))


def _claimed_frames(data: Bytes, at: int, marker: bytes) -> int | None:
    if marker not in (b"Xing", b"Info") or at + 12 > len(data):
        return None
    flags, n_frames = struct.unpack(">II", data[at + 4 : at + 12])
    return int(n_frames) if flags & 1 and n_frames else None


def _behind_what_is_no_frame(data: Bytes, place: int) -> int:
    """Behind a tag; else at the next place where two frames stand one behind the other."""
    if (behind := _behind_tags(data, place)) > place:
        return behind
    next_place = data.find(b"\xff", place + 1)
    while next_place >= 0:
        frame = _frame(data, next_place)
        if frame is not None:
            behind = next_place + frame.n_bytes
            if behind >= len(data) or _frame(data, behind) is not None or bytes(data[behind : behind + 3]) == b"TAG":
                return next_place
        next_place = data.find(b"\xff", next_place + 1)
    return len(data)
