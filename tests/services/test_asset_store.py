"""Assets: what is stored is whole, durable and found again; nothing else is."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.media.store import AssetError, AssetNotFound, LocalAssets, open_assets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> LocalAssets:
    return open_assets(str(tmp_path / "assets"))


def files(store: LocalAssets) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


async def test_stored_bytes_come_back(store: LocalAssets) -> None:
    """What was put is got again byte for byte, with its true hash and size, small or large."""
    for data in (b"", b"picture", os.urandom(3_000_000)):
        asset = await store.put(data, suffix=".png")
        assert (asset.sha256, asset.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert asset.key.endswith(".png")
        assert await store.get(asset.key) == data
        assert store.path(asset.key).read_bytes() == data


async def test_equal_bytes_are_two_assets(store: LocalAssets) -> None:
    """Two jobs with the same picture own a file each, so deleting one's leaves the other's."""
    first, second = await store.put(b"same", suffix=".jpg"), await store.put(b"same", suffix=".jpg")
    assert first.key != second.key
    await store.delete(first.key)
    assert await store.get(second.key) == b"same"


async def test_deleting_is_harmless_when_repeated(store: LocalAssets) -> None:
    """A deleted asset is gone, and deleting it again is no error."""
    asset = await store.put(b"x", suffix=".mp4")
    await store.delete(asset.key)
    await store.delete(asset.key)
    with pytest.raises(AssetNotFound):
        await store.get(asset.key)
    assert files(store) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "aa/bb/../../x.png",
        "aa/bb/" + "0" * 64 + ".png",
        "aa/bb/" + "0" * 64 + "-" + "0" * 16 + ".png/../x",
        "aa/bb/" + "0" * 64 + "-" + "0" * 16 + ".png\n",
        "aa/bb/" + "0" * 64 + "-" + "0" * 16 + ".png\x00",
    ],
)
async def test_a_key_never_leads_outside(store: LocalAssets, key: str) -> None:
    """Only keys of the form that `put` makes are looked up; every other text is an unknown asset."""
    with pytest.raises(AssetNotFound):
        store.path(key)
    with pytest.raises(AssetNotFound):
        await store.get(key)
    with pytest.raises(AssetNotFound):
        await store.delete(key)


@pytest.mark.parametrize("suffix", ["png", ".", ".PNG", "./x", ".a/../b", ".toolongsuffix", ""])
async def test_a_suffix_is_plain(store: LocalAssets, suffix: str) -> None:
    """A suffix that could bend the path is refused before anything is written."""
    with pytest.raises(ValueError):
        await store.put(b"x", suffix=suffix)
    assert files(store) == []


FILL = """
import asyncio, resource, signal, sys
from pathlib import Path
from services.media.store import AssetStoreFull, LocalAssets
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
store = LocalAssets(Path(sys.argv[1]))
async def main():
    kept = await store.put(b"k" * 50_000, suffix=".png")
    try:
        await store.put(b"x" * 200_000, suffix=".png")
    except AssetStoreFull as error:
        print(kept.key, "refused:", error)
asyncio.run(main())
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the bytes do not fit, the error says so, no part of them stays, and what was there before is whole."""
    ended = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    key, _, refusal = ended.stdout.strip().partition(" ")
    assert refusal == "refused: no room for 200000 bytes"
    store = LocalAssets(tmp_path)
    assert files(store) == [store.path(key)]
    assert store.path(key).read_bytes() == b"k" * 50_000


async def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be is told as an error of the store, not as one of the system."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AssetError, match="ASSETS_URL"):
        open_assets(str(tmp_path / "file"))
    with pytest.raises(AssetError):
        await LocalAssets(tmp_path / "file").put(b"x", suffix=".png")


def test_other_stores_are_refused_with_a_sentence() -> None:
    """An address in S3 is refused as long as it is not supported, and the sentence says what to do."""
    with pytest.raises(AssetError, match=r"not supported yet: name a folder"):
        open_assets("s3://bucket/prefix")


async def test_writing_happens_off_the_loop(store: LocalAssets, tmp_path: Path) -> None:
    """The loop's thread does not write or read files: other users go on while a disk is slow."""
    on_loop: list[str] = []
    loop_thread = threading.get_ident()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        inside = event in {"open", "os.rename"} and str(arguments[0]).startswith(str(tmp_path))
        if inside and threading.get_ident() == loop_thread and watching:
            on_loop.append(event)

    watching = True
    sys.addaudithook(watch)
    asset = await store.put(b"x" * 100_000, suffix=".png")
    await store.get(asset.key)
    await store.delete(asset.key)
    watching = False
    assert on_loop == []


async def test_bytes_reach_the_disk_before_the_name_does(store: LocalAssets) -> None:
    """The file is flushed before it gets its name, and the name before `put` returns, for power may fail then."""
    calls: list[str] = []

    def watch(_frame: object, kind: str, called: object) -> None:
        name = getattr(called, "__name__", "")
        if kind == "c_call" and name in {"fsync", "replace"}:
            calls.append(name)

    await store.put(b"first, so that the folders are there", suffix=".png")
    folders = {path.parent for path in files(store)}
    threading.setprofile(watch)  # seen by threads started from now on, and the next loop's are
    try:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        asset = await store.put(b"first, so that the folders are there", suffix=".png")
    finally:
        threading.setprofile(None)
    assert store.path(asset.key).parent in folders
    assert calls == ["fsync", "replace", "fsync"]


async def test_sweep_removes_only_what_no_row_knows(store: LocalAssets) -> None:
    """Orphans and left-over temporary files go; known, young and foreign files stay."""
    known = await store.put(b"known", suffix=".png")
    orphan = await store.put(b"orphan", suffix=".png")
    young = await store.put(b"young", suffix=".png")
    part = store.path(orphan.key).with_name(store.path(orphan.key).name + ".part")
    part.write_bytes(b"half")
    foreign = store.root / "readme.txt"
    foreign.write_text("somebody's own file")
    for path in (store.path(known.key), store.path(orphan.key), part, foreign):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    asked: list[str] = []

    async def rows(keys: Sequence[str]) -> set[str]:
        asked.extend(keys)
        return {known.key}

    assert await store.sweep(rows, older_than=3600) == 2
    assert set(files(store)) == {store.path(known.key), store.path(young.key), foreign}
    assert set(asked) == {known.key, orphan.key}
    assert await store.sweep(rows, older_than=3600) == 0


def lay(store: LocalAssets, count: int) -> None:
    """Old files that no row names, in many folders."""
    for number in range(count):
        path = store.root / f"{number % 256:02x}" / "00" / (f"{number:064x}" + "-" + "0" * 16 + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1_000_000_000, 1_000_000_000))


async def test_a_sweep_goes_on_where_the_last_one_stopped(store: LocalAssets) -> None:
    """A folder too large or too slow for one sweep is swept by several, and begun again after its end."""
    lay(store, 300)

    async def nobody(keys: Sequence[str]) -> set[str]:
        return set()

    removed = [await store.sweep(nobody, older_than=60, seconds=0) for _ in range(256)]
    assert removed == [2] * 44 + [1] * 212
    assert files(store) == []
    lay(store, 300)
    assert await store.sweep(nobody, older_than=60) == 300


async def test_a_sweep_that_was_cut_off_keeps_no_other_folder_from_being_swept(store: LocalAssets) -> None:
    """Where the disk hangs is tried again after all the others."""
    lay(store, 256)

    async def hangs_in_the_first(keys: Sequence[str]) -> set[str]:
        if keys[0].startswith("00"):
            await asyncio.Event().wait()
        return set()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.sweep(hangs_in_the_first, older_than=60), 0.5)
    assert await store.sweep(hangs_in_the_first, older_than=60) == 255
    assert [path.parent.parent.name for path in files(store)] == ["00"]


async def test_sweep_goes_on_past_one_batch(store: LocalAssets) -> None:
    """However many orphans there are, one sweep finds them all, asking in bounded batches."""
    lay(store, 1101)
    sizes: list[int] = []

    async def nobody(keys: Sequence[str]) -> set[str]:
        sizes.append(len(keys))
        return set()

    assert await store.sweep(nobody, older_than=60) == 1101
    assert sum(sizes) == 1101
    assert max(sizes) <= 500
    assert files(store) == []
