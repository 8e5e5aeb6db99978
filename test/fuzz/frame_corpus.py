#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Writes the seed corpus of frame_fuzz: sequences of frames for every mode.

usage: frame_corpus.py DIR STAMP
"""

import pathlib
import struct
import sys

GETATTR, MKDIR, OBJ_WRITE, PING, COUNTERS, HELLO, AUTH = 0x0211, 0x0215, 0x0302, 0x0003, 0x0004, 0x0001, 0x0002
LEASE_RECALL = 0x0207
REPLY, ONEWAY = 1, 4


def item(op, flags=0, xid=0, status=0, body=b"", bulk=0):
    return struct.pack("<HHBBBBHH", op, flags, xid, 0, 0, status, len(body), bulk) + body


REQUESTS = [
    item(GETATTR, xid=1, body=bytes(20)) + item(MKDIR, xid=2, body=b"x"),
    item(OBJ_WRITE, xid=1, body=bytes(40), bulk=5000) * 2 + item(PING, body=bytes(12)),
    item(GETATTR, ONEWAY, 3) + item(COUNTERS, xid=4, body=bytes(8)) + item(HELLO) + item(AUTH),
    item(0x7777, xid=9, body=bytes(300)),
]
REPLIES = [
    item(GETATTR, REPLY, 1, body=bytes(30)) + item(OBJ_WRITE, REPLY, 2, body=bytes(8), bulk=4000),
    item(GETATTR, REPLY, 3, 49) + item(OBJ_WRITE, REPLY, 0x81, 48) + item(OBJ_WRITE, REPLY, 0x83, bulk=10),
    item(OBJ_WRITE, REPLY, 2, bulk=65535) + item(GETATTR, REPLY, 0x82, 2),
    item(AUTH, REPLY, 0, 42, bytes(8)) + item(HELLO, REPLY, 0, 41),
    item(LEASE_RECALL, ONEWAY, body=bytes(40)) + item(GETATTR, REPLY, 1, body=bytes(30)) + item(LEASE_RECALL, ONEWAY),
    item(LEASE_RECALL, ONEWAY, body=bytes(4)) + item(LEASE_RECALL, ONEWAY, bulk=100),
    item(LEASE_RECALL, ONEWAY, body=bytes(4)) + item(LEASE_RECALL, 0, 1, body=bytes(40)),
]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    n = 0
    for how in range(64):
        for seed in REPLIES if how & 1 else REQUESTS:
            (out / f"seed{n:04}").write_bytes(bytes([how]) + seed)
            n += 1
    pathlib.Path(sys.argv[2]).touch()


main()
