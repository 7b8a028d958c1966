"""How fast 12-megapixel photos become a dataset, against a plain Pillow script.

    python bench/prepare.py [--images 200] [--repeats 3]

Draws photos, then lets both make 640 px letterboxed JPEGs of them in turn, each in a process of its
own. `sweep prepare` also hashes, checks, splits, labels, packs and reports; the script does not.
The least time of each counts: whatever else the machine does only adds to it. On two cores, a
process that keeps one of them busy all along slows down `sweep prepare`, but not the script.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from sweep.data.packing.digests import digest_of
from sweep.data.packing.resize import Placement
from sweep.data.reading.picture import Picture, encode_jpeg
from sweep.data.splitting.similar import look_of
from sweep.files.atomic_write import write_file

WIDTH, HEIGHT, SIZE = 4000, 3000, 640
QUALITY = 95
TIMED_IMAGES = 20
"""Of which the parts of the time and the likeness are taken."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain", nargs=2, metavar=("IMAGES", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain_script(*map(Path, arguments.plain))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_dataset(folder, arguments.images)
        compare(folder, arguments.images, arguments.repeats)
        split_time(folder / "images")


def compare(folder: Path, images: int, repeats: int) -> None:
    """Run both in turn, and compare the best of each."""
    script: list[Cost] = []
    prepare: list[Cost] = []
    again: list[Cost] = []
    for repeat in range(repeats):
        out = folder / f"out{repeat}"
        plain = [__file__, "--plain", str(folder / "images"), str(out / "plain")]
        script.append(run(plain))
        command = ["-m", "sweep.cli", "prepare", str(folder / "photos.yaml"), "--out", str(out)]
        prepare.append(run(command))
        again.append(run(command))
        print(f"plain Pillow {script[-1]}; sweep prepare {prepare[-1]}", flush=True)
    slow_s, slow_cpu_s = least(script)
    fast_s, fast_cpu_s = least(prepare)
    print(f"{images} photos of {WIDTH}x{HEIGHT} px, {size_mb(folder / 'images'):.1f} MB each,")
    print(f"on {len(os.sched_getaffinity(0))} cores, the best of {repeats}:")
    print(f"plain Pillow script  {slow_s:.1f} s, {images / slow_s:.1f} images a second")
    print(f"sweep prepare        {fast_s:.1f} s, {images / fast_s:.1f} images a second")
    print(f"ratio                {slow_s / fast_s:.1f} ({slow_cpu_s / fast_cpu_s:.1f} of CPU time)")
    print(f"prepared already     {least(again)[0]:.1f} s, which every run takes to start")
    print(f"peak memory          {max(cost.peak_mb for cost in prepare):.0f} MB")
    print(f"PSNR                 {likeness(folder, out):.1f} dB, the least of {TIMED_IMAGES}")


def least(costs: list["Cost"]) -> tuple[float, float]:
    """Return the least time and the least CPU time, s."""
    return min(cost.seconds for cost in costs), min(cost.cpu_s for cost in costs)


def size_mb(images: Path) -> float:
    """Return the mean size of a folder's files."""
    return statistics.mean(file.stat().st_size for file in images.iterdir()) / 1e6


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process took."""

    seconds: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.cpu_s:.1f} s of CPU)"


def run(arguments: list[str]) -> Cost:
    """Run Python and wait for it."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(seconds=seconds, cpu_s=cpu_s, peak_mb=usage.ru_maxrss / 1024)


def plain_script(images: Path, out: Path) -> None:
    """Do what one would write down at once: one process, Pillow, full size."""
    out.mkdir(parents=True)
    for file in sorted(images.iterdir()):
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        scale = SIZE / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)))
        canvas = Image.new("RGB", (SIZE, SIZE), (114, 114, 114))
        canvas.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
        canvas.save(out / file.name, quality=QUALITY)


def draw_dataset(folder: Path, count: int) -> None:
    """Write photos and a COCO file with a box each."""
    (folder / "images").mkdir()
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw_photo, folder / "images"), range(count)))
    document = {
        "images": [
            {"id": index, "file_name": f"{index:03d}.jpg", "width": WIDTH, "height": HEIGHT}
            for index in range(count)
        ],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 0, "bbox": [1000, 1000, 900, 600]}
            for index in range(count)
        ],
        "categories": [{"id": 0, "name": "litter"}],
    }
    (folder / "coco.json").write_text(json.dumps(document))
    (folder / "photos.yaml").write_text(
        "name: photos\n"
        "source: {coco: coco.json, images: images}\n"
        f"size: {SIZE}\n"
        "split: {train: 0.7, val: 0.2, test: 0.1}\n"
    )


def draw_photo(folder: Path, index: int) -> None:
    """Write shapes of many sizes on a smooth ground with a sensor's noise: about 3 MB."""
    cv2.setNumThreads(1)
    draw = np.random.default_rng(index)
    coarse = draw.integers(40, 216, (12, 16, 3), np.uint8)
    photo = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(300):
        x, y = int(draw.integers(WIDTH)), int(draw.integers(HEIGHT))
        colour = draw.integers(0, 256, 3).tolist()
        cv2.circle(photo, (x, y), int(draw.integers(4, 150)), colour, cv2.FILLED, cv2.LINE_AA)
    noise = draw.integers(0, 20, (500, 500, 3), np.uint8)
    photo = cv2.add(photo, np.tile(noise, (HEIGHT // 500, WIDTH // 500, 1)))
    cv2.imwrite(str(folder / f"{index:03d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])


def likeness(folder: Path, out: Path) -> float:
    """Return the least PSNR of prepared photos against full decoding and averaging of areas, dB."""
    placement = Placement.of(WIDTH, HEIGHT, "letterbox", SIZE)
    found = []
    (prepared,) = out.glob("photos-*")
    for file in sorted((prepared / "images" / "val").iterdir())[:TIMED_IMAGES]:
        source = folder / "images" / f"{int(file.stem) - 1:03d}.jpg"
        full = cv2.imread(str(source))
        drawn = (placement.drawn_width, placement.drawn_height)
        expected = cv2.resize(full, drawn, interpolation=cv2.INTER_AREA)
        found.append(cv2.PSNR(expected, placement.inside(cv2.imread(str(file))).copy()))
    return min(found)


def split_time(images: Path) -> None:
    """Print what one photo costs in one thread, part by part."""
    cv2.setNumThreads(1)
    parts: dict[str, list[float]] = {}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        parts.setdefault(part, []).append(time.perf_counter() - start)
        return result

    placement = Placement.of(WIDTH, HEIGHT, "letterbox", SIZE)
    for file in sorted(images.iterdir())[:TIMED_IMAGES]:
        data = timed("read", file.read_bytes)
        timed("hash, twice", partial(lambda data: (digest_of(data), digest_of(data)), data))
        picture = timed("read the header", partial(Picture.parse, data))
        pixels = timed("decode", partial(picture.decode, 1, (SIZE, SIZE * HEIGHT // WIDTH)))
        drawn = timed("resize and pad", partial(placement.draw, pixels))
        encoded = timed("encode", partial(encode_jpeg, drawn))
        timed("look for similar ones", partial(look_of, drawn))
        written = file.with_suffix(".prepared.jpg")
        timed("write", partial(write_file, written, encoded))
        timed("decode for packing", partial(cv2.imread, str(written)))
        written.unlink()
    print(f"one photo in one thread, ms, the middle of {TIMED_IMAGES}:")
    for part, seconds in parts.items():
        print(f"  {part:<22}{1000 * statistics.median(seconds):6.1f}")


if __name__ == "__main__":
    main()
