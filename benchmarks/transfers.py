"""The growth of a process's peak memory while it uploads and downloads 200 MB, through the real OpenAI adapter.

The client exists, and has made a small call, before the measurement: only the file makes the memory grow.
"""

import subprocess
import sys

from benchmarks.inputs import FOLDER
from benchmarks.loopback import BLOCK, environment, served

RUNS = 3

TRANSFER = """
import sys
from pathlib import Path
from benchmarks.cases import peak_mb
from dropbatch.adapters.openai import OpenAIBatches
base_url, way, path = sys.argv[1:]
openai = OpenAIBatches(lambda fresh: ("sk-x", "v"), base_url)
openai.retrieve("batch_" + "0" * 32)
before = peak_mb()
if way == "upload":
    openai.upload(Path(path), "batch.jsonl")
else:
    with openai.streaming("file-1") as download, open(path, "wb") as file:
        file.writelines(download.blocks())
assert Path(path).stat().st_size == 200 * 1_048_576
print(peak_mb() - before)
"""

FIGURES = {"upload_growth_mb": ("MiB", "≤ 10"), "download_growth_mb": ("MiB", "≤ 10")}


def transfers() -> dict[str, float]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "transferred"
    figures = {}
    try:
        for way in ("upload", "download"):
            with path.open("wb") as file:
                file.writelines([BLOCK] * 200)
            with served("openai", 1, 0) as openai:
                command = [sys.executable, "-c", TRANSFER, f"{openai}/v1", way, str(path)]
                settings = environment("http://127.0.0.1:9", openai)
                runs = [subprocess.run(command, env=settings, stdout=subprocess.PIPE, check=True) for _ in range(RUNS)]
            figures[f"{way}_growth_mb"] = max(float(run.stdout) for run in runs)
            print(f"  {way} of 200 MB: {figures[f'{way}_growth_mb']:.1f} MB more")
    finally:
        path.unlink(missing_ok=True)
    return figures
