"""OpenStack Swift's S3 as one program: its four servers on loopback, one disk, one bucket.

swift_s3.py --host HOST --port PORT --access-key ACCOUNT:USER --secret-key SECRET --bucket NAME FOLDER

It runs until it is ended; its servers end with it. Installed into the environment that has `swift`.
"""

import argparse
import base64
import ctypes
import hashlib
import hmac
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from email.utils import formatdate

KINDS = ("account", "container", "object")


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("host", "port", "access-key", "secret-key", "bucket"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("folder")
    return parser.parse_args()


def free_port(host):
    with socket.socket() as found:
        found.bind((host, 0))
        return found.getsockname()[1]


def write(path, lines):
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def server(etc, devices, host, port, rest):
    return [
        "[DEFAULT]",
        f"swift_dir = {etc}",
        f"devices = {devices}",
        "mount_check = false",
        f"bind_ip = {host}",
        f"bind_port = {port}",
        # Without a process of its own, there is none to be left over.
        "workers = 0",
        # Nobody listens there: its log needs an address.
        "log_udp_host = 127.0.0.1",
        "log_udp_port = 9",
    ] + rest


def configure(given):
    etc, devices = os.path.join(given.folder, "etc"), os.path.join(given.folder, "node")
    os.makedirs(etc)
    os.makedirs(os.path.join(devices, "disk"))
    secret = ["swift_hash_path_suffix = keepsum", "swift_hash_path_prefix = keepsum"]
    policy = ["[storage-policy:0]", "name = only", "default = yes"]
    write(os.path.join(etc, "swift.conf"), ["[swift-hash]"] + secret + policy)
    builder = os.path.join(os.path.dirname(sys.executable), "swift-ring-builder")
    for kind in KINDS:
        port = free_port(given.host)
        device = f"r1z1-{given.host}:{port}/disk"
        for step in (["create", "4", "1", "0"], ["add", device, "1"], ["rebalance"]):
            command = [sys.executable, "-W", "ignore", builder, kind + ".builder"] + step
            subprocess.run(command, cwd=etc, check=True, stdout=subprocess.DEVNULL)
        rest = ["[pipeline:main]", f"pipeline = {kind}-server"]
        rest += [f"[app:{kind}-server]", f"use = egg:swift#{kind}"]
        write(os.path.join(etc, kind + ".conf"), server(etc, devices, given.host, port, rest))
    account, user = given.access_key.split(":")
    rest = [
        "[pipeline:main]",
        "pipeline = catch_errors cache s3api tempauth proxy-server",
        "[app:proxy-server]",
        "use = egg:swift#proxy",
        "account_autocreate = true",
        "[filter:tempauth]",
        "use = egg:swift#tempauth",
        f"user_{account}_{user} = {given.secret_key} .admin",
        "[filter:s3api]",
        "use = egg:swift#s3api",
        "[filter:cache]",
        "use = egg:swift#memcache",
        "[filter:catch_errors]",
        "use = egg:swift#catch_errors",
    ]
    write(os.path.join(etc, "proxy.conf"), server(etc, devices, given.host, given.port, rest))
    return etc


def end_with_parent():
    prctl_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(prctl_set_pdeathsig, signal.SIGKILL)


def start(etc, kind):
    program = os.path.join(os.path.dirname(sys.executable), f"swift-{kind}-server")
    command = [sys.executable, "-W", "ignore", program, os.path.join(etc, kind + ".conf")]
    return subprocess.Popen(command, preexec_fn=end_with_parent)


def make_bucket(given):
    """By a request that is signed as S3 had it at first: the shortest way."""
    for _ in range(600):
        date = formatdate(usegmt=True)
        text = f"PUT\n\n\n{date}\n/{given.bucket}"
        signature = hmac.new(given.secret_key.encode(), text.encode(), hashlib.sha1).digest()
        signed = f"AWS {given.access_key}:{base64.b64encode(signature).decode()}"
        headers = {"Date": date, "Authorization": signed}
        url = f"http://{given.host}:{given.port}/{given.bucket}"
        try:
            request = urllib.request.Request(url, method="PUT", headers=headers)
            return urllib.request.urlopen(request, timeout=30)
        except OSError as error:
            last = error
            time.sleep(0.1)
    sys.exit(f"swift makes no bucket: {last}")


def main():
    given = arguments()
    etc = configure(given)
    servers = [start(etc, kind) for kind in KINDS + ("proxy",)]
    make_bucket(given)
    print("ready", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.waitpid(servers[-1].pid, 0)
    sys.exit("swift ended")


main()
