"""A worker of seconds: counts to N in a file, ten a second, and goes on where it was."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

folder, steps = Path(sys.argv[1]), int(sys.argv[2])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))


def end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


threading.Thread(
    target=end_with, args=(int(os.environ["BENCH_LAUNCHER_PID"]),), daemon=True
).start()
state = folder / "state"
count = int(state.read_text()) if state.exists() else 0
with (folder / "starts").open("a") as file:
    file.write(f"{count}\n")
while count < steps:
    if stopped:
        (folder / "result.json").write_text(json.dumps({"status": "interrupted"}))
        sys.exit(1)
    time.sleep(0.1)
    count += 1
    new = folder / "state.new"
    new.write_text(str(count))
    new.replace(state)
(folder / "result.json").write_text(json.dumps({"status": "ok", "count": count}))
