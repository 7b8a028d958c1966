"""One Python loop over `model.train`."""

import sys

from task import Task
from ultralytics import YOLO

task = Task.read(sys.argv[1])
for number in range(len(task.trials)):
    YOLO("yolov8n.yaml").train(**task.settings(number))
