"""Real photos and audio, out of packages that are in `.venv-media` for nothing else.

A file's name is its path there. Nothing of them is passed on: requirements-media.txt pins
where they come from.
"""

from __future__ import annotations

from testing.processes import ROOT

FOLDER = ROOT / ".venv-media"

PNG = [
    "skimage/data/astronaut.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/camera.png",  # in shades of grey
    "skimage/data/chessboard_GRAY.png",  # 418 bytes
]
JPEG = [
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/retina.jpg",
    "skimage/data/rocket.jpg",
    "gradio/media_assets/images/lion.jpg",
    "gradio/media_assets/images/tower.jpg",
]
GIF = [
    "skimage/data/no_time_for_that_tiny.gif",
    "gradio/media_assets/images/screenshot.gif",
]
WAV = [
    "gradio/media_assets/audio/audio_sample.wav",
    "gradio/media_assets/audio/recording1.wav",
    "gradio/media_assets/audio/sax.wav",
]
MP3 = [
    "gradio/media_assets/audio/cate_blanch.mp3",
    "gradio/media_assets/audio/heath_ledger.mp3",
    "gradio/test_data/test_audio.mp3",
]
PHOTOS = [*PNG, *JPEG, *GIF]
AUDIO = [*WAV, *MP3]


def media(name: str) -> bytes:
    """The bytes of one of these files, or of any other file in `.venv-media`."""
    assert FOLDER.exists(), "photos and audio are missing: make .venv-media/installed"
    return (FOLDER / name).read_bytes()
