"""Starts all that wants a GPU, one after the other; what was done already is not done again.

    ZEROHERO_DATA=DIR python experiments/on_a_gpu.py             the paper's size, on a GPU
    python experiments/on_a_gpu.py --try FOLDER                  a few images on the CPU, recorded in FOLDER

The first is the CapsNet of the paper's size (its presets chosen on held-out images, three seeds, tens of epochs), then
its twin in PyTorch, then two overlapping digits. Each writes `results/NAME.json`.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    "capsnet_full_size.py --device cupy",
    "capsnet_twin.py --device cupy --preset paper --compiled 1",
    "multimnist.py --device cupy --epochs 8 --seeds 3",
)
TRIES = (
    "capsnet_full_size.py --backend numpy --epochs 1 --choosing 1 --seeds 1 --images 60 --test-images 9 --batch-size 9",
    "capsnet_twin.py --backend numpy --epochs 1 --seeds 1 --images 60 --test-images 20 --every 1",
    "multimnist.py --backend numpy --pairs 64 --test-pairs 32 --epochs 1 --batch-size 32",
)


def main() -> int:
    trying = sys.argv[1:2] == ["--try"]
    environment = dict(os.environ) | ({"ZEROHERO_RESULTS": str(Path(sys.argv[2]).resolve())} if trying else {})
    failed = []
    for command in TRIES if trying else COMMANDS:
        print(f"python experiments/{command}", flush=True)
        script, *options = command.split()
        if subprocess.run([sys.executable, str(HERE / script), *options], env=environment).returncode:
            failed.append(command)  # the others are tried all the same
    print("\n".join(f"failed: {command}" for command in failed) or "all done")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
