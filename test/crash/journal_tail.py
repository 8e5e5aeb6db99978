#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where a metadata journal ends: journal_tail.py FOLDER prints the newest segment's file, and in it the places of its last batch's
header and of the first block behind that batch."""

import glob
import os
import struct
import sys

BLOCK = 4096
SEGMENT = struct.Struct("<QIIQQQQ")  # magic, version, crc, seq, first, salt, epoch
BATCH = struct.Struct("<IIQQQQII")  # magic, crc, epoch, seq, salt, first, entries, bytes


def segments(folder):
    for path in glob.glob(os.path.join(folder, "[0-9]*")):
        with open(path, "rb") as f:
            data = f.read()
        if len(data) >= BLOCK and data[:8] == struct.pack("<Q", 0x316C6E6A74666577):
            yield SEGMENT.unpack_from(data)[3], path, data


def main():
    found = sorted(segments(sys.argv[1]))
    if not found:
        sys.exit("no segment of a journal in " + sys.argv[1])
    # Each opening begins a segment: the newest with a batch in it is the one that counts.
    for seq, path, data in reversed(found):
        salt = SEGMENT.unpack_from(data)[5]
        last, at = 0, BLOCK
        while at + BATCH.size <= len(data):
            magic, _, _, batch_seq, batch_salt, _, _, size = BATCH.unpack_from(data, at)
            if magic != 0x68637462 or batch_seq != seq or batch_salt != salt:
                break
            last, at = at, at + (BATCH.size + size + BLOCK - 1) // BLOCK * BLOCK
        if last:
            print(path, last, at)
            return
    print(found[-1][1], 0, BLOCK)


main()
