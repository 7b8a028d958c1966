"""One `yolo train` process after the other, as `model.tune` starts them."""

import subprocess
import sys
from pathlib import Path

from task import Task

task = Task.read(sys.argv[1])
yolo = str(Path(sys.executable).with_name("yolo"))
for number in range(len(task.trials)):
    settings = [f"{name}={value}" for name, value in task.settings(number).items()]
    subprocess.run([yolo, "train", "model=yolov8n.yaml", *settings], check=True)
