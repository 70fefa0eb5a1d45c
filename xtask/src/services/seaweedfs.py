"""SeaweedFS's S3 as one program: its four servers in one process on loopback, one folder, one bucket.

seaweedfs_s3.py --host HOST --port PORT --access-key KEY --secret-key SECRET --bucket NAME FOLDER

This process becomes the server: who ends it, ends that. Started once more on the same folder, it has what it
had, and the same ports. Installed into the environment that has `weed`.
"""

import argparse
import json
import os
import select
import signal
import socket
import sys
import urllib.error
import urllib.request

# Each server has one port for HTTP and one for gRPC; the one of S3 for HTTP is given.
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("host", "port", "access-key", "secret-key", "bucket"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("folder")
    return parser.parse_args()


def free(host, port):
    with socket.socket() as found:
        try:
            found.bind((host, port))
        except OSError:
            return False
    return True


def ports(given):
    """The first free ones after the one that is given; the same ones at the next start."""
    path = os.path.join(given.folder, "ports.json")
    if not os.path.exists(path):
        after = range(int(given.port) + 1, 65536)
        found = (port for port in after if free(given.host, port))
        with open(path, "w") as file:
            json.dump({name: next(found) for name in PORTS}, file)
    with open(path) as file:
        return json.load(file)


def configure(given):
    """Who may ask: without this, everybody may, and no signature is checked."""
    path = os.path.join(given.folder, "s3.json")
    key = {"accessKey": given.access_key, "secretKey": given.secret_key}
    identity = {"name": "keepsum", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}
    with open(path, "w") as file:
        json.dump({"identities": [identity]}, file)
    return path


def command(given, chosen):
    data = os.path.join(given.folder, "data")
    os.makedirs(data, exist_ok=True)
    options = {
        "dir": data,
        "ip": given.host,
        "ip.bind": given.host,
        # It would report to its makers.
        "master.telemetry": "false",
        # Volumes are files that grow: this many never fill up in a test.
        "master.volumeSizeLimitMB": "1024",
        "volume.max": "32",
        # Nobody looks for it elsewhere once it is asked to end.
        "volume.preStopSeconds": "0",
        # One hundredth of a large disk is much.
        "volume.minFreeSpace": "64MiB",
        "filer": "true",
        "filer.localSocket": os.path.join(given.folder, "filer.sock"),
        "s3": "true",
        "s3.port": given.port,
        "s3.config": configure(given),
        "s3.localSocket": os.path.join(given.folder, "s3.sock"),
        # A bucket that is not there must be an error.
        "s3.autoCreateBucket": "false",
        # Other languages than S3.
        "s3.iam": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
    }
    options.update((name, str(port)) for name, port in chosen.items())
    weed = os.path.join(os.path.dirname(sys.executable), "weed")
    # On standard error it then says only what is wrong.
    logs = os.path.join(given.folder, "logs")
    os.makedirs(logs, exist_ok=True)
    return [weed, f"-logdir={logs}", "server"] + [f"-{name}={value}" for name, value in options.items()]


def sockets(chosen):
    """What it makes in a place that cannot be chosen, and leaves there."""
    for name, port in chosen.items():
        if name.endswith(".grpc"):
            yield f"/tmp/seaweedfs-{name.split('.')[0]}-grpc-{port}.sock"


def answers(url, method):
    """Whether it answers, be it with a refusal."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def attend(given, chosen, lives):
    """Makes the bucket, a folder of the filer, says that all is ready, and clears up behind the server."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # It reaches the server, too, and this goes on until that has ended.
        signal.signal(ending, signal.SIG_IGN)
    wanted = [
        (f"http://{given.host}:{chosen['filer.port']}/buckets/{given.bucket}/", "POST"),
        (f"http://{given.host}:{given.port}/", "GET"),
    ]
    while wanted and not select.select([lives], [], [], 0.1)[0]:
        if answers(*wanted[0]):
            del wanted[0]
    if not wanted:
        print("ready", flush=True)
    os.read(lives, 1)
    for path in sockets(chosen):
        if os.path.exists(path):
            os.remove(path)


def main():
    given = arguments()
    given.folder = os.path.abspath(given.folder)
    os.makedirs(given.folder, exist_ok=True)
    chosen = ports(given)
    arguments_of_weed = command(given, chosen)
    # The server has the one end, and never writes: it closes when the server ends.
    lives, held = os.pipe()
    if os.fork() == 0:
        os.close(held)
        attend(given, chosen, lives)
        return
    os.close(lives)
    os.set_inheritable(held, True)
    os.execv(arguments_of_weed[0], arguments_of_weed)


main()
